/** Time against n: points as they come, a fitted line for each variant. */
import { find, oncePerFrame } from "../dom.js";
import { refuse } from "../forms.js";
import { Plot, plotly } from "../plot.js";
import { cancel, listen } from "../stream.js";

/** @param {HTMLFormElement} form @param {any} forms */
export function growth(form, forms) {
  const [button, stop, says, progress] = [find("#grow"), find("#grow-cancel"), find("#growth-says"), find("#growth-progress")];
  const chart = new Plot(find("#growth-chart"), forms.scaling);
  /** @type {any[]} */
  let points = [];
  /** @type {Map<string, any>} */
  const fits = new Map();

  const say = (/** @type {string} */ words) => (says.textContent = words);
  const running = (/** @type {boolean} */ on) => {
    stop.hidden = !on;
    progress.toggleAttribute("data-idle", !on);
  };
  const draw = oncePerFrame(() => {
    const timed = points.filter((p) => p.seconds !== null);
    const dots = forms.order.map((/** @type {string} */ name) => {
      const own = timed.filter((p) => p.variant === name);
      return {
        x: own.map((p) => p.n),
        y: own.map((p) => p.seconds),
        text: own.map((p) => (p.extrapolated ? `≈ ${p.seconds_text}` : p.seconds_text)),
        visible: own.length > 0,
      };
    });
    const lines = forms.order.map((/** @type {string} */ name) => {
      const line = fits.get(name)?.line ?? [];
      return { x: line.map((/** @type {any} */ end) => end.n), y: line.map((/** @type {any} */ end) => end.seconds), visible: line.length > 0 };
    });
    const all = timed.map((p) => p.seconds);
    const range = all.length ? [Math.log10(Math.min(...all)) - 0.3, Math.log10(Math.max(...all)) + 0.3] : [-7, 1];
    const largest = Math.max(16, ...points.map((p) => p.n));
    chart.show([...dots, ...lines], { yaxis: { range }, xaxis: { range: [-0.1, Math.log10(largest) + 0.15] } });
    chart.ask();
    for (const tr of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#fits [data-fit]"))) {
      const fit = fits.get(tr.dataset.fit ?? "");
      find('[data-cell="exponent"]', tr).textContent = fit?.says ?? "–";
      find('[data-cell="sizes"]', tr).textContent = fit ? `${fit.sizes[0]}–${fit.sizes[fit.sizes.length - 1]}` : "";
    }
  });

  running(false);
  stop.addEventListener("click", () => cancel(button));
  listen(button, {
    began: () => refuse(form, []),
    on: {
      waiting: () => (say("Waiting: a race is running; one measurement at a time."), running(true)),
      scaling_start() {
        points = [];
        fits.clear();
        say("Measuring…");
        running(true);
        draw();
      },
      scaling_point(data) {
        const point = JSON.parse(data);
        points.push(point);
        if (point.fit) fits.set(point.variant, point.fit);
        progress.value = (point.index + 1) / point.of;
        draw();
      },
      scaling_end: () => say(verdict(points)),
    },
    refused(problem) {
      refuse(form, problem.errors ?? [{ field: "", message: problem.detail }]);
      say(problem.errors ? "Not measured: see the form." : problem.detail);
      running(false);
    },
    ended(finished) {
      running(false);
      if (!finished) say(`Cancelled after ${points.length} points.`);
      else document.dispatchEvent(new CustomEvent("growth:drawn"));
    },
  });
  plotly.then(draw);
  return { start: () => window.htmx.trigger(button, "grow"), cancel: () => cancel(button) };
}

/** At the largest n: first and last of those that could run. @param {any[]} points */
function verdict(points) {
  const timed = points.filter((p) => p.seconds !== null);
  const n = Math.max(...timed.map((p) => p.n));
  const there = timed.filter((p) => p.n === n).sort((a, b) => a.seconds - b.seconds);
  if (there.length < 2) return "";
  const title = (/** @type {string} */ name) =>
    /** @type {HTMLElement|null} */ (document.querySelector(`#race-table [data-variant="${name}"]`))?.dataset.title ?? name;
  const said = (/** @type {any} */ p) => `${title(p.variant)} ${p.extrapolated ? "≈ " : ""}${p.seconds_text}`;
  return `At n = ${n}: ${said(there[0])}, ${said(there[there.length - 1])}.`;
}
