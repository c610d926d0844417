/** A run's picture as numbers: columns of modules over steps, and what the two charts make of them. */
import { literal, number } from "../format.js";
import { logTicks } from "../lab/axes.js";
import { token } from "../tokens.js";
import { cursorLine } from "./cursor.js";
import { foldable, folded, unfolded } from "./folding.js";

/** @typedef {{quantity: string, modules: string[], steps: number[], loss: (number|null)[], lost: boolean[],
 *   columns: (number|null)[][], faults: number[][], after: number, marks: [number, string, string][]}} Drawing */
/** @typedef {{scale: [number, string][], span: number, log: boolean, centre: number|null}} Display */
/** @typedef {{step: number|null, row: number|null}} Cursor */

/** @typedef {import("./folding.js").Row} Row */

/** A module without a qualified name: the model itself. */
const WHOLE = "the whole";

/** A row's cells, a column each: values, where they lie on the colours' scale, what is not finite, and of several modules whose they are.
 * @typedef {{values: (number|null)[], shades: (number|null)[], faults: (number|null)[], names: string[]}} Cells */

/** The middle of the sizes; 1 where there are none. @param {(number|null)[][]} columns */
function median(columns) {
  const sizes = new Float64Array(columns.reduce((sum, { length }) => sum + length, 0));
  let count = 0;
  for (const column of columns) for (const value of column) if (value) sizes[count++] = Math.abs(value);
  return count ? sizes.subarray(0, count).sort()[Math.floor(count / 2)] : 1;
}

/** What tells a row's members, which follow one another, from any other row's. @param {Row} row */
const keyOf = ({ members }) => `${members[0]}+${members.length}`;

export class Picture {
  /** @param {Drawing} drawing @param {Record<string, Display>} displays */
  constructor(drawing, displays) {
    this.display = displays[drawing.quantity];
    this.marks = drawing.marks;
    this.steps = [...drawing.steps];
    this.loss = [...drawing.loss];
    this.lost = [...drawing.lost];
    this.columns = [...drawing.columns];
    this.faults = [...drawing.faults];
    /** Which modules are not finite, by column. @type {Set<number>[]} */
    this.faulty = [];
    /** The middle of the scale; null until it is asked for. @type {number|null} */
    this.middle = null;
    /** What the cells that are kept were worked out around. @type {number|null} */
    this.around = null;
    /** A row's cells go on as columns come. @type {Map<string, Cells>} */
    this.kept = new Map();
    /** Of the rows as they are. @type {null | {[of in keyof Cells]: Cells[of][]}} */
    this.cells = null;
    this.modules = drawing.modules;
    /** What the map has a row for: modules, or blocks of them. @type {Row[]} */
    this.rows = unfolded(this.modules);
    /** Whether blocks of modules may be closed. */
    this.foldable = foldable(this.modules);
    /** What the rows were arranged for. @type {{place: number|null, fold: boolean}} */
    this.arranged = { place: null, fold: false };
  }

  /** Qualified names in forward order. @param {string[]} modules */
  rename(modules) {
    this.modules = modules;
    this.rows = unfolded(modules);
    this.foldable = foldable(modules);
    this.arranged = { place: null, fold: false };
    this.kept = new Map();
    this.cells = null;
  }

  /** What the colours' scale is around: the median of what is shown, where the quantity has no centre of its own. */
  get centre() {
    return (this.middle ??= this.display.centre ?? median(this.columns));
  }

  /** Rows for blocks, but for the one of the module that is looked at; or for every module. @param {string|null} module @param {boolean} closed */
  arrange(module, closed) {
    const fold = closed && this.foldable;
    const place = fold ? this.placeOf(module) : null;
    if (fold === this.arranged.fold && place === this.arranged.place) return;
    this.arranged = { place, fold };
    const rows = fold ? folded(this.modules, place) : unfolded(this.modules);
    if (rows.length === this.rows.length && rows.every((row, i) => keyOf(row) === keyOf(this.rows[i]))) return;
    this.rows = rows;
    this.cells = null;
  }

  /** @param {string|null} module @returns {number|null} */
  placeOf(module) {
    const place = module === null ? -1 : this.modules.indexOf(module);
    return place < 0 ? null : place;
  }

  /** What the map calls a row. @param {Row} row */
  label({ name, members }) {
    return literal(members.length > 1 ? `${name} · ${members.length}` : name || WHOLE);
  }

