/** A run's picture as numbers: columns of modules over steps, and what the two charts make of them. */
import { literal, number } from "../format.js";
import { token } from "../tokens.js";
import { foldable, folded, unfolded } from "./folding.js";

/** @typedef {{quantity: string, modules: string[], steps: number[], loss: (number|null)[], lost: boolean[],
 *   columns: (number|null)[][], faults: number[][], after: number, marks: [number, string, string][]}} Drawing */
/** @typedef {{scale: [number, string][], span: number, log: boolean, centre: number|null}} Display */
/** @typedef {{step: number|null, row: number|null}} Cursor */

/** @typedef {import("./folding.js").Row} Row */

/** A module without a qualified name: the model itself. */
const WHOLE = "the whole";

/** The middle of the sizes; 1 where there are none. @param {(number|null)[][]} columns */
function median(columns) {
  const sizes = columns.flatMap((column) => column.filter((v) => v).map((v) => Math.abs(Number(v)))).sort((a, b) => a - b);
  return sizes.length ? sizes[Math.floor(sizes.length / 2)] : 1;
}

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
    this.modules = drawing.modules;
    /** What the map has a row for: modules, or blocks of them. @type {Row[]} */
    this.rows = unfolded(this.modules);
    this.centre = this.display.centre ?? 1;
    /** @type {null | {shades: (number|null)[][], values: (number|null)[][], faults: (number|null)[][]}} */
    this.cells = null;
  }

  /** Qualified names in forward order. @param {string[]} modules */
  rename(modules) {
    this.modules = modules;
    this.rows = unfolded(modules);
    this.cells = null;
  }

  /** Whether blocks of modules may be closed. */
  get foldable() {
    return foldable(this.modules);
  }

  /** Rows for blocks, but for the one of the module that is looked at; or for every module. @param {string|null} module @param {boolean} fold */
  arrange(module, fold) {
    const place = this.placeOf(module);
    const rows = fold && this.foldable ? folded(this.modules, place) : unfolded(this.modules);
    if (rows.length === this.rows.length && rows.every(({ name }, i) => name === this.rows[i].name)) return;
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
    const faults = this.faults[column];
    const found = faults?.length ? members.find((member) => faults.includes(member)) : undefined;
    if (found !== undefined || members.length === 1) return found ?? members[0];
    const far = (/** @type {number} */ member) => Math.abs(this.shade(this.columns[column]?.[member]) ?? -1);
    return members.reduce((one, other) => (far(other) > far(one) ? other : one));
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
    });
  }

  /** The map's cells by row and step: colours, values, what is not finite; of several modules the worst. Kept until there are more. */
  mapped() {
    if (this.cells) return this.cells;
    this.centre = this.display.centre ?? median(this.columns);
    const rows = this.rows.map((row) => this.columns.map((column, i) => column[this.worst(row, i)] ?? null));
    const faults = this.rows.map(() => new Array(this.steps.length).fill(null));
    const rowOf = this.modules.map(() => 0);
    this.rows.forEach(({ members }, row) => members.forEach((member) => (rowOf[member] = row)));
    this.faults.forEach((of, i) => {
      for (const member of of) if (rowOf[member] !== undefined) faults[rowOf[member]][i] = 1;
    });
    this.cells = { shades: rows.map((row) => row.map((value) => this.shade(value))), values: rows, faults };
    return this.cells;
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
    return value ? Math.min(span, Math.max(-span, Math.log10(Math.abs(value) / (this.centre || 1)))) : -span;
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
    const margin = 0.08 * (high - low) || 0.5;
    const range = log ? [Math.log10(low) - 0.1, Math.log10(high) + 0.1] : [low - margin, high + margin];
    const lost = this.steps.filter((_, i) => this.lost[i]);
    const line = (/** @type {number} */ x, /** @type {string} */ name, /** @type {number} */ width) => ({
      type: "line", xref: "x", yref: "paper", x0: x, x1: x, y0: 0, y1: 1, line: { color: token(name), width, dash: width > 1 ? "solid" : "dot" },
    }); // prettier-ignore
    const shapes = this.marks.map(([step, severity]) => line(step, severity === "error" ? "--fault" : severity === "warning" ? "--warn" : "--ink-3", 1));
    if (cursor.step !== null) shapes.push(line(cursor.step, "--select", 1.5));
    return {
      traces: [
        { x: this.steps, y: this.loss },
        { x: lost, y: lost.map(() => high) },
      ],
      layout: { xaxis: { range: this.range(), showticklabels: false }, yaxis: { type: log ? "log" : "linear", range }, shapes },
    };
  }

  /** @param {Cursor} cursor */
  map(cursor) {
    const { shades, values, faults } = this.mapped();
    const { log, span, scale } = this.display;
    const labels = this.rows.map((row) => this.label(row));
    const range = this.range();
    const shapes =
      cursor.row === null
        ? []
        : [{ type: "rect", xref: "paper", yref: "y", x0: 0, x1: 1, y0: cursor.row - 0.5, y1: cursor.row + 0.5, line: { color: token("--select"), width: 1 } }];
    if (cursor.step !== null)
      shapes.push(
        /** @type {any} */ ({
          type: "line",
          xref: "x",
          yref: "paper",
          x0: cursor.step,
          x1: cursor.step,
          y0: 0,
          y1: 1,
          line: { color: token("--select"), width: 1.5 },
        }),
      );
    const every = Math.ceil(labels.length / 40);
    const some = (/** @type {any[]} */ all) => all.filter((_, i) => i % every === 0);
    return {
      traces: [
        {
          x: this.steps, y: labels, z: shades, customdata: values, zmin: log ? -span : 0, zmax: span,
          colorscale: scale.map(([at, name]) => [at, token(name)]),
        },
        { x: this.steps, y: labels, z: faults, visible: this.faults.some((of) => of.length > 0) },
      ],
      layout: {
        xaxis: { range },
        yaxis: { range: [labels.length - 0.5, -0.5], tickmode: "array", tickvals: some(labels), ticktext: some(this.rows).map((row) => tick(row)) },
        shapes,
      },
    }; // prettier-ignore
  }
}

/** A row's name where it is written. @param {Row} row */
const tick = ({ name, members }) => literal(members.length > 1 ? `▸ ${short(name, 16)}` : short(name || WHOLE));

/** A qualified name's end, where it is long. @param {string} name @param {number} [most] characters */
export const short = (name, most = 18) => (name.length > most ? `…${name.slice(1 - most)}` : name);
