/** The Lab: wires the controls, the stream, the strip, the charts and the address to one another. */
import { beforeNextFrame, find, json } from "../dom.js";
import { plotly } from "../plot.js";
import { present } from "../shell.js";
import { tabs } from "../tabs.js";
import { History, address, fill, fragment, queryOf } from "./address.js";
import { Charts } from "./charts.js";
import { commands, presets, verdictLinks } from "./commands.js";
import { Controls } from "./controls.js";
import { Inspector } from "./inspector.js";
import { compare } from "./pin.js";
import { Series } from "./series.js";
import { listen } from "./stream.js";
import { Strip } from "../strip.js";
import { Walk } from "./walk.js";

const form = /** @type {HTMLFormElement} */ (find("#experiment"));
const figures = json("figures");
const controls = new Controls(form);
const past = new History();
/** @typedef {import("./series.js").Side} Side */
/** `picked`: the layer was chosen by hand; else the server says which is worth a look.
 * @type {{series: Series|null, pinned: Series|null, pin: string|null, side: Side, tensor: any, of: any, chosen: number, picked: boolean}} */
const state = { series: null, pinned: null, pin: null, side: "after", tensor: "activations", of: "outputs", chosen: 0, picked: false };
/** Whether the series that is drawn was complete then. */
let drawnWhole = false;

const strip = new Strip(find("#strip"), find("#readout"), select);
const charts = new Charts(find("#charts"), figures, select);
const walk = new Walk(strip, select);
const inspector = new Inspector(find("#inspector"), select);
const showSide = tabs("side", (side) => look({ side: /** @type {Side} */ (side) }));
const showOf = tabs("of", (of) => look({ of }));
tabs("chart", (chart) => (find("#charts").dataset.shown = chart));
const showTensor = tabs("tensor", (tensor) => look({ tensor }));

/* Drawing: everything from one state, at once */

/** @type {Set<string>} */
const stale = new Set();
const drawStale = beforeNextFrame(() => {
  if (!state.series) return;
  charts.draw(/** @type {any} */ (state), stale);
  stale.clear();
  const { experiment, complete, theory } = state.series;
  document.dispatchEvent(new CustomEvent("lab:drawn", { detail: { experiment, complete, summary: theory !== null } }));
});

/** Draws charts before the next frame. @param {string[]} names all of them by default */
function draw(names = Object.keys(charts.plots)) {
  for (const name of names) stale.add(name);
  drawStale();
}
/** Not of a setting that still waits: it may have fewer layers, and its stream brings the layer itself. */
const inspect = () => state.series?.asked === queryOf(form).toString() && inspector.show(state.chosen, state.side, queryOf(form));

/** Whether what is drawn is older than the controls: said, quietly, as long as it lasts. */
function compareWithControls() {
  find(".bench").toggleAttribute("data-behind", state.series?.asked !== queryOf(form).toString());
}

/** Makes an experiment the one that is drawn. @param {Series} series */
function take(series) {
  if (state.series !== series) {
    controls.refuse([]);
    state.series = series;
    strip.start(series);
    state.chosen = Math.min(state.chosen, series.blocks.length);
    strip.choose(state.chosen);
  }
  strip.touch(series.numbers);
  compareWithControls();
  draw();
}

/** Takes over what the server has said of it: figures for those who don't see them, the verdict for the comparison, the layer. */
function told() {
  if (!state.series?.theory) return;
  state.series.verdict = find("#verdict h2").textContent;
  comparePinned();
  if (strip.readouts !== find("#readouts")) strip.describe();
  const shown = inspector.told(state.side, queryOf(form));
  if (shown && !state.picked) mark(shown);
  else if (shown && shown !== state.chosen) inspect();
}

/* The stream */

listen(form, {
  chosen: () =>
    /** @type {[string, string][]} */ ([...(state.picked ? [["block", String(state.chosen)]] : []), ...(state.side === "after" ? [] : [["side", state.side]])]),
  // A fix stays where it is, but can't be pressed: it belongs to the setting before.
  started: () => find("#fixes").toggleAttribute("data-stale", true),
  partly(series) {
    find("#verdict").toggleAttribute("data-running", true);
    take(series);
    drawnWhole = false;
  },
  whole(series) {
    if (state.series === series && drawnWhole) return;
    take(series);
    drawnWhole = series.theory !== null;
  },
  told,
  refused(problem) {
    controls.refuse(problem.errors ?? [{ field: "", message: problem.detail }]);
  },
  failed({ status, detail }) {
    find("#verdict").replaceWith(find("#no-result").content.cloneNode(true));
    if (status) find("#verdict .words p").textContent = detail;
  },
});

/* The address */

/** @returns {URLSearchParams} */
function more() {
  const result = new URLSearchParams();
  if (state.picked) result.set("layer", String(state.chosen));
  if (state.side !== "after") result.set("side", state.side);
  if (state.tensor !== "activations") result.set("tensor", state.tensor);
  if (state.of !== "outputs") result.set("of", state.of);
  if (document.documentElement.hasAttribute("data-present")) result.set("present", "1");
  if (state.pin !== null) result.set("pin", state.pin);
  return result;
}

const here = () => address(queryOf(form), more());
const note = () => past.note(here());

form.addEventListener("input", () => {
  compareWithControls();
  past.follow(here());
  markPreset();
});
form.addEventListener("change", () => past.settle());
form.addEventListener("submit", (event) => event.preventDefault());

