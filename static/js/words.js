/** The words in a chart, written over it: Plotly's own annotations, a dozen of which take as long as all curves together. */
import { make } from "./dom.js";
import { asWritten } from "./format.js";

/** An annotation as Plotly takes it, of those without an arrow, its colours as in CSS: at `x` and `y` of the axes, exponents where they are log, or of the paper from 0 to 1.
 * @typedef {{text: string, x: number, y: number, xref?: string, yref?: string, xanchor?: string, yanchor?: string, xshift?: number, borderpad?: number, bgcolor?: string, font?: {color?: string}}} Annotation */
/** What Plotly has drawn on. @typedef {{_size: {l: number, t: number, w: number, h: number}, xaxis: {range: number[]}, yaxis: {range: number[]}, font: {family: string, size: number, color: string}}} Drawn */

const ALONG = /** @type {Record<string, string>} */ ({ left: "0%", center: "-50%", right: "-100%", top: "0%", middle: "-50%", bottom: "-100%" });

/** Where on the box an annotation stands, in pixels. @param {Annotation} annotation @param {Drawn} drawn @returns {[number, number]} */
export function placeOf({ x, y, xref, yref, xshift = 0 }, { _size: { l, t, w, h }, xaxis, yaxis }) {
  const share = (/** @type {number} */ value, /** @type {number[]} */ [low, high]) => (value - low) / (high - low);
  const across = xref === "paper" ? x : share(x, xaxis.range);
  const up = yref === "paper" ? y : share(y, yaxis.range);
  return [l + across * w + xshift, t + (1 - up) * h];
}

export class Words {
  /** @param {HTMLElement} box of the chart */
  constructor(box) {
    this.layer = make("div", { class: "words-over", "aria-hidden": "true" });
    /** @type {HTMLElement[]} */
    this.spans = [];
    box.append(this.layer);
  }

  /** Writes these and no others. @param {Annotation[]} annotations @param {Drawn} drawn */
  write(annotations, drawn) {
    while (this.spans.length > annotations.length) this.spans.pop()?.remove();
    while (this.spans.length < annotations.length) this.layer.append((this.spans[this.spans.length] = make("span", {})));
    const { family, size, color } = drawn.font;
    this.layer.style.font = `${size}px/1.3 ${family}`;
    annotations.forEach((annotation, i) => {
      const [left, top] = placeOf(annotation, drawn);
      const [across, down] = [ALONG[annotation.xanchor ?? "center"], ALONG[annotation.yanchor ?? "middle"]];
      const span = this.spans[i];
      span.textContent = asWritten(annotation.text);
      span.style.cssText = `left:${left}px;top:${top}px;translate:${across} ${down};padding:${annotation.borderpad ?? 1}px;color:${annotation.font?.color ?? color};background:${annotation.bgcolor ?? "none"}`;
    });
  }
}
