/** Compared runs as numbers: what their two charts draw. */
import { logTicks } from "../lab/axes.js";
import { token } from "../tokens.js";

/** @typedef {{letter: string, steps: number[], loss: (number|null)[], lost: number[], values: (number|null)[], faulty: number[]}} Run */
/** Powers of ten around the middle that are drawn: a run that explodes leaves the others room; it goes on above the chart. */
const MOST_ABOVE = 3;
const MOST_BELOW = 8;
/** From one letter to the next, as a share of the chart's height. */
const APART = 0.055;

/** @typedef {{traces: object[], layout: any}} Chart */

/** Both charts, over the same steps. @param {{runs: Run[], log: boolean}} drawing @param {number|null} cursor */
export function charts({ runs, log }, cursor) {
  const losses = runs.map((run) => ({ letter: run.letter, x: run.steps, y: run.loss, faults: run.lost }));
  const values = runs.map((run) => ({ letter: run.letter, x: run.steps, y: run.values.map((v) => (v !== null && log ? Math.abs(v) : v)), faults: run.faulty }));
  const steps = runs.flatMap((run) => run.steps);
  const across = steps.length ? [Math.min(...steps), Math.max(...steps)] : [0, 1];
  const room = 0.02 * (across[1] - across[0]) || 0.5;
  const range = [across[0] - room, across[1] + room];
  return { loss: chart(losses, null, range, cursor), quantity: chart(values, log, range, cursor) };
}

/** Lowest and highest of an axis, and whether it goes by powers of ten; null: as the values ask for it.
 * @param {(number|null)[]} values @param {boolean|null} log @returns {{log: boolean, range: [number, number]}} */
export function scale(values, log) {
  const finite = /** @type {number[]} */ (values.filter((v) => v !== null && Number.isFinite(v)));
  const positive = finite.filter((v) => v > 0);
  const [low, high] = finite.length ? [finite.reduce((a, b) => Math.min(a, b)), finite.reduce((a, b) => Math.max(a, b))] : [0, 1];
  if (positive.length && (log ?? low > 0)) {
    const sizes = positive.map(Math.log10).sort((a, b) => a - b);
    const middle = sizes[(sizes.length - 1) >> 1];
    const [least, most] = [Math.max(sizes[0], middle - MOST_BELOW), Math.min(sizes[sizes.length - 1], middle + MOST_ABOVE)];
    // Within less than a power of ten and a half, ticks at powers of ten say too little.
    if (most - least > 1.5) return { log: true, range: [least - 0.1, most + 0.1] };
  }
  const margin = 0.06 * (high - low) || Math.abs(high) * 0.1 || 0.5;
  return { log: false, range: [low - margin, high + margin] };
}

/** @param {{letter: string, x: number[], y: (number|null)[], faults: number[]}[]} lines @param {boolean|null} log
 * @param {number[]} across @param {number|null} cursor @returns {Chart} */
function chart(lines, log, across, cursor) {
  const up = scale(
    lines.flatMap((line) => line.y),
    log,
  );
  const top = up.log ? 10 ** up.range[1] : up.range[1];
  const traces = lines.flatMap(({ x, y, faults }) => [
    { x, y: up.log ? y.map((v) => (v === null || v > 0 ? v : null)) : y },
    { x: faults, y: faults.map(() => top), visible: faults.length > 0 },
  ]);
  const ends = lines.flatMap(({ letter, x, y }, place) => {
    const last = y.findLastIndex((v) => v !== null && (!up.log || v > 0));
    if (last < 0) return [];
    const at = up.log ? Math.log10(Number(y[last])) : Number(y[last]);
    const share = (at - up.range[0]) / (up.range[1] - up.range[0]);
    return [{ x: x[last], share: Math.min(1, Math.max(0, share)), text: share > 1 ? `${letter}↑` : letter, color: `var(--run-${place + 1})` }];
  });
  const annotations = apart(ends).map(({ x, share, text, color }) => ({
    x, y: share, yref: "paper", yanchor: "middle", text, showarrow: false, xanchor: "left", xshift: 4, font: { color },
  })); // prettier-ignore
  const shapes =
    cursor === null ? [] : [{ type: "line", xref: "x", yref: "paper", x0: cursor, x1: cursor, y0: 0, y1: 1, line: { color: token("--select"), width: 1 } }];
  return {
    traces,
    layout: {
      xaxis: { range: across },
      yaxis: up.log ? { type: "log", range: up.range, ...logTicks(up.range) } : { type: "linear", range: up.range },
      annotations,
      shapes,
    },
  };
}

/** The same letters, moved so that none covers another. @template {{share: number}} T @param {T[]} ends @returns {T[]} */
export function apart(ends) {
  const sorted = [...ends].sort((a, b) => a.share - b.share).map((end) => ({ ...end }));
  sorted.forEach((end, i) => {
    if (i) end.share = Math.max(end.share, sorted[i - 1].share + APART);
  });
  const over = Math.max(0, (sorted[sorted.length - 1]?.share ?? 0) - 1);
  return sorted.map((end) => ({ ...end, share: end.share - over }));
}