  /** Of the modules of a row, the one that is farthest from what is wanted, what is not finite first. @param {Row} row @param {number} column */
  worst({ members }, column) {
    if (members.length === 1) return members[0];
    const faults = this.faultsOf(column);
    const found = faults.size ? members.find((member) => faults.has(member)) : undefined;
    if (found !== undefined) return found;
    const values = this.columns[column] ?? [];
    let [worst, farthest] = [members[0], -1];
    for (const member of members) {
      const shade = this.shade(values[member]);
      // One without a value is no worse than any other.
      const far = shade === null ? -1 : Math.abs(shade);
      if (far > farthest) [worst, farthest] = [member, far];
    }
    return worst;
  }

  /** The modules that are not finite there. @param {number} column */
  faultsOf(column) {
    return (this.faulty[column] ??= new Set(this.faults[column]));
  }

  /** What came since. @param {Pick<Drawing, "steps"|"loss"|"lost"|"columns"|"faults">} more */
  add(more) {
    const last = this.steps.length ? this.steps[this.steps.length - 1] : -1;
    more.steps.forEach((step, i) => {
      if (step <= last) return;
      this.steps.push(step);
      this.loss.push(more.loss[i]);
      this.lost.push(more.lost[i]);
      this.columns.push(more.columns[i]);
      this.faults.push(more.faults[i]);
      this.cells = null;
      this.middle = null;
    });
  }

  /** The map's cells by row and step; of several modules the worst. Those of rows that stay are kept, and go on as columns come, as long
   * as the centre stays too. */
  mapped() {
    if (this.cells) return this.cells;
    if (this.around !== this.centre) this.kept = new Map();
    this.around = this.centre;
    this.kept = new Map(this.rows.map((row) => [keyOf(row), this.onwards(row)]));
    const all = [...this.kept.values()];
    this.cells = { shades: all.map((c) => c.shades), values: all.map((c) => c.values), faults: all.map((c) => c.faults), names: all.map((c) => c.names) };
    return this.cells;
  }

  /** A row's cells up to the last column, from those that are kept. @param {Row} row @returns {Cells} */
  onwards(row) {
    const cells = this.kept.get(keyOf(row)) ?? { values: [], shades: [], faults: [], names: [] };
    for (let column = cells.values.length; column < this.columns.length; column++) {
      const worst = this.worst(row, column);
      const value = this.columns[column][worst] ?? null;
      cells.values.push(value);
      cells.shades.push(this.shade(value));
      cells.faults.push(this.faultsOf(column).has(worst) ? 1 : null);
      cells.names.push(row.members.length > 1 ? `<br>the worst: ${literal(this.modules[worst])}` : "");
    }
    return cells;
  }

  /** The column nearest to a step. @param {number|null} step */
  place(step) {
    if (step === null || !this.steps.length) return this.steps.length - 1;
    let best = 0;
    this.steps.forEach((each, i) => {
      if (Math.abs(each - step) < Math.abs(this.steps[best] - step)) best = i;
    });
    return best;
  }

  /** The module of the row that the map calls so; the worst of several at that step. @param {string} label @param {number|null} step @returns {string|null} */
  labelled(label, step) {
    const row = this.rows.find((each) => this.label(each) === label);
    return row ? this.modules[this.worst(row, this.place(step))] : null;
  }

  /** @param {string|null} module @param {number|null} step @returns {Cursor} */
  cursor(module, step) {
    const place = this.placeOf(module);
    const row = place === null ? -1 : this.rows.findIndex(({ members }) => members.includes(place));
    return { step, row: row < 0 ? null : row };
  }

  /** The module and step beside these. @param {string|null} module @param {number|null} step @param {number} rows @param {number} columns */
  beside(module, step, rows, columns) {
    if (!this.steps.length || !this.modules.length) return null;
    const now = Math.max(0, this.placeOf(module) ?? 0);
    const place = this.place(step);
    const clamp = (/** @type {number} */ v, /** @type {number} */ length) => Math.min(length - 1, Math.max(0, v));
    // A closed block is gone into from the side that one comes from, so that every module is passed.
    return { module: this.modules[clamp(now + rows, this.modules.length)], step: this.steps[clamp(place + columns, this.steps.length)] };
  }

