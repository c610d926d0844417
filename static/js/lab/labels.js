/** Where the names of curves are written: beside each curve, and apart from one another. */

/** `at`: wanted place along the curve, 0 to 1. `side` of the curve; "inside" a band, whose second half is its lower edge.
 * @typedef {{at: number, side: string, color: string, name: string}} Label */
/** @typedef {{visible?: boolean, x: number[], y: (number|null)[]}} Trace */
/** What is drawn on, in pixels; `range` of its values, exponents where `log`; `char` and `line` of its type.
 * @typedef {{width: number, height: number, blocks: number, range: [number, number], log: boolean, char: number, line: number}} Area */
/** @typedef {{left: number, right: number, top: number, bottom: number}} Box */

const PAD = 2;
const STEPS = [0, -0.12, 0.12, -0.24, 0.24, -0.36, 0.36];
/** Of a place: over another's words, beyond the chart, over a curve, and a step away from where it is wanted. */
const COST = { words: 100, beyond: 50, curve: 3, step: 0.5 };

/** The annotations for the labels of those curves that are known. @param {(Label & {trace: number})[]} labels @param {Trace[]} traces
 * @param {any[]} others that are written in the chart already @param {Area} area */
export function placed(labels, traces, others, area) {
  const taken = others.map((other) => boxOf(other, area));
  const curves = traces.filter(({ visible }) => visible !== false).map((trace) => points(trace, area));
  return labels.flatMap((label) => {
    const trace = traces[label.trace];
    if (!trace || trace.visible === false) return [];
    const places = candidates(label, trace, area);
    if (!places.length) return [];
    const costs = places.map((place, i) => cost(boxOf(place, area), taken, curves, area) + COST.step * i);
    const best = places[costs.indexOf(Math.min(...costs))];
    taken.push(boxOf(best, area));
    return [best];
  });
}

/** The places for a name, the wanted one first. @param {Label} label @param {Trace} trace @param {Area} area @returns {any[]} */
function candidates({ at, side, color, name }, { x, y }, { blocks, range, log }) {
  const from = side === "inside" ? x.length / 2 : 0;
  const known = x.map((_, i) => i).filter((i) => i >= from && y[i] !== null && (!log || Number(y[i]) > 0));
  if (!known.length) return [];
  const anchors = { top: ["bottom", "top"], bottom: ["top", "bottom"], inside: ["bottom", "top"] }[side] ?? [];
  const ats = STEPS.map((step) => at + step).filter((there) => there >= 0 && there <= 1);
  return ats.flatMap((there) => {
    const wanted = 1 + there * (blocks - 1);
    const i = known.reduce((best, other) => (Math.abs(x[other] - wanted) < Math.abs(x[best] - wanted) ? other : best));
    const value = log ? Math.min(range[1], Math.max(range[0], Math.log10(Number(y[i])))) : Number(y[i]);
    const xanchor = blocks < 3 ? "center" : there > 0.7 ? "right" : "left";
    return anchors.map((yanchor) => ({
      text: name,
      x: x[i],
      y: value,
      xref: "x",
      yref: "y",
      xanchor,
      yanchor,
      showarrow: false,
      borderpad: PAD,
      font: { color },
    }));
  });
}

/** @param {Box} box @param {Box[]} taken @param {[number, number][][]} curves @param {Area} area */
function cost(box, taken, curves, { width, height }) {
  const words = taken.filter((other) => meet(box, other)).length;
  const beyond = Number(box.left < 0 || box.right > width || box.top < 0 || box.bottom > height);
  return COST.words * words + COST.beyond * beyond + COST.curve * curves.filter((curve) => crosses(curve, box)).length;
}

/** Where the words of an annotation are. @param {any} annotation @param {Area} area @returns {Box} */
export function boxOf({ text, x, y, xref, yref, xanchor, yanchor }, area) {
  const [wide, high] = [text.length * area.char + 2 * PAD, area.line + 2 * PAD];
  const [across, down] = [xref === "paper" ? x * area.width : column(x, area), yref === "paper" ? (1 - y) * area.height : row(y, area)];
  const left = across - { left: 0, center: wide / 2, right: wide }[/** @type {"left"|"center"|"right"} */ (xanchor)];
  const top = yanchor === "top" ? down : down - high;
  return { left, right: left + wide, top, bottom: top + high };
}

/** @param {Box} a @param {Box} b */
export const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

const column = (/** @type {number} */ x, /** @type {Area} */ { width, blocks }) => ((x - 0.5) / blocks) * width;
const row = (/** @type {number} */ y, /** @type {Area} */ { height, range }) => ((range[1] - y) / (range[1] - range[0])) * height;

/** A curve in pixels; where it is not known it has no point. @param {Trace} trace @param {Area} area @returns {[number, number][]} */
const points = ({ x, y }, area) =>
  x.flatMap((at, i) => {
    const value = y[i];
    if (value === null || (area.log && value <= 0)) return [];
    return [[column(at, area), row(area.log ? Math.log10(value) : value, area)]];
  });

/** Whether a curve goes through a box, which its own may touch. @param {[number, number][]} curve @param {Box} box */
function crosses(curve, { left, right, top, bottom }) {
  const inner = { left, right, top: top + PAD + 1, bottom: bottom - PAD - 1 };
  return curve.some(([x, y], i) => {
    const [before, high] = i ? curve[i - 1] : [x, y];
    if (Math.max(x, before) < left || Math.min(x, before) > right) return false;
    // The part of the piece that is over or under the box.
    const there = (/** @type {number} */ at) =>
      x === before ? y : high + ((y - high) * (Math.min(Math.max(at, Math.min(x, before)), Math.max(x, before)) - before)) / (x - before);
    const ends = x === before ? [y, high] : [there(left), there(right)];
    return Math.max(...ends) > inner.top && Math.min(...ends) < inner.bottom;
  });
}
