/** The Lab: wires the controls, the stream, the strip, the charts and the address to one another. */
import { find, json, oncePerFrame } from "../dom.js";
import { plotly } from "../plot.js";
import { present } from "../shell.js";
import { tabs } from "../tabs.js";
import { History, address, fill, fragment, queryOf } from "./address.js";
import { Charts } from "./charts.js";
import { commands, presets, remedies } from "./commands.js";
import { Controls } from "./controls.js";
import { showFixes, staleFixes } from "./fixes.js";
import { showFindings } from "./findings.js";
import { Inspector } from "./inspector.js";
import { compare } from "./pin.js";
import { Profile } from "./profile.js";
import { listen } from "./stream.js";
import { Strip } from "./strip.js";
import { Table } from "./table.js";
import { sayVerdict, showCheck, showTheory, showVerdict } from "./verdict.js";

const form = /** @type {HTMLFormElement} */ (find("#experiment"));
const figures = json("figures");
const controls = new Controls(form);
const past = new History();
/** @type {{profile: Profile|null, pinned: Profile|null, pin: string|null, side: "after"|"before", tensor: any, chosen: number}} */
const state = { profile: null, pinned: null, pin: null, side: "after", tensor: "activations", chosen: 0 };

const strip = new Strip(find("#strip"), find("#readout"), select);
const charts = new Charts(find("#charts"), figures, select);
const table = new Table(/** @type {any} */ (find(".layers")));
const inspector = new Inspector(find("#inspector"), figures.rules, select);
const showSide = tabs("side", (side) => look({ side: /** @type {"after"|"before"} */ (side) }));
const showTensor = tabs("tensor", (tensor) => look({ tensor }));

/* Drawing */

/** @type {Set<string>} */
const stale = new Set();
const drawStale = oncePerFrame(() => {
  if (!state.profile) return;
  charts.draw(/** @type {any} */ (state), stale);
  stale.clear();
  const { experiment, complete, summary } = state.profile;
  document.dispatchEvent(new CustomEvent("lab:drawn", { detail: { experiment, complete, summary: Boolean(summary) } }));
});

/** Draws charts at the next frame. @param {string[]} names all of them by default */
function draw(names = charts.names) {
  for (const name of names) stale.add(name);
  drawStale();
}
const inspect = () => state.profile && (state.chosen ? inspector.show(state.profile, state.chosen, state.side, queryOf(form).toString()) : inspector.close());

/** Everything that may wait until a result is complete and painted. */
function complete() {
  if (!state.profile) return;
  const { summary } = state.profile;
  showVerdict(summary);
  showFixes(form, summary, false);
  showTheory(summary.theory);
  charts.forecast(state.profile);
  comparePinned();
  // All that the summary brings to the charts is theory.
  draw(summary.theory?.available ? ["activations", "gradients"] : []);
}

function describe() {
  strip.describe();
  if (state.profile) {
    charts.describe(/** @type {any} */ (state));
    table.show(state.profile);
  }
  inspect();
}

/* The stream */

listen(form, {
  start(profile) {
    controls.refuse([]);
    state.profile = profile;
    strip.start(profile);
    state.chosen = Math.min(state.chosen, profile.blocks.length);
    strip.choose(state.chosen);
    showCheck(null);
    staleFixes();
  },
  records(blocks, ready) {
    strip.touch(blocks);
    if (ready) draw();
  },
  findings(found) {
    if (state.profile?.summary) return;
    sayVerdict(found[0].severity, found[0].title, found[0].explanation);
    showFindings(found, []);
  },
  summary: complete,
  fix: () => state.profile && showFixes(form, state.profile.summary, false),
  check: showCheck,
  end() {
    describe();
    if (state.profile?.summary) showFixes(form, state.profile.summary, true);
  },
  refused(problem) {
    controls.refuse(problem.errors ?? [{ field: "", message: problem.detail }]);
  },
  failed(words) {
    sayVerdict("error", "No result", words);
    showFindings([], []);
    showTheory(null);
  },
});

/* The address */

/** @returns {URLSearchParams} */
function more() {
  const values = {
    layer: state.chosen || "",
    side: state.side === "after" ? "" : state.side,
    tensor: state.tensor === "activations" ? "" : state.tensor,
    present: document.documentElement.hasAttribute("data-present") ? "1" : "",
  };
  const result = new URLSearchParams(
    Object.entries(values)
      .filter(([, value]) => value)
      .map(([name, value]) => [name, String(value)]),
  );
  if (state.pin !== null) result.set("pin", state.pin);
  return result;
}

