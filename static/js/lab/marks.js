/** What is drawn around the curves: the chosen layer, number format limits, where nothing finite is left. */
import { token } from "../tokens.js";
import { number } from "../format.js";
import { INF, NAN } from "./series.js";

/** @typedef {{shapes: any[], annotations: any[]}} Marks */

const shape = (/** @type {any} */ more) => ({ type: "rect", layer: "below", line: { width: 0 }, ...more });

const note = (/** @type {string} */ text, /** @type {string} */ color, /** @type {any} */ more) => ({
  text,
  showarrow: false,
  font: { color },
  bgcolor: "var(--surface)",
  borderpad: 2,
  xanchor: "left",
  yanchor: "top",
  xref: "x",
  yref: "paper",
  y: 1,
  ...more,
});

/** A thin line at the chosen block. @param {number} block @returns {any[]} */
export const chosenLine = (block) =>
  block ? [{ type: "line", layer: "below", x0: block, x1: block, yref: "paper", y0: 0, y1: 1, line: { color: token("--ink-2"), width: 1, dash: "dot" } }] : [];

/** Consecutive runs of blocks for which `is` holds. @param {boolean[]} is @returns {[number, number][]} first and last block */
export function runs(is) {
  /** @type {[number, number][]} */
  const found = [];
  is.forEach((yes, i) => {
    if (!yes) return;
    const last = found.at(-1);
    if (last && last[1] === i) last[1] = i + 1;
    else found.push([i + 1, i + 1]);
  });
  return found;
}

/** An overflow happens at the top of a chart, so that its label has room at the bottom. */
const FLOOR = { y: 0.02, yanchor: "bottom" };

/** Tints the blocks with NaN or Inf, and those that are all zero; says once where each begins.
 * @param {(Pick<import("./series.js").Tensor, "lost"|"zeros"|"count">|null)[]} tensors by block
 * @param {boolean} backward whether the first in time is the last block
 * @param {{called?: (block: number) => string|number, zero?: string}} words what a block is called, and what is said of those all zero, if anything
 * @returns {Marks} */
export function faults(tensors, backward = false, { called = (block) => block, zero: nothing = "all zero" } = {}) {
  const infinite = tensors.map((t) => Boolean(t && t.lost & INF));
  const nan = tensors.map((t) => Boolean(t && t.lost & NAN));
  const zero = tensors.map((t) => Boolean(t && t.count && t.zeros === t.count));
  const bad = infinite.map((yes, i) => yes || nan[i]);
  const tint = (/** @type {boolean[]} */ is, /** @type {string} */ color) =>
    runs(is).map(([first, last]) => shape({ x0: first - 0.5, x1: last + 0.5, yref: "paper", y0: 0, y1: 1, fillcolor: token(color) }));
  const first = (/** @type {boolean[]} */ is) => (backward ? is.lastIndexOf(true) : is.indexOf(true)) + 1;
  // A label beside a block, on the side where there is room.
  const at = (/** @type {number} */ block) => ({ x: block - 0.5, xanchor: block > tensors.length * 0.6 ? "right" : "left" });
  const annotations = [];
  if (bad.includes(true) && bad.includes(false)) {
    const named = [
      ["Inf", first(infinite)],
      ["NaN", first(nan)],
    ]
      .filter(([, block]) => block)
      .sort((a, b) => (backward ? -1 : 1) * (Number(a[1]) - Number(b[1])));
    annotations.push(
      note(named.map(([name, block]) => `${name} ${called(Number(block))}`).join(" · "), "var(--fault)", { ...at(bad.indexOf(true) + 1), ...FLOOR }),
    );
  }
  if (nothing && zero.includes(true) && zero.includes(false))
    annotations.push(note(`${nothing} ${backward ? "up to" : "from"} ${called(first(zero))}`, "var(--ink-2)", at(zero.indexOf(true) + 1)));
  return { shapes: [...tint(bad, "--fault-tint"), ...tint(zero, "--zero-tint")], annotations };
}

/** The range of a log axis over `values`, at least two decades, and with the number format's limits where they are near.
 * @param {(number|null)[][]} values @param {{name: string, max: number, tiny: number}} format
 * @param {boolean} overflows whether something went past the largest number
 * @returns {Marks & {range: [number, number], dtick: number}} */
export function logRange(values, format, overflows) {
  const known = values.flat().flatMap((value) => (value !== null && value > 0 ? [value] : []));
  let [bottom, top] = known.length ? [Math.log10(Math.min(...known)), Math.log10(Math.max(...known))] : [0, 0];
  const missing = Math.max(0, 2 - (top - bottom)) / 2;
  [bottom, top] = [bottom - missing, top + missing];
  const pad = (top - bottom) * 0.07;
  [bottom, top] = [bottom - pad, top + pad];
  const [largest, tiny] = [Math.log10(format.max), Math.log10(format.tiny)];
  const shapes = [];
  const annotations = [];
  const band = { xref: "paper", x0: 0, x1: 1 };
  const label = (/** @type {string} */ text, /** @type {number} */ y, /** @type {string} */ yanchor) =>
    note(text, "var(--ink-2)", { xref: "paper", x: 0.005, yref: "y", y, yanchor, borderpad: 1 });
  if (overflows || top > largest - 1) {
    top = Math.max(top, largest + 0.1 * (largest - bottom));
    shapes.push(shape({ ...band, y0: format.max, y1: raise(top), fillcolor: token("--fault-line") }));
    annotations.push(label(`${format.name} max ${number(format.max)}`, largest, "bottom"));
  }
  if (bottom < tiny + 1) {
    bottom = Math.min(bottom, tiny - 0.1 * (top - tiny));
    shapes.push(shape({ ...band, y0: raise(bottom), y1: format.tiny, fillcolor: token("--zero-tint") }));
    annotations.push(label(`${format.name} subnormal below ${number(format.tiny)}`, tiny, "top"));
  }
  return { shapes, annotations, range: [bottom, top], dtick: decades(top - bottom) };
}

/** Decades between two ticks, for about five of them. @param {number} span */
const decades = (span) => [1, 2, 4, 5, 8, 10, 20, 40, 50, 100, 200].find((d) => span / d <= 6) ?? 500;

/** A power of ten within what a double holds. (On a log axis a shape is placed by value, an annotation by exponent.)
 * @param {number} exponent */
const raise = (exponent) => Math.max(5e-324, 10 ** Math.min(308, exponent));
