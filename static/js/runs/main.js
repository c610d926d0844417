/** A run: the loss and a map of modules over steps, as the stream brings them; a click chooses a module and a step. */
import { find, json } from "../dom.js";
import { plotly } from "../plot.js";
import { saving } from "../saving.js";
import { listen, whenWired } from "../stream.js";
import { moveCursors } from "./cursor.js";
import { Depth } from "./depth.js";
import { Picture } from "./picture.js";
import { Pictures } from "./pictures.js";
import { Replay } from "./replay.js";
import { Signal } from "./signal.js";
import { Spread } from "./spread.js";
import { View } from "./view.js";

/** More columns than this are asked for anew, thinned out by the server. */
const MOST_COLUMNS = 1500;
const form = /** @type {HTMLFormElement} */ (find("#look"));
const place = find("#module-place");
const figures = json("figures");
const drawing = json("drawing");
/** The entry up to which the page came; what came after it is asked for once. @type {string|null} */
let after = String(drawing.after);
/** Whether nothing is followed, since the run has ended. */
let closed = false;
/** Whether a thinned-out picture is under way. */
let asked = false;
const chosen = new URLSearchParams(location.search);
/** @type {{module: string|null, step: number|null}} */
const at = { module: chosen.get("module"), step: chosen.has("step") ? Number(chosen.get("step")) : null };

const view = new View(figures, new Picture(drawing, figures.displays), at, told);
const spread = new Spread(
  figures,
  view,
  place,
  () => {
    const query = new URLSearchParams(/** @type {any} */ (new FormData(form)));
    for (const name of [...query.keys()]) if (!["from", "to"].includes(name) || !query.get(name)) query.delete(name);
    return query;
  },
  chosen.get("tensor"),
);
const signal = new Signal(view, () => depth.show());
const depth = new Depth(figures, view, () => ({
  now: signal.moment(signal.shown),
  first: signal.first && signal.moment(signal.first),
  dtype: signal.shown.dtype,
}));
const replay = new Replay(view);
view.beside = () => {
  replay.show();
  signal.show();
  spread.draw();
  moveCursors(place, at.step);
};
const rows = /** @type {HTMLSelectElement} */ (find("#rows"));
view.fold = rows.value !== "modules";
const draw = () => {
  find("#rows-label").hidden = !view.picture.foldable;
  find("#run-empty").hidden = view.picture.steps.length > 0;
  view.draw();
};

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
      view.picture = new Picture(JSON.parse(data), figures.displays);
      draw();
    },
    modules(data) {
      view.picture.rename(JSON.parse(data));
      draw();
    },
    columns(data) {
      view.picture.add(JSON.parse(data));
      if (view.picture.steps.length > MOST_COLUMNS && !asked) {
        asked = true;
        look();
      }
      spread.follow();
      signal.follow();
      draw();
    },
    marks(data) {
      view.picture.marks = JSON.parse(data);
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

rows.addEventListener("change", () => {
  view.fold = rows.value !== "modules";
  note();
  draw();
});

/* What is looked at, in the address */

function note() {
  const query = new URLSearchParams(/** @type {any} */ (new FormData(form)));
  for (const [name, value] of [...query]) if (value === "") query.delete(name);
  if (rows.value !== "blocks") query.set("rows", rows.value);
  if (at.module !== null) query.set("module", at.module);
  if (at.step !== null) query.set("step", String(at.step));
  if (spread.chosen !== null) query.set("tensor", spread.chosen);
  history.replaceState(null, "", `${location.pathname}?${query}`);
}

/** Browsers refuse an address that changes with every frame. */
const NOTE_MS = 250;
let [noted, waiting] = [-NOTE_MS, 0];
function noteSoon() {
  clearTimeout(waiting);
  const left = noted + NOTE_MS - performance.now();
  if (left > 0) {
    waiting = window.setTimeout(noteSoon, left);
    return;
  }
  noted = performance.now();
  note();
}

/** Of a module and a step that were chosen. @param {string|null} module @param {number|null} step */
function told(module, step) {
  const rewind = /** @type {HTMLInputElement|null} */ (document.querySelector("#rewind-step"));
  if (rewind && step !== null) rewind.value = String(step);
  noteSoon();
  if (module !== null) window.htmx.trigger(place, "choose");
}
const pictures = new Pictures(place);
place.addEventListener("htmx:config:request", (/** @type {CustomEvent} */ { target, detail }) => {
  if (target !== place) return;
  detail.ctx.request.body.set("module", at.module);
  if (at.step !== null) detail.ctx.request.body.set("step", String(at.step));
  detail.ctx.tensor = spread.chosen;
  if (spread.chosen !== null) detail.ctx.request.body.set("tensor", spread.chosen);
});
place.addEventListener("htmx:after:swap", (/** @type {CustomEvent} */ { target, detail }) => {
  if (target !== place) return;
  pictures.arrived();
  spread.arrived(detail.ctx.tensor);
  moveCursors(place, at.step);
});
place.addEventListener("change", (/** @type {Event} */ event) => {
  const choice = /** @type {HTMLSelectElement} */ (event.target);
  if (choice.name !== "tensor") return;
  spread.chosen = choice.value;
  note();
  spread.load();
});

document.addEventListener("click", (event) => {
  const link = /** @type {Element} */ (event.target).closest("a[data-module], button[data-module]");
  if (!link) return;
  event.preventDefault();
  view.choose(/** @type {HTMLElement} */ (link).dataset.module ?? null, at.step);
  place.scrollIntoView({ block: "nearest" });
});
/* Steps between two: typed, or dragged over the loss */

const whole = find("#whole");
const bounds = ["from", "to"].map((name) => /** @type {any} */ (form.elements.namedItem(name)));
const showWhole = () => (whole.hidden = bounds.every((input) => !input.value));
form.addEventListener("change", () => {
  showWhole();
  note();
  spread.load();
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
  spread.load();
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
    const { steps } = view.picture;
    const span = steps.length ? steps[steps.length - 1] - steps[0] : 0;
    if (high - low > span / 50 && high - low >= 2) zoom(String(Math.max(0, Math.ceil(low))), String(Math.floor(high)));
  }
  begun = null;
});

saving(find("#saves"), { loss: view.loss, picture: view.map }, find("h1").textContent);
saving(find("#depth .saves"), depth.plots, () => `${find("h1").textContent} step ${signal.shown.step}`);
whenWired(form, look);
draw();
plotly.then(draw);
spread.load();
