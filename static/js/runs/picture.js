/** A run's picture as numbers: columns of modules over steps, and what the two charts make of them. */
import { literal, number } from "../format.js";
import { token } from "../tokens.js";

/** @typedef {{quantity: string, modules: string[], steps: number[], loss: (number|null)[], lost: boolean[],
 *   columns: (number|null)[][], faults: number[][], after: number, marks: [number, string, string][]}} Drawing */
/** @typedef {{scale: [number, string][], span: number, log: boolean, centre: number|null}} Display */
/** @typedef {{step: number|null, row: number|null}} Cursor */

/** A module without a qualified name: the model itself. */
const WHOLE = "the whole";
const named = (/** @type {string[]} */ modules) => modules.map((name) => name || WHOLE);

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
    this.names = named(drawing.modules);
    this.centre = this.display.centre ?? 1;
    /** @type {null | {shades: (number|null)[][], values: (number|null)[][], faults: (number|null)[][]}} */
    this.cells = null;
  }

  /** Qualified names in forward order. @param {string[]} modules */
  rename(modules) {
    this.modules = modules;
    this.names = named(modules);
    this.cells = null;
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

  /** The map's cells by module and step: colours, values, what is not finite. Kept until there are more. */
  mapped() {
    if (this.cells) return this.cells;
    this.centre = this.display.centre ?? median(this.columns);
    const rows = this.modules.map((_, row) => this.columns.map((column) => column[row] ?? null));
    const faults = this.modules.map(() => new Array(this.steps.length).fill(null));
    this.faults.forEach((of, i) => {
      for (const row of of) faults[row][i] = 1;
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

  /** The module that the map calls so. @param {string} label @returns {string|null} */
  labelled(label) {
    return this.modules[this.names.findIndex((name) => literal(name) === label)] ?? null;
  }

  /** @param {string|null} module @param {number|null} step @returns {Cursor} */
  cursor(module, step) {
    const row = module === null ? -1 : this.modules.indexOf(module);
    return { step, row: row < 0 ? null : row };
  }

  /** The module and step beside these. @param {string|null} module @param {number|null} step @param {number} rows @param {number} columns */
  beside(module, step, rows, columns) {
    if (!this.steps.length || !this.modules.length) return null;
    const row = Math.max(0, module === null ? 0 : this.modules.indexOf(module));
    const place = this.place(step);
    const clamp = (/** @type {number} */ v, /** @type {number} */ length) => Math.min(length - 1, Math.max(0, v));
    return { module: this.modules[clamp(row + rows, this.modules.length)], step: this.steps[clamp(place + columns, this.steps.length)] };
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
    const row = module === null ? -1 : this.modules.indexOf(module);
    if (row < 0 || !this.steps.length) return "";
    const place = this.place(step);
    const value = this.columns[place]?.[row];
    const fault = this.faults[place]?.includes(row) ? ", with entries that are not finite" : "";
    return `${this.names[row]} at step ${this.steps[place]}: ${number(value ?? null)}${fault}`;
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
    const labels = this.names.map(literal);
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
    const some = (/** @type {string[]} */ all) => all.filter((_, i) => i % every === 0);
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
        yaxis: { range: [labels.length - 0.5, -0.5], tickmode: "array", tickvals: some(labels), ticktext: some(this.names).map((name) => literal(short(name))) },
        shapes,
      },
    }; // prettier-ignore
  }
}

/** A qualified name's end, where it is long. @param {string} name */
export const short = (name) => (name.length > 18 ? `…${name.slice(-17)}` : name);
