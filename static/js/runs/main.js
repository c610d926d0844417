/** A run: the loss and a map of modules over steps, as the stream brings them; a click chooses a module and a step. */
import { find, json, oncePerFrame } from "../dom.js";
import { onKey } from "../keys.js";
import { Plot, plotly } from "../plot.js";
import { listen, whenWired } from "../stream.js";
import { Picture } from "./picture.js";

/** More columns than this are asked for anew, thinned out by the server. */
const MOST_COLUMNS = 1500;
const ROW_REM = 0.9;

const form = /** @type {HTMLFormElement} */ (find("#look"));
const place = find("#module-place");
const figures = json("figures");
const loss = new Plot(find("#chart-loss"), figures.loss);
const map = new Plot(find("#chart-map"), figures.map);
let picture = new Picture(json("drawing"), figures.displays);
const chosen = new URLSearchParams(location.search);
/** @type {{module: string|null, step: number|null}} */
const at = { module: chosen.get("module"), step: Number(chosen.get("step")) || null };

const draw = oncePerFrame(() => {
  const rows = Math.min(48, Math.max(8, picture.modules.length)) * ROW_REM + 2;
  find("#chart-map").style.setProperty("--map", `${rows}rem`);
  find("#run-empty").hidden = picture.steps.length > 0;
  const cursor = picture.cursor(at.module, at.step);
  const first = picture.lossChart(cursor);
  loss.show(first.traces, first.layout);
  loss.draw();
  const second = picture.map(cursor);
  map.show(second.traces, second.layout);
  map.draw();
  find("#run-readout").textContent = picture.readout(at.module, at.step) || "\u00a0";
});

listen(form, {
  on: {
    start(data) {
      picture = new Picture(JSON.parse(data), figures.displays);
      draw();
    },
    modules(data) {
      picture.modules = JSON.parse(data);
      draw();
    },
    columns(data) {
      picture.add(JSON.parse(data));
      if (picture.steps.length > MOST_COLUMNS) window.htmx.trigger(form, "look");
      draw();
    },
    marks(data) {
      picture.marks = JSON.parse(data);
      draw();
    },
  },
  refused: ({ detail }) => (find("#run-readout").textContent = detail),
});

/* What is looked at, in the address */

function note() {
  const query = new URLSearchParams(/** @type {any} */ (new FormData(form)));
  for (const [name, value] of [...query]) if (value === "") query.delete(name);
  if (at.module !== null) query.set("module", at.module);
  if (at.step !== null) query.set("step", String(at.step));
  history.replaceState(null, "", `${location.pathname}?${query}`);
}

/** @param {string|null} module @param {number|null} step */
function choose(module, step) {
  Object.assign(at, { module, step });
  draw();
  note();
  if (module !== null) window.htmx.trigger(place, "choose");
}
place.addEventListener("htmx:config:request", (/** @type {CustomEvent} */ { detail }) => {
  detail.ctx.request.body.set("module", at.module);
  if (at.step !== null) detail.ctx.request.body.set("step", String(at.step));
});

loss.onClick = (step) => choose(at.module ?? picture.modules[0] ?? null, Number(step));
map.onClick = (step, module) => choose(String(module), Number(step));
document.addEventListener("click", (event) => {
  const link = /** @type {Element} */ (event.target).closest("[data-module]");
  if (!link) return;
  event.preventDefault();
  choose(/** @type {HTMLElement} */ (link).dataset.module ?? null, at.step);
  place.scrollIntoView({ block: "nearest" });
});
/** @param {number} modules @param {number} steps */
const move = (modules, steps) => {
  const next = picture.beside(at.module, at.step, modules, steps);
  if (next) choose(next.module, next.step);
};
onKey("ArrowLeft", () => move(0, -1));
onKey("ArrowRight", () => move(0, 1));
onKey("ArrowUp", () => move(-1, 0));
onKey("ArrowDown", () => move(1, 0));

form.addEventListener("change", note);
const whole = find("#whole");
whole.addEventListener("click", () => zoom("", ""));

/** Looks at the steps between these; empty for all. @param {string} from @param {string} to */
function zoom(from, to) {
  /** @type {any} */ (form.elements.namedItem("from")).value = from;
  /** @type {any} */ (form.elements.namedItem("to")).value = to;
  whole.hidden = !from && !to;
  note();
  window.htmx.trigger(form, "look");
}
whole.hidden = !(/** @type {any} */ (form.elements.namedItem("from")).value) && !(/** @type {any} */ (form.elements.namedItem("to")).value);

/* Dragging over the loss looks closer */

const box = find("#chart-loss .plot");
/** @type {number|null} */
let begun = null;
/** The step below a pointer. @param {PointerEvent} event */
const stepAt = (event) => {
  const axis = /** @type {any} */ (box)._fullLayout?.xaxis;
  return axis ? axis.p2d(event.clientX - box.getBoundingClientRect().left - axis._offset) : null;
};
box.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => (begun = stepAt(event)));
addEventListener("pointerup", (event) => {
  const end = begun === null ? null : stepAt(event);
  if (begun !== null && end !== null) {
    const [low, high] = [Math.min(begun, end), Math.max(begun, end)];
    const span = picture.steps.length ? picture.steps[picture.steps.length - 1] - picture.steps[0] : 0;
    if (high - low > span / 50 && high - low >= 2) zoom(String(Math.max(0, Math.ceil(low))), String(Math.floor(high)));
  }
  begun = null;
});

whenWired(form, () => window.htmx.trigger(form, "look"));
plotly.then(draw);
