/** What charts over layers have beside their curves: the curves' names, and ticks at powers. */
import { raised } from "../format.js";
import { inside, placed } from "./labels.js";

/** A layout of known size with the curves' names. @param {any[]} labels @param {any[]} traces @param {any} layout */
export function named(labels, traces, layout) {
  const { width, height, margin, font, xaxis, yaxis, annotations = [] } = layout;
  const area = {
    width: Math.max(1, width - margin.l - margin.r),
    height: Math.max(1, height - margin.t - margin.b),
    blocks: xaxis.range[1] - xaxis.range[0],
    range: yaxis.range,
    log: yaxis.type === "log",
    char: 0.6 * font.size,
    line: 1.3 * font.size,
  };
  const others = annotations.map((/** @type {any} */ other) => inside(other, area));
  return { ...layout, annotations: [...others, ...placed(labels, traces, others, area)] };
}

/** Ticks at powers, on a log axis of base 10 by their value, else by the exponent. Written as the server writes them: Plotly's own
 * exponents are too small to read. @param {2|10} base @param {[number, number]} range of exponents @param {number} step */
export function powers(base, [low, high], step) {
  const exponents = [];
  for (let e = Math.ceil(low / step) * step; e <= high; e += step) exponents.push(e);
  const text = (/** @type {number} */ e) => (base === 10 && (e === 0 || e === 1) ? String(base ** e) : `${base}${raised(e)}`);
  return { tickmode: "array", tickvals: exponents.map((e) => (base === 10 ? 10 ** e : e)), ticktext: exponents.map(text) };
}

/** Powers of ten over which they alone are ticks enough. */
const SOME = 2.2;
/** Powers up to which a number is written out. */
const PLAIN = 3;

/** Ticks of a log axis by value: at powers of ten, over few of them (one and a half at least) at 1, 2 and 5 times these too; Plotly writes those between the powers too small to read. @param {[number, number]} range of exponents @param {number} [most] how many at powers */
export function logTicks([low, high], most = 6) {
  const span = high - low;
  if (span > SOME) return powers(10, [low, high], [1, 2, 3, 5, 10, 20, 50, 100].find((step) => span / step <= most) ?? 200);
  /** @type {{mantissa: number, power: number}[]} */
  const ticks = [];
  for (let power = Math.floor(low); power <= high; power++)
    for (const mantissa of [1, 2, 5]) if (power + Math.log10(mantissa) >= low && power + Math.log10(mantissa) <= high) ticks.push({ mantissa, power });
  const value = (/** @type {typeof ticks[0]} */ { mantissa, power }) => Number(`${mantissa}e${power}`);
  const text = (/** @type {typeof ticks[0]} */ tick) => (Math.abs(tick.power) <= PLAIN ? String(value(tick)) : `${tick.mantissa}×10${raised(tick.power)}`);
  return { tickmode: "array", tickvals: ticks.map(value), ticktext: ticks.map(text) };
}