  /** Where a value lies on the colours' scale. @param {number|null|undefined} value */
  shade(value) {
    if (value === null || value === undefined) return null;
    const { log, span } = this.display;
    if (!log) return value;
    return value ? Math.min(span, Math.max(-span, Math.log10(Math.abs(value) / this.centre))) : -span;
  }

  /** @param {string|null} module @param {number|null} step */
  readout(module, step) {
    const member = this.placeOf(module);
    if (member === null || !this.steps.length) return "";
    const place = this.place(step);
    const value = this.columns[place]?.[member];
    const fault = this.faults[place]?.includes(member) ? ", with entries that are not finite" : "";
    return `${module || WHOLE} at step ${this.steps[place]}: ${number(value ?? null)}${fault}`;
  }

  /** @returns {[number, number]} */
  range() {
    const [first, last] = [this.steps[0] ?? 0, this.steps[this.steps.length - 1] ?? 1];
    const half = Math.max(0.5, (last - first) / Math.max(1, 2 * this.steps.length));
    return [first - half, last + half];
  }

  /** @param {Cursor} cursor */
  lossChart(cursor) {
    const known = this.loss.filter((v) => v !== null);
    const [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
    const log = low > 0 && high / low > 30;
    const [bottom, top] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
    const margin = 0.08 * (top - bottom) || 0.1 * Math.abs(top) || 0.5;
    const range = /** @type {[number, number]} */ ([bottom - margin, top + margin]);
    const lost = this.steps.filter((_, i) => this.lost[i]);
    const marked = this.marks.map(([x, severity]) => ({
      type: "line", xref: "x", yref: "paper", x0: x, x1: x, y0: 0, y1: 1,
      line: { color: token(severity === "error" ? "--fault" : severity === "warning" ? "--warn" : "--ink-3"), width: 1, dash: "dot" },
    })); // prettier-ignore
    const shapes = [...marked, ...cursorLine(cursor.step)];
    return {
      traces: [
        { x: this.steps, y: this.loss },
        { x: lost, y: lost.map(() => high) },
      ],
      layout: {
        xaxis: { ...stepAxis(this.range()), showticklabels: false },
        yaxis: log ? { type: "log", range, ...logTicks(range, 3) } : { type: "linear", range },
        shapes,
      },
    };
  }

  /** @param {Cursor} cursor */
  map(cursor) {
    const { shades, values, faults, names } = this.mapped();
    const { log, span, scale } = this.display;
    const labels = this.rows.map((row) => this.label(row));
    const range = this.range();
    const shapes =
      cursor.row === null
        ? []
        : [{ type: "rect", xref: "paper", yref: "y", x0: 0, x1: 1, y0: cursor.row - 0.5, y1: cursor.row + 0.5, line: { color: token("--select"), width: 1 } }];
    const every = Math.ceil(labels.length / 40);
    const some = (/** @type {any[]} */ all) => all.filter((_, i) => i % every === 0);
    return {
      traces: [
        {
          x: this.steps, y: labels, z: shades, customdata: values, text: names, zmin: log ? -span : 0, zmax: span,
          colorscale: scale.map(([at, name]) => [at, token(name)]),
        },
        { x: this.steps, y: labels, z: faults, text: names, visible: this.faults.some((of) => of.length > 0) },
      ],
      layout: {
        xaxis: stepAxis(range),
        yaxis: { range: [labels.length - 0.5, -0.5], tickmode: "array", tickvals: some(labels), ticktext: some(this.rows).map((row) => tick(row)) },
        shapes: [...shapes, ...cursorLine(cursor.step)],
      },
    }; // prettier-ignore
  }
}

/** An axis of steps, of which there is no half. @param {[number, number]} range */
export function stepAxis(range) {
  const few = range[1] - range[0] < 10;
  return few ? { range, tickmode: "linear", tick0: 0, dtick: 1 } : { range, tickmode: "auto" };
}

/** A row's name where it is written. @param {Row} row @param {number} [most] characters */
export const tick = ({ name, members }, most = 18) => literal(members.length > 1 ? `▸ ${short(name, most - 2)}` : short(name || WHOLE, most));

/** A qualified name's end, where it is long. @param {string} name @param {number} [most] characters */
export const short = (name, most = 18) => (name.length > most ? `…${name.slice(1 - most)}` : name);