/** Shows the experiment of a query; by default as a new entry of the history. @param {URLSearchParams} query */
function open(query) {
  fill(form, query);
  controls.changed();
}

addEventListener("popstate", () => {
  past.forget();
  const before = queryOf(form).toString();
  restore();
  const query = new URLSearchParams(location.search);
  fill(form, query);
  controls.show();
  markPreset();
  if (queryOf(form).toString() === before) return;
  // Goes around the history's own listener: the address is already where it should be.
  window.htmx.trigger(form, "restore");
});

/** What the fragment says: layer, sides, pin, presentation. */
function restore() {
  const wanted = fragment();
  state.side = wanted.get("side") === "before" ? "before" : "after";
  state.tensor = ["gradients", "weights"].includes(wanted.get("tensor") ?? "") ? wanted.get("tensor") : "activations";
  state.of = wanted.get("of") === "weights" ? "weights" : "outputs";
  state.picked = wanted.has("layer");
  state.chosen = Math.max(1, Number.parseInt(wanted.get("layer") ?? "", 10) || inspector.block || inspector.worth || 1);
  if (state.series) state.chosen = Math.min(state.chosen, state.series.blocks.length);
  showSide(state.side);
  showTensor(state.tensor);
  showOf(state.of);
  turn();
  strip.choose(state.chosen);
  if (wanted.has("present") !== document.documentElement.hasAttribute("data-present")) present(wanted.has("present"));
  if (wanted.get("pin") !== state.pin) loadPin(wanted.get("pin"));
  draw();
  inspect();
}

/** Turns the strip, and the words that there are for each side and tensor, to the chosen one. */
function turn() {
  Object.assign(find(".bench").dataset, { side: state.side, tensor: state.tensor, of: state.of });
  strip.side = state.side;
  strip.touch(strip.series?.numbers ?? []);
}

/** A change of what is looked at, not of what is run. @param {Partial<typeof state>} change */
function look(change) {
  Object.assign(state, change);
  turn();
  strip.describe();
  draw();
  inspect();
  note();
}

/** Marks a block everywhere. @param {number} block */
function mark(block) {
  if (block === state.chosen) return;
  state.chosen = block;
  strip.choose(block);
  draw();
}

/** Chooses a block by hand. @param {number} block */
function select(block) {
  state.picked = true;
  mark(block);
  inspect();
  note();
}

/* Pinning */

function comparePinned() {
  if (state.series) compare(state.pinned, state.series);
  find("[data-action=pin]").setAttribute("aria-pressed", String(state.pin !== null));
}

/** @param {string|null} query @param {Series|null} series */
function setPin(query, series) {
  state.pin = query;
  state.pinned = series;
  comparePinned();
  draw();
  note();
}

const unpin = () => setPin(null, null);
const togglePin = () => (state.pin === null ? state.series?.theory && setPin(queryOf(form).toString(), state.series) : unpin());

function swap() {
  if (state.pin === null) return;
  const query = new URLSearchParams(state.pin);
  setPin(queryOf(form).toString(), state.series);
  open(query);
}

/** @param {string|null} query */
async function loadPin(query) {
  state.pin = query;
  state.pinned = null;
  if (query !== null) {
    const response = await fetch(`${find("#compare").dataset.href}?${query}`);
    if (!response.ok || state.pin !== query) return;
    state.pinned = Series.of(await response.json(), query);
  }
  comparePinned();
  draw();
}

/* Fixes and findings */

/** Runs the changed experiment over the curves of the present one. @param {URLSearchParams} query */
function tryFix(query) {
  if (state.series?.theory) [state.pin, state.pinned] = [queryOf(form).toString(), state.series];
  open(query);
}

verdictLinks(tryFix, (block, chart) => {
  select(Math.min(block, state.series?.blocks.length ?? 0));
  charts.point(chart);
});

/* Presets, buttons, keys */

const markPreset = presets(() => queryOf(form).toString(), open);
commands({
  query: () => queryOf(form).toString(),
  here,
  pin: togglePin,
  unpin,
  swap,
  step: (by) => state.series && select(Math.min(state.series.blocks.length, Math.max(1, state.chosen + by))),
  walk,
  seed: () => controls.roll("c-seed"),
  side() {
    look({ side: state.side === "after" ? "before" : "after" });
    showSide(state.side);
  },
});
document.addEventListener("present", note);

/* The page as it came: what is said is there already, and some more follows in the same response */

window.htmx.process(find("main")); // by itself htmx would wait for the end of that response
const drawing = json("drawing");
if (drawing) {
  state.series = Series.of(drawing, queryOf(form).toString());
  drawnWhole = true;
  strip.start(state.series);
  comparePinned();
}
const { series } = state;
// Streamed behind the strip, read before it: the focus goes the way of the eye.
find(".bench").prepend(find("#verdict"));
restore();
markPreset();
/** Takes over each piece of the response as soon as it is whole, unless another experiment runs by then. */
function takeLate() {
  for (const template of find("#late").querySelectorAll("template")) {
    if (!template.nextElementSibling) continue;
    if (state.series === series) window.htmx.swap({ text: template.innerHTML, sourceElement: form, target: form, swap: "none" }).then(told);
    template.remove();
  }
}
new MutationObserver(takeLate).observe(find("#late"), { childList: true });
takeLate();
document.addEventListener("look", () => draw()); // marks and heatmaps have their colours from the tokens too
plotly.then(() => {
  draw();
  requestAnimationFrame(() => setTimeout(() => strip.describe()));
});
