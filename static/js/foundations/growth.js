/** Time against n: points as they come, a fitted line for each variant. */
import { find, oncePerFrame } from "../dom.js";
import { Plot, plotly } from "../plot.js";
import { refuse } from "../forms.js";
import { cancel, listen } from "../stream.js";

export class Growth {
  /** @param {HTMLFormElement} form @param {any} forms */
  constructor(form, forms) {
    this.order = forms.order;
    this.button = find("#grow");
    this.stop = find("#grow-cancel");
    this.says = find("#growth-says");
    this.progress = find("#growth-progress");
    this.chart = new Plot(find("#growth-chart"), forms.scaling);
    /** @type {any[]} */
    this.points = [];
    /** @type {Map<string, any>} */
    this.fits = new Map();
    this.draw = oncePerFrame(() => this.show());
    this.running(false);
    this.stop.addEventListener("click", () => this.cancel());
    listen(this.button, {
      began: () => refuse(form, []),
      on: {
        waiting: () => (this.say("Waiting: a race is running; one measurement at a time."), this.running(true)),
        scaling_start: () => {
          this.points = [];
          this.fits.clear();
          this.say("Measuring…");
          this.running(true);
          this.draw();
        },
        scaling_point: (data) => this.add(JSON.parse(data)),
        scaling_end: () => this.say(this.verdict()),
      },
      refused: (problem) => {
        refuse(form, problem.errors ?? [{ field: "", message: problem.detail }]);
        this.say(problem.errors ? "Not measured: see the form." : problem.detail);
        this.running(false);
      },
      ended: (finished) => {
        this.running(false);
        if (!finished) this.say(`Cancelled after ${this.points.length} points.`);
        else document.dispatchEvent(new CustomEvent("growth:drawn"));
      },
    });
    plotly.then(() => this.draw());
  }

  start() {
    window.htmx.trigger(this.button, "grow");
  }

  cancel() {
    cancel(this.button);
  }

  /** @param {string} words */
  say(words) {
    this.says.textContent = words;
  }

  /** @param {boolean} on */
  running(on) {
    this.stop.hidden = !on;
    this.progress.toggleAttribute("data-idle", !on);
  }

  /** @param {any} point */
  add(point) {
    this.points.push(point);
    if (point.fit) this.fits.set(point.variant, point.fit);
    this.progress.value = (point.index + 1) / point.of;
    this.draw();
  }

  /** At the largest n: first and last of those that could run. */
  verdict() {
    const timed = this.points.filter((p) => p.seconds !== null);
    const n = Math.max(...timed.map((p) => p.n));
    const there = timed.filter((p) => p.n === n).sort((a, b) => a.seconds - b.seconds);
    if (there.length < 2) return "";
    const title = (/** @type {string} */ name) =>
      /** @type {HTMLElement|null} */ (document.querySelector(`#race-table [data-variant="${name}"]`))?.dataset.title ?? name;
    const said = (/** @type {any} */ p) => `${title(p.variant)} ${p.extrapolated ? "≈ " : ""}${p.seconds_text}`;
    return `At n = ${n}: ${said(there[0])}, ${said(there[there.length - 1])}.`;
  }

  show() {
    const timed = this.points.filter((p) => p.seconds !== null);
    const dots = this.order.map((/** @type {string} */ name) => {
      const points = timed.filter((p) => p.variant === name);
      return {
        x: points.map((p) => p.n),
        y: points.map((p) => p.seconds),
        text: points.map((p) => (p.extrapolated ? `≈ ${p.seconds_text}` : p.seconds_text)),
        visible: points.length > 0,
      };
    });
    const lines = this.order.map((/** @type {string} */ name) => {
      const line = this.fits.get(name)?.line ?? [];
      return { x: line.map((/** @type {any} */ end) => end.n), y: line.map((/** @type {any} */ end) => end.seconds), visible: line.length > 0 };
    });
    const all = timed.map((p) => p.seconds);
    const range = all.length ? [Math.log10(Math.min(...all)) - 0.3, Math.log10(Math.max(...all)) + 0.3] : [-7, 1];
    const largest = Math.max(16, ...this.points.map((p) => p.n));
    this.chart.show([...dots, ...lines], { yaxis: { range }, xaxis: { range: [-0.1, Math.log10(largest) + 0.15] } });
    this.chart.ask();
    for (const tr of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#fits [data-fit]"))) {
      const fit = this.fits.get(tr.dataset.fit ?? "");
      find('[data-cell="exponent"]', tr).textContent = fit
        ? `${fit.exponent.toFixed(2)}${fit.standard_error ? ` ± ${fit.standard_error.toFixed(2)}` : ""}`
        : "–";
      find('[data-cell="sizes"]', tr).textContent = fit ? `${fit.sizes[0]}–${fit.sizes[fit.sizes.length - 1]}` : "";
    }
  }
}
