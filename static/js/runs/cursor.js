/** The one cursor that a run's charts have over its steps. */
import { token } from "../tokens.js";

/** Across a chart's height, as Plotly's shapes; none where no step is chosen. @param {number|null} step @returns {any[]} */
export const cursorLine = (step) =>
  step === null ? [] : [{ type: "line", xref: "x", yref: "paper", x0: step, x1: step, y0: 0, y1: 1, line: { color: token("--select"), width: 1.5 } }];
