/** The one cursor that a run's charts have over its steps. */
import { token } from "../tokens.js";

/** Across a chart's height, as Plotly's shapes; none where no step is chosen. @param {number|null} step @returns {any[]} */
export const cursorLine = (step) =>
  step === null ? [] : [{ type: "line", xref: "x", yref: "paper", x0: step, x1: step, y0: 0, y1: 1, line: { color: token("--select"), width: 1.5 } }];

/** In the small plots of a panel, which the server drew. @param {ParentNode} panel @param {number|null} step */
export function moveCursors(panel, step) {
  for (const plot of /** @type {NodeListOf<SVGElement>} */ (panel.querySelectorAll("svg[data-from]"))) {
    const [from, to, left, right] = ["from", "to", "left", "right"].map((name) => Number(plot.dataset[name]));
    const inside = step !== null && step >= from && step <= to;
    const cursor = plot.querySelector(".cursor");
    if (inside) cursor?.setAttribute("transform", `translate(${left + ((step - from) / (to - from || 1)) * (right - left)})`);
    cursor?.toggleAttribute("hidden", !inside);
  }
}
