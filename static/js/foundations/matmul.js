/** The matmul race: results as they come over the form's stream, then time against n over the button's. */
import { find, json, oncePerFrame } from "../dom.js";
import { note, refuse } from "../forms.js";
import { Plot } from "../plot.js";
import { cancel, listen, whenWired } from "../stream.js";
import { token } from "../tokens.js";
import { growth } from "./growth.js";

const form = /** @type {HTMLFormElement} */ (find("#step-form"));
if (document.querySelector("#race-table")) race();
else
  // A page that was refused has no table: when the form is right, it is loaded anew.
  listen(form, { on: { race_start: reload, waiting: reload }, refused });

function reload() {
  note(form);
  location.reload();
}

/** @param {any} problem */
function refused(problem) {
  refuse(form, problem.errors ?? [{ field: "", message: problem.detail }]);
}

function race() {
  const forms = json("race-figures");
  const notes = json("race-notes");
  const chart = new Plot(find("#race-chart"), forms.race);
  const grow = growth(form, forms);
  const [says, progress, stop] = [find("#race-says"), find("#race-progress"), find("#cancel")];
  /** @type {any[]} */
  let results = [];
  /** @type {any} */
  let start = null;

  const axis = forms.race.layout.xaxis;
  const each = (/** @type {number} */ every) => (/** @type {any} */ _, /** @type {number} */ i) => i % every === 0;

  const row = (/** @type {string} */ name) => document.querySelector(`#race-table [data-variant="${name}"]`);
  const running = (/** @type {boolean} */ on) => {
    stop.hidden = !on;
    progress.toggleAttribute("data-idle", !on);
    if (!on) document.querySelector("#race-table [data-running]")?.removeAttribute("data-running");
  };
  const draw = oncePerFrame(() => {
    const narrow = innerWidth < 640;
    const label = (/** @type {any} */ of) => (narrow ? (of.variant ?? of.name) : of.title);
    const every = narrow ? 2 : 1;
    const timed = results.filter((r) => r.seconds !== null);
    const shown = start?.notes.same_shape ? timed.filter((r) => notes[r.variant]) : [];
    const all = [...timed.map((r) => r.seconds), ...shown.map((r) => notes[r.variant].seconds)];
    const ends = all.length ? [Math.log10(Math.min(...all)) - 0.6, Math.log10(Math.max(...all)) + 0.3] : [-6, 0];
    chart.show(
      [
        {
          x: timed.map((r) => r.seconds),
          y: timed.map(label),
          text: timed.map((r) => (r.extrapolated ? `≈ ${r.seconds_text}` : r.seconds_text)),
          marker: {
            color: token("--forward"),
            pattern: { shape: timed.map((r) => (r.extrapolated ? "/" : "")), fillmode: "overlay", fgcolor: token("--surface"), size: 6 },
          },
        },
        { x: shown.map((r) => notes[r.variant].seconds), y: shown.map(label), text: shown.map((r) => notes[r.variant].seconds_text) },
      ],
      {
        xaxis: { range: ends, tickvals: axis.tickvals.filter(each(every)), ticktext: axis.ticktext.filter(each(every)) },
        yaxis: { categoryorder: "array", categoryarray: start?.variants.map(label) ?? [] },
        ...(narrow ? { margin: { l: { rem: 6.5 }, r: { rem: 3.5 }, t: { rem: 0.3 }, b: { rem: 1.6 } } } : {}),
      },
    );
    chart.ask();
  });

  listen(form, {
    began() {
      refuse(form, []);
      note(form);
      grow.cancel();
      say("Starting: the first race also measures this machine's peak.");
      running(true);
    },
    on: {
      waiting: () => (say("Waiting: another race is running; one runs at a time."), running(true)),
      race_start(data) {
        start = JSON.parse(data);
        results = [];
        const names = new Set(start.variants.map((/** @type {any} */ v) => v.name));
        if ([...names].some((name) => !row(String(name)))) return reload(); // the table was made for others
        for (const each of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#race-table [data-variant]"))) {
          each.hidden = !names.has(each.dataset.variant);
          each.removeAttribute("data-running");
          for (const cell of each.querySelectorAll("[data-cell]")) cell.textContent = cell.getAttribute("data-cell") === "seconds" ? "–" : "";
        }
        find("#race-about").textContent =
          `${start.m}×${start.k} @ ${start.k}×${start.n}, ${start.flops.toLocaleString("en")} floating-point operations each, ${start.threads === 1 ? "one core" : `${start.threads} cores`}`;
        for (const each of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-notes]"))) each.hidden = !start.notes.same_shape;
        find("#peak").textContent = `Peak: ${start.peak.text}.`;
        say("Off they go.");
        step(0, 0, start.variants.length);
        running(true);
        draw();
      },
      race_progress(data) {
        const { variant, index, of, fraction } = JSON.parse(data);
        step(index, fraction, of);
        row(variant)?.setAttribute("data-running", "");
      },
      race_result(data) {
        const result = JSON.parse(data);
        results.push(result);
        fill(result);
        step(result.index, 1, result.of);
        draw();
      },
      race_end(data) {
        const { ranking } = JSON.parse(data);
        say(verdict(ranking, results));
        document.dispatchEvent(new CustomEvent("race:drawn"));
      },
    },
    refused(problem) {
      refused(problem);
      say(problem.errors ? "Not run: see the form." : problem.detail);
      running(false);
    },
    ended(finished) {
      running(false);
      if (finished) grow.start();
      else say(`Cancelled after ${results.length} of ${start?.variants.length ?? 0}.`);
    },
  });

  const say = (/** @type {string} */ words) => (says.textContent = words);
  const step = (/** @type {number} */ index, /** @type {number} */ fraction, /** @type {number} */ of) => (progress.value = (index + fraction) / of);

  /** @param {any} result */
  function fill(result) {
    const tr = row(result.variant);
    if (!tr) return;
    tr.removeAttribute("data-running");
    const put = (/** @type {string} */ cell, /** @type {string} */ text) => (find(`[data-cell="${cell}"]`, tr).textContent = text);
    put("mark", result.status === "skipped" ? "skipped" : result.extrapolated ? "≈" : "");
    find('[data-cell="mark"]', tr).title = result.reason;
    put("extra_bytes", result.extra_bytes_text);
    if (result.seconds === null) return;
    put("quartiles", `${result.low_seconds_text}–${result.high_seconds_text}`);
    for (const cell of ["seconds", "speedup", "gflops", "share_of_peak", "max_relative_error"]) put(cell, result[`${cell}_text`] ?? "");
  }

  stop.addEventListener("click", () => cancel(form));
  form.addEventListener("submit", (event) => event.preventDefault());
  whenWired(form, () => window.htmx.trigger(form, "race"));
}

/** @param {any[]} ranking @param {any[]} results */
function verdict(ranking, results) {
  if (!ranking.length) return "Nobody could run at this size.";
  const best = ranking[0];
  const base = results.find((r) => r.variant === "loops" && r.seconds !== null);
  if (!base || best.variant === "loops") return `${best.title} wins.`;
  const times = Math.round(base.seconds / best.seconds);
  const digits = 10 ** Math.max(0, String(times).length - 2);
  return `${best.title} wins: ${(Math.round(times / digits) * digits).toLocaleString("en")} times as fast as three Python loops.`;
}
