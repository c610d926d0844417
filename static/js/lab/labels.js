/** Where the names of curves are written: beside each curve, and apart from one another. */

/** `at`: wanted place along the curve, 0 to 1. `side` of the curve, or the other one, but for "over" bars; "inside" a band, whose second half is its lower edge.
 * @typedef {{at: number, side: string, color: string, name: string}} Label */
/** `meta`: of a trace in pieces, the one that is named. @typedef {{visible?: boolean, x: number[], y: (number|null)[], meta?: {x: number[], y: (number|null)[]}}} Trace */
/** What is drawn on, in pixels; `range` of its values, exponents where `log`; `char` and `line` of its type.
 * @typedef {{width: number, height: number, blocks: number, range: [number, number], log: boolean, char: number, line: number}} Area */
/** @typedef {{left: number, right: number, top: number, bottom: number}} Box */

const PAD = 2;
const STEPS = [0, -0.12, 0.12, -0.24, 0.24, -0.36, 0.36];
const ALONG = [0.5, 0.25, 0.75, 0, 1];
/** Of a place: over another's words, beyond the chart, over a curve, and a step away from where it is wanted. */
const COST = { words: 100, beyond: 50, curve: 3, step: 0.5 };

/** The annotations for the labels of those curves that are known. @param {(Label & {trace: number})[]} labels @param {Trace[]} given traces
 * @param {any[]} others that are written in the chart already @param {Area} area */
export function placed(labels, given, others, area) {
  const traces = given.map((trace) => ({ ...trace, ...trace.meta }));
  const taken = others.map((other) => boxOf(other, area));
  const curves = traces.filter(({ visible }) => visible !== false).flatMap((trace) => ways(points(trace, area)));
  return labels.flatMap((label) => {
    const trace = traces[label.trace];
    if (!trace || trace.visible === false) return [];
    const best = clear(candidates(label, trace, area), (place) => cost(boxOf(place, area), taken, curves, area));
    if (!best) return [];
    taken.push(boxOf(best, area));
    return [best];
  });
}

/** An annotation that stands on its place, or under it where it would leave the chart. @param {any} annotation @param {Area} area */
export function inside(annotation, area) {
  const out = annotation.yanchor === "bottom" && boxOf(annotation, area).top < 0;
  return out ? { ...annotation, yanchor: "top" } : annotation;
}

/** The first of the places, the wanted one first, that costs nothing; else the cheapest. @template T @param {Iterable<T>} places
 * @param {(place: T) => number} costs @returns {T|null} */
function clear(places, costs) {
  /** @type {T|null} */
  let best = null;
  let [least, away] = [Infinity, 0];
  for (const place of places) {
    const cost = costs(place);
    if (cost === 0) return place;
    if (cost + away < least) [best, least] = [place, cost + away];
    away += COST.step;
  }
  return best;
}

/** The places for a name, the wanted one first. @param {Label} label @param {Trace} trace @param {Area} area @returns {Generator<any>} */
function* candidates({ at, side, color, name }, { x, y }, { blocks, range, log }) {
  const from = side === "inside" ? x.length / 2 : 0;
  const known = x.flatMap((block, i) => (i >= from && y[i] !== null && (!log || Number(y[i]) > 0) ? [[block, Number(y[i])]] : []));
  if (!known.length) return;
  if (known[0][0] > known[known.length - 1][0]) known.reverse();
  const anchors = { top: ["bottom", "top"], bottom: ["top", "bottom"], inside: ["bottom", "top"], over: ["bottom"] }[side] ?? [];
  const [first, last] = [known[0][0], known[known.length - 1][0]];
  // Of a curve that is known in a part of the chart alone the wanted places may all be one: then any along it.
  const wanted = [...STEPS.map((step) => at + step), ...ALONG.map((part) => (first - 1 + part * (last - first)) / Math.max(1, blocks - 1))];
  for (const there of wanted) {
    if (there < 0 || there > 1) continue;
    const [block, value] = nearest(known, 1 + there * (blocks - 1));
    const sides = blocks < 3 ? ["center"] : there > 0.7 ? ["right", "left"] : ["left", "right"];
    for (const xanchor of sides)
      for (const yanchor of anchors)
        yield {
          text: name,
          x: block,
          y: log ? Math.min(range[1], Math.max(range[0], Math.log10(value))) : value,
          xref: "x",
          yref: "y",
          xanchor,
          yanchor,
          showarrow: false,
          borderpad: PAD,
          font: { color },
        };
  }
}

/** The place of the first point that is not before `x`; their number where there is none. @param {number[][]} points in the order of x @param {number} x */
function firstFrom(points, x) {
  let [low, high] = [0, points.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @param {number[][]} points in the order of x, at least one @param {number} x */
function nearest(points, x) {
  const i = firstFrom(points, x);
  if (i === 0) return points[0];
  return i === points.length || x - points[i - 1][0] <= points[i][0] - x ? points[i - 1] : points[i];
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

/** A curve's way there and its way back, if it has one, each in the order of x. @param {[number, number][]} points @returns {[number, number][][]} */
function ways(points) {
  const turn = points.findIndex(([x], i) => i > 0 && x < points[i - 1][0]);
  return turn < 0 ? [points] : [points.slice(0, turn), points.slice(turn).reverse()];
}

/** Whether a curve goes through a box, which its own may touch. @param {[number, number][]} curve in the order of x @param {Box} box */
function crosses(curve, { left, right, top, bottom }) {
  const inner = { top: top + PAD + 1, bottom: bottom - PAD - 1 };
  for (let i = firstFrom(curve, left); i < curve.length; i++) {
    const [x, y] = curve[i];
    const [before, high] = i ? curve[i - 1] : [x, y];
    if (before > right || (!i && x > right)) return false;
    // The part of the piece that is over or under the box.
    const there = (/** @type {number} */ at) => high + ((y - high) * (Math.min(Math.max(at, before), x) - before)) / (x - before);
    const ends = x === before ? [y, high] : [there(left), there(right)];
    if (Math.max(...ends) > inner.top && Math.min(...ends) < inner.bottom) return true;
  }
  return false;
}
