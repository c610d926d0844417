/** A map's cells as numbers: what is known, coarse to fine, and what the picture makes of it. */
import { literal, number } from "../format.js";

/** @typedef {[number, number, number|null, number|null, string]} Cell row, column, number, spread, text */
/** @typedef {{parameter: string, title: string, number: boolean, values: string[], experiment: boolean}} Axis */
/** @typedef {{name: string, title: string, log: boolean, centre: number|null, bounds: [number, number]|null, levels: string[],
 *   ramp: string, scale: [number, string][], lines: Record<string, [string, string]>}} Display */
/** @typedef {{x: Axis, y: Axis, cells: Cell[], after: number, display: Display, id: string, state: string|null, lab: string,
 *   query: string, theory: string}} Drawing */
/** @typedef {{row: number, column: number}} Place */

const MOST_DECADES = 8;

export class Plane {
  /** @param {Drawing} drawing */
  constructor(drawing) {
    this.x = drawing.x;
    this.y = drawing.y;
    this.display = drawing.display;
    this.drawing = drawing;
    /** @type {(Cell|null)[][]} */
    this.cells = drawing.y.values.map(() => drawing.x.values.map(() => null));
    this.add(drawing.cells);
  }

  /** What came. @param {Cell[]} cells */
  add(cells) {
    for (const cell of cells) this.cells[cell[0]][cell[1]] = cell;
  }

  /** The cell itself, or while it is to come the nearest coarser one that stands for it. @param {number} row @param {number} column */
  shown(row, column) {
    const most = Math.max(this.x.values.length, this.y.values.length);
    for (let stride = 1; stride / 2 < most; stride *= 2) {
      const cell = this.cells[row - (row % stride)][column - (column % stride)];
      if (cell) return cell;
    }
    return null;
  }

  /** Where a number lies on the colours' scale. @param {number|null} value */
  shade(value) {
    if (value === null) return null;
    if (!this.display.log) return value;
    if (value <= 0) return -Infinity;
    return Math.log10(value / (this.display.centre ?? 1));
  }

  /** Lowest and highest of the scale, by what is known. @returns {[number, number]} */
  range() {
    if (this.display.levels.length) return [-0.5, this.display.levels.length - 0.5];
    if (this.display.bounds) return this.display.bounds;
    const shades = this.cells.flat().flatMap((cell) => (cell ? [this.shade(cell[2])] : []));
    const known = /** @type {number[]} */ (shades.filter((v) => v !== null && Number.isFinite(v)));
    if (!known.length) return [0, 1];
    const [least, high] = [Math.min(...known), Math.max(...known)];
    if (this.display.centre !== null) {
      const span = Math.min(MOST_DECADES, Math.max(0.3, -least, high));
      return [-span, span];
    }
    const low = this.display.log ? Math.max(least, high - 2 * MOST_DECADES) : least;
    return high - low < 1e-9 ? [low - 0.5, high + 0.5] : [low, high];
  }

  /** Colours, faults and words by row and column. */
  layers() {
    const [low, high] = this.range();
    const rows = this.y.values.map((_, row) => this.x.values.map((__, column) => this.shown(row, column)));
    const clip = (/** @type {number|null} */ v) => (v === null ? null : Math.min(high, Math.max(low, v)));
    return {
      low,
      high,
      shades: rows.map((row) => row.map((cell) => (cell ? clip(this.shade(cell[2])) : null))),
      faults: rows.map((row) => row.map((cell) => (cell && cell[2] === null ? 1 : null))),
      words: rows.map((row, r) => row.map((_, c) => literal(this.words({ row: r, column: c })).replace(": ", "<br>"))),
    };
  }

  /** What there is to say of a cell. @param {Place} place */
  words({ row, column }) {
    const where = `${this.y.title} ${this.y.values[row]}, ${this.x.title} ${this.x.values[column]}`;
    const cell = this.cells[row][column];
    if (!cell) return `${where}: to come`;
    return `${where}: ${this.told(cell)}`;
  }

  /** A cell's figures. @param {Cell} cell */
  told([, , value, spread, text]) {
    const { title, levels } = this.display;
    if (value === null) return `${title} ${text === "none" ? "nowhere" : text}`;
    const level = levels[value];
    if (level) return `${title} ${level}${text && `, ${text}`}`;
    return `${title} ${number(value)}${spread === null ? "" : ` ± ${number(spread)}`}${text && `, ${text}`}`;
  }

  /** The Lab at a cell. @param {Place} place */
  lab({ row, column }) {
    const query = new URLSearchParams(this.drawing.query);
    for (const [axis, at] of /** @type {[Axis, number][]} */ ([[this.x, column], [this.y, row]]))
      if (axis.experiment) query.set(axis.parameter, axis.values[at]); // prettier-ignore
    return `${this.drawing.lab}?${query}`;
  }

  /** The cell beside this one. @param {Place} place @param {number} rows @param {number} columns @returns {Place} */
  beside({ row, column }, rows, columns) {
    const clamp = (/** @type {number} */ v, /** @type {number} */ length) => Math.min(length - 1, Math.max(0, v));
    return { row: clamp(row + rows, this.y.values.length), column: clamp(column + columns, this.x.values.length) };
  }

  /** What the form has to say for a map of these cells alone: fields and their text. @param {Place} a @param {Place} b */
  zoomed(a, b) {
    /** @type {Record<string, string>} */
    const fields = {};
    for (const [name, axis, one, other] of /** @type {[string, Axis, number, number][]} */ ([["x", this.x, a.column, b.column], ["y", this.y, a.row, b.row]])) {
      let [low, high] = [Math.min(one, other), Math.max(one, other)];
      if (axis.number) {
        // One value is no range: up to its neighbours.
        if (low === high) [low, high] = [Math.max(0, low - 1), Math.min(axis.values.length - 1, high + 1)];
        if (low === high) continue;
        Object.assign(fields, { [`${name}_from`]: axis.values[low], [`${name}_to`]: axis.values[high], [`${name}_values`]: "" });
      } else fields[`${name}_values`] = axis.values.slice(low, high + 1).join(",");
    } // prettier-ignore
    return fields;
  }
}
