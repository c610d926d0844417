/** A run: the loss and a map of modules over steps, as the stream brings them; a click chooses a module and a step. */
import { find, json, oncePerFrame } from "../dom.js";
import { Plot, plotly } from "../plot.js";
import { saving } from "../saving.js";
import { listen, whenWired } from "../stream.js";
import { Picture } from "./picture.js";

/** More columns than this are asked for anew, thinned out by the server. */
const MOST_COLUMNS = 1500;
const ROW_REM = 0.9;
const MOVES = new Map([["ArrowLeft", [0, -1]], ["ArrowRight", [0, 1]], ["ArrowUp", [-1, 0]], ["ArrowDown", [1, 0]]]); // prettier-ignore

const form = /** @type {HTMLFormElement} */ (find("#look"));
const place = find("#module-place");
const figures = json("figures");
const loss = new Plot(find("#chart-loss"), figures.loss);
const map = new Plot(find("#chart-map"), figures.map);
const drawing = json("drawing");
let picture = new Picture(drawing, figures.displays);
/** The entry up to which the page came; what came after it is asked for once. @type {string|null} */
let after = String(drawing.after);
/** Whether nothing is followed, since the run has ended. */
let closed = false;
/** Whether a thinned-out picture is under way. */
let asked = false;
const chosen = new URLSearchParams(location.search);
/** @type {{module: string|null, step: number|null}} */
const at = { module: chosen.get("module"), step: chosen.has("step") ? Number(chosen.get("step")) : null };

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

const look = () => window.htmx.trigger(form, "look");
form.addEventListener("htmx:config:request", (event) => {
  const { body } = /** @type {CustomEvent} */ (event).detail.ctx.request;
  if (after !== null) body.set("after", after);
  for (const name of ["from", "to"]) if (!body.get(name)) body.delete(name);
  after = null;
});
listen(form, {
  began: () => {
    closed = false;
    find("#unfollowed").hidden = true;
  },
  on: {
    start(data) {
      asked = false;
      picture = new Picture(JSON.parse(data), figures.displays);
      draw();
    },
    modules(data) {
      picture.rename(JSON.parse(data));
      draw();
    },
    columns(data) {
      picture.add(JSON.parse(data));
      if (picture.steps.length > MOST_COLUMNS && !asked) {
        asked = true;
        look();
      }
      draw();
    },
    marks(data) {
      picture.marks = JSON.parse(data);
      draw();
    },
  },
  refused: ({ detail }) => (find("#run-readout").textContent = detail),
  failed: () => (find("#unfollowed").hidden = false),
  ended: (finished) => {
    closed = true;
    find("#unfollowed").hidden = finished;
  },
});
find("#again").addEventListener("click", look);
// A training of ours that was ended goes on: it is followed again.
find("#run").addEventListener("htmx:after:swap", (/** @type {Event} */ event) => {
  if (/** @type {Element} */ (event.target).closest("#lead") && closed) look();
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
  const rewind = /** @type {HTMLInputElement|null} */ (document.querySelector("#rewind-step"));
  if (rewind && step !== null) rewind.value = String(step);
  draw();
  note();
  if (module !== null) window.htmx.trigger(place, "choose");
}
place.addEventListener("htmx:config:request", (/** @type {CustomEvent} */ { detail }) => {
  detail.ctx.request.body.set("module", at.module);
  if (at.step !== null) detail.ctx.request.body.set("step", String(at.step));
});

loss.onClick = (step) => choose(at.module ?? picture.modules[0] ?? null, Number(step));
map.onClick = (step, label) => choose(picture.labelled(label), Number(step));
document.addEventListener("click", (event) => {
  const link = /** @type {Element} */ (event.target).closest("[data-module]");
  if (!link) return;
  event.preventDefault();
  choose(/** @type {HTMLElement} */ (link).dataset.module ?? null, at.step);
  place.scrollIntoView({ block: "nearest" });
});
// Only where the picture has the focus: elsewhere arrows scroll.
find("#picture").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  const move = MOVES.get(event.key);
  const typing = /** @type {Element} */ (event.target).closest("input, select");
  if (!move || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const next = picture.beside(at.module, at.step, move[0], move[1]);
  if (next) choose(next.module, next.step);
});

/* Steps between two: typed, or dragged over the loss */

const whole = find("#whole");
const bounds = ["from", "to"].map((name) => /** @type {any} */ (form.elements.namedItem(name)));
const showWhole = () => (whole.hidden = bounds.every((input) => !input.value));
form.addEventListener("change", () => {
  showWhole();
  note();
});
form.addEventListener("submit", (event) => event.preventDefault());
whole.addEventListener("click", () => zoom("", ""));
showWhole();

/** Looks at the steps between these; empty for all. @param {string} from @param {string} to */
function zoom(from, to) {
  [bounds[0].value, bounds[1].value] = [from, to];
  showWhole();
  note();
  look();
}

const box = find("#chart-loss .plot");
/** @type {number|null} */
let begun = null;
/** The step below a pointer. @param {PointerEvent} event */
const stepAt = (event) => {
  const axis = /** @type {any} */ (box)._fullLayout?.xaxis;
  return axis ? axis.p2d(event.clientX - box.getBoundingClientRect().left - axis._offset) : null;
};
box.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => (begun = stepAt(event)));
addEventListener("pointercancel", () => (begun = null));
addEventListener("pointerup", (event) => {
  const end = begun === null ? null : stepAt(event);
  if (begun !== null && end !== null) {
    const [low, high] = [Math.min(begun, end), Math.max(begun, end)];
    const span = picture.steps.length ? picture.steps[picture.steps.length - 1] - picture.steps[0] : 0;
    if (high - low > span / 50 && high - low >= 2) zoom(String(Math.max(0, Math.ceil(low))), String(Math.floor(high)));
  }
  begun = null;
});

saving(find("#saves"), { loss, picture: map }, find("h1").textContent);
whenWired(form, look);
plotly.then(draw);
