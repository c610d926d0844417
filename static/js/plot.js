/** A Plotly chart whose form (traces, layout) came from Python once, and whose data changes. Drawn in the figure's `.plot`,
 * where it has one; only while visible, at most once per animation frame, and anew when the theme or the size changes. */
import { oncePerFrame } from "./dom.js";
import { resolve } from "./tokens.js";
import { Words } from "./words.js";

const CONFIG = { displayModeBar: false, responsive: false, showTips: false, doubleClick: false };

/** Plotly, as soon as its script has run. @type {Promise<Plotly|undefined>} */
export const plotly = new Promise((done) => {
  if (window.Plotly) done(window.Plotly);
  else document.querySelector("script[data-plotly]")?.addEventListener("load", () => done(window.Plotly));
});

export class Plot {
  /** @param {HTMLElement} figure @param {{data: object[], layout: object}} form */
  constructor(figure, form) {
    this.figure = figure;
    this.form = form;
    this.box = /** @type {any} */ (figure.querySelector(".plot") ?? figure);
    this.visible = false;
    this.revision = 0;
    this.stale = false;
    this.size = [0, 0];
    this.resolved = resolve(form);
    /** @type {Words|null} */
    this.words = null;
    /** @type {null | {traces: any[], layout: any}} */
    this.content = null;
    this.onClick = (/** @type {any} */ _x, /** @type {any} */ _y) => {};
    /** The layout as it is drawn, its size known. @type {(traces: any[], layout: any) => any} */
    this.finish = (_traces, layout) => layout;
    /** Draws at the next animation frame. */
    this.ask = oncePerFrame(() => this.draw());
    // The newest entry is the last. Drawn there and then: a frame later is a frame too late.
    new IntersectionObserver(
      (entries) => {
        this.visible = entries[entries.length - 1].isIntersecting;
        if (this.visible && this.stale) this.draw();
      },
      { rootMargin: "64px" },
    ).observe(this.figure);
    new ResizeObserver((entries) => {
      const { width, height } = entries[entries.length - 1].contentRect;
      if (width === this.size[0] && height === this.size[1]) return;
      this.size = [width, height];
      this.draw();
    }).observe(this.box);
    document.addEventListener("look", () => {
      this.resolved = resolve(this.form);
      this.ask();
    });
    // What was to be drawn before Plotly's script had run, and has not been asked for since.
    plotly.then(() => {
      if (this.stale) this.draw();
    });
  }

  /** New data for each trace of the form, in its order, and what changes in the layout.
   * @param {object[]} traces @param {any} layout */
  show(traces, layout) {
    this.content = { traces, layout };
    this.stale = true;
  }

  /** What is to be drawn, as Plotly takes it, whether or not anybody sees it. */
  figured() {
    const { traces, layout: given } = this.content ?? { traces: [], layout: {} };
    const { annotations, ...layout } = given; // their colours follow the theme by themselves
    const base = this.resolved.layout;
    const data = this.resolved.data.map((/** @type {any} */ trace, /** @type {number} */ i) => ({ ...trace, ...traces[i] }));
    const [width, height] = this.size;
    const merged = { ...base, ...resolve(layout), ...(annotations && { annotations }), width, height, datarevision: this.revision };
    for (const axis of ["xaxis", "yaxis"]) merged[axis] = { ...base[axis], ...layout[axis] };
    return { data, layout: merged };
  }

  /** Draws now, if there is something to draw and somebody to see it. */
  draw() {
    const Plotly = window.Plotly;
    if (!this.content || !Plotly) return;
    this.stale = !this.visible || !this.size[0];
    // Scrolled into view, it may be seen before its observer is told: what was drawn before is not shown then.
    this.box.toggleAttribute("data-undrawn", this.stale && this.revision > 0);
    if (this.stale) return;
    this.revision++;
    const { data, layout } = this.figured();
    const { annotations = [], ...drawn } = this.finish(data, layout);
    // Given again, the configuration would be compared, and the box measured, at every draw.
    Plotly.react(this.box, data, drawn, ...(this.revision === 1 ? [CONFIG] : []));
    this.words ??= new Words(this.box);
    this.words.write(annotations, this.box._fullLayout);
    if (this.revision > 1) return;
    // The size is always given: without this, Plotly measures the box at each draw, which lays the whole page out.
    Object.assign(this.box._context, { _hasZeroHeight: true, _hasZeroWidth: true });
    this.box.on("plotly_click", (/** @type {any} */ event) => this.onClick(event.points[0].x, event.points[0].y));
  }
}