const here = () => address(queryOf(form), more());
const note = () => past.note(here());

form.addEventListener("input", () => {
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
  state.chosen = Math.max(0, Number.parseInt(wanted.get("layer") ?? "", 10) || 0);
  if (state.profile) state.chosen = Math.min(state.chosen, state.profile.blocks.length);
  showSide(state.side);
  showTensor(state.tensor);
  strip.side = state.side;
  strip.touchAll();
  strip.choose(state.chosen);
  if (wanted.has("present") !== document.documentElement.hasAttribute("data-present")) present(wanted.has("present"));
  if (wanted.get("pin") !== state.pin) loadPin(wanted.get("pin"));
  draw();
  inspect();
}

/** A change of what is looked at, not of what is run. @param {Partial<typeof state>} change */
function look(change) {
  Object.assign(state, change);
  strip.side = state.side;
  strip.touchAll();
  strip.tell(state.chosen);
  draw();
  inspect();
  note();
}

/** Chooses a block everywhere; 0 for none. @param {number} block */
function select(block) {
  state.chosen = block;
  strip.choose(block);
  draw();
  inspect();
  note();
}

/* Pinning */

function comparePinned() {
  if (state.profile) compare(state.pinned, state.profile, { swap, clear: () => setPin(null, null) });
  find("[data-action=pin]").setAttribute("aria-pressed", String(state.pin !== null));
}

/** @param {string|null} query @param {Profile|null} profile */
function setPin(query, profile) {
  state.pin = query;
  state.pinned = profile;
  comparePinned();
  draw();
  note();
}

const togglePin = () => (state.pin === null ? state.profile?.summary && setPin(queryOf(form).toString(), state.profile) : setPin(null, null));

function swap() {
  if (state.pin === null) return;
  const query = new URLSearchParams(state.pin);
  setPin(queryOf(form).toString(), state.profile);
  open(query);
}

/** @param {string|null} query */
async function loadPin(query) {
  state.pin = query;
  state.pinned = null;
  if (query !== null) {
    const response = await fetch(`/api/v1/experiment?${query}`);
    if (!response.ok || state.pin !== query) return;
    state.pinned = Profile.of(await response.json());
  }
  comparePinned();
  draw();
}

/* Fixes and findings */

/** Runs the changed experiment over the curves of the present one. @param {URLSearchParams} query */
function tryFix(query) {
  if (state.profile?.summary) [state.pin, state.pinned] = [queryOf(form).toString(), state.profile];
  open(query);
}

remedies(tryFix, (block, chart) => {
  select(Math.min(block, state.profile?.blocks.length ?? 0));
  charts.point(chart);
});

/* Presets, buttons, keys */

const markPreset = presets(() => queryOf(form).toString(), open);
commands({
  query: () => queryOf(form).toString(),
  here,
  pin: togglePin,
  swap,
  step: (by) => state.profile && select(Math.min(state.profile.blocks.length, Math.max(1, state.chosen + by))),
  seed: () => controls.roll("c-seed"),
  side() {
    look({ side: state.side === "after" ? "before" : "after" });
    showSide(state.side);
  },
});
document.addEventListener("present", note);

/* The page as it came */

const result = json("result");
if (result) {
  state.profile = Profile.of(result);
  strip.start(state.profile);
  // Verdict, findings and fixes are already there.
  showTheory(result.theory);
  charts.forecast(state.profile);
  comparePinned();
} else {
  charts.say("nothing was run");
}
restore();
document.addEventListener("look", () => draw()); // marks and heatmaps have their colours from the tokens too
plotly.then(() => {
  draw();
  requestAnimationFrame(() => setTimeout(settle));
});

/** After the first paint: the check, which the page did not wait for. */
async function settle() {
  describe();
  if (!state.profile) return;
  const at = state.profile;
  const response = await fetch(`/api/v1/experiment?${queryOf(form)}`);
  if (!response.ok || state.profile !== at) return;
  const whole = await response.json();
  showCheck(whole.check);
  if (at.summary.fixes.length) return;
  // The page did not wait for fixes that take long.
  at.summary.fixes = whole.findings.flatMap((/** @type {any} */ f, /** @type {number} */ i) =>
    f.fix ? [{ finding: i, fix: f.fix, fix_verified: f.fix_verified }] : [],
  );
  showFixes(form, at.summary, true);
}
