/** The run's signal at one step, a pair of cells for each row of the picture: what the slider replays. */
import { find, json, oneAtATime } from "../dom.js";
import { Strip } from "../strip.js";

/** Classes and words of a module's activation and gradient, null where there is none. @typedef {[string|null, string|null, string|null, string|null]} Pair */
/** `figures` and `dtype` are for the charts by depth. @typedef {{step: number|null, modules: Pair[], figures: import("./depth.js").Figures[], dtype: string|null}} At */
/** @typedef {import("./folding.js").Row} Row */

/** The cell that stands for 1, css/magnitude.css; a step is half a decade. */
const [ONE, STEPS] = [16, 33];

/** How far a cell is from what is wanted: NaN, infinity, all zero, then decades from 1. @param {string|null} cell */
export function distance(cell) {
  if (cell === null) return -1;
  const lost = ["s-zero", "s-inf", "s-nan"].indexOf(cell);
  return lost < 0 ? Math.abs(Number(/q(\d+)/.exec(cell)?.[1] ?? ONE) - ONE) : STEPS + lost;
}

/** Of some modules, the one whose cell is the farthest; the first of equals. @param {Pair[]} modules @param {number[]} members @param {0|2} side */
export const farthest = (modules, members, side) =>
  members.reduce((worst, each) => (distance(modules[each]?.[side] ?? null) > distance(modules[worst]?.[side] ?? null) ? each : worst), members[0]);

/** A row's pair in words. @param {Row} row @param {Pair[]} modules @param {string[]} names */
export function words({ name, members }, modules, names) {
  const one = members.length === 1;
  const said = /** @type {const} */ ([["activation", 0], ["gradient", 2]]).map(([what, side]) => {
    const at = farthest(modules, members, side);
    return `${what}${one ? "" : ` (worst: ${names[at]})`} ${modules[at]?.[side + 1] ?? "not recorded"}`;
  }); // prettier-ignore
  return `${name || "the whole"}${one ? "" : `, ${members.length} modules`}: ${said.join("; ")}`;
}

export class Signal extends Strip {
  /** @param {import("./view.js").View} view @param {() => void} told hears of every step that is shown */
  constructor(view, told) {
    const root = find("#signal");
    const address = root.dataset.signal;
    super(root, find("#signal-readout"), (row) => this.pick(row), "Modules");
    this.view = view;
    this.told = told;
    this.address = address;
    /** @type {At} */
    this.shown = json("signal-now");
    /** The first recorded step, as soon as it has come. @type {At|null} */
    this.first = null;
    /** What the cells' words are of. @type {{shown: At|null, rows: Row[]}} */
    this.said = { shown: null, rows: [] };
    /** The step that was asked for last; null for the newest. @type {number|null} */
    this.wanted = this.view.at.step;
    this.load = oneAtATime(() => this.askFor());
    this.begin = oneAtATime(() => this.askForFirst());
    this.begin();
  }

  /** The rows' places are the strip's. @override @param {number} block */
  text(block) {
    const { rows, modules } = this.view.picture;
    return rows[block - 1] ? words(rows[block - 1], this.shown.modules, modules) : "";
  }

  /** The module of a row, at the same step. @param {number} block */
  pick(block) {
    const { rows, modules } = this.view.picture;
    this.view.choose(modules[farthest(this.shown.modules, rows[block - 1].members, 0)], this.view.at.step);
  }

  /** Steps have come. */
  follow() {
    if (this.view.at.step === null) this.load();
  }

  /** As the view has it now; asks for the step where it is another. */
  show() {
    const { rows } = this.view.picture;
    const { modules } = this.shown;
    const layers = rows.map(({ members }) => {
      const side = (/** @type {0|2} */ of) => modules[farthest(modules, members, of)]?.[of] ?? null;
      const [activation, gradient] = [side(0), side(2)];
      return { activation: activation === null ? null : { cell: activation }, gradient: gradient === null ? null : { cell: gradient } };
    });
    const numbers = rows.map((_, i) => i + 1);
    this.start({ blocks: rows.map((_, i) => ({ after: i, before: i })), numbers, layers });
    this.touch(numbers);
    this.choose((this.view.picture.cursor(this.view.at.module, null).row ?? -1) + 1);
    if (this.said.shown !== this.shown || this.said.rows !== rows) {
      this.said = { shown: this.shown, rows };
      this.describe();
    }
    this.told();
    if (this.view.at.step === this.wanted) return;
    this.wanted = this.view.at.step;
    this.load();
  }

  async askFor() {
    const found = await this.askAt(this.view.at.step);
    if (!found) return; // what is shown stays, until another step is asked for
    this.shown = found;
    this.show();
    this.begin();
  }

  /** Of a run that has a step: once. */
  async askForFirst() {
    if (this.first || this.shown.step === null) return;
    this.first = await this.askAt(0);
    this.told();
  }

  /** The recorded step nearest to this one, or the newest. @param {number|null} step @returns {Promise<At|null>} */
  async askAt(step) {
    const response = await fetch(step === null ? this.address : `${this.address}?step=${step}`).catch(() => null);
    return response?.ok ? await response.json() : null;
  }

  /** What the charts by depth show: this step's figures, of a closed block those of the cell that the strip shows. @param {At} step
   * @returns {import("./depth.js").Moment} */
  moment({ step, figures, modules }) {
    return { step, figures, worst: (members, side) => farthest(modules, members, side === "activations" ? 0 : 2) };
  }
}
