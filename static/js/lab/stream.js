/** The form's event stream (htmx's hx-sse on the form itself): data to series, HTML to its places, the last setting always wins. */
import { find } from "../dom.js";
import { Series } from "./series.js";

const SLOW_MS = 150; // a computation that takes longer is drawn while it runs; a shorter one once, when done
const REDRAW_MS = 250;

/** @typedef {{start: (series: Series) => void, rows: (blocks: Set<number>, ready: boolean) => void, complete: () => void, told: () => void,
 *   end: () => void, refused: (problem: any) => void, failed: (words: string) => void}} Listener */

/** @param {HTMLFormElement} form @param {Listener} listener */
export function listen(form, listener) {
  /** @type {any} */
  let current = null;
  /** @type {any} */
  let connection = null;
  /** @type {Series|null} */
  let series = null;
  let began = 0;
  let drawn = 0;
  let retry = 0;

  const on = (/** @type {string} */ name, /** @type {(detail: any) => void} */ act) =>
    form.addEventListener(name, (event) => act(/** @type {CustomEvent} */ (event).detail));
  const data = (/** @type {any} */ detail) => JSON.parse(detail.data);

  // What differs from the defaults is enough: short addresses, and equal ones for equal settings.
  on("htmx:config:request", ({ ctx }) => {
    clearTimeout(retry);
    for (const [name, value] of [...ctx.request.body]) {
      const field = /** @type {any} */ (form.elements.namedItem(name));
      if (String(value).trim() === field.dataset.default) ctx.request.body.delete(name);
      else ctx.request.body.set(name, String(value).trim());
    }
  });
  const busy = (/** @type {boolean} */ yes) => find(".bench").setAttribute("aria-busy", String(yes));
  on("htmx:before:request", ({ ctx }) => {
    current = ctx;
    busy(true);
  });
  on("htmx:finally:request", ({ ctx }) => ctx === current && busy(false));
  on("htmx:sse:after:connection", (detail) => (connection = detail.connection));
  // A stream that was replaced may have a few events under way.
  form.addEventListener("htmx:sse:before:message", (event) => {
    if (/** @type {CustomEvent} */ (event).detail.connection !== connection) event.preventDefault();
  });

  on("start", (detail) => {
    series = new Series(data(detail));
    began = performance.now();
    drawn = began;
    listener.start(series);
  });
  for (const name of /** @type {const} */ (["forward", "backward"]))
    on(name, (detail) => {
      if (!series) return;
      const blocks = series[name](data(detail).rows);
      const now = performance.now();
      // Theory and words follow later: the measurement is not kept waiting for them.
      const ready = series.complete || (now - began > SLOW_MS && now - drawn > REDRAW_MS);
      if (ready) drawn = now;
      listener.rows(blocks, ready);
    });
  on("theory", (detail) => {
    if (!series) return;
    series.theory = data(detail);
    listener.complete();
  });
  on("htmx:after:swap", () => listener.told());
  on("end", () => listener.end());
  on("problem", (detail) => listener.failed(data(detail).detail));

  on("htmx:response:error", ({ ctx }) => {
    let problem = { detail: `The server answered ${ctx.response.status}.` };
    try {
      problem = JSON.parse(ctx.text);
    } catch {
      // Not ours: something between us and the server answered.
    }
    listener.refused(problem);
    const seconds = Number(ctx.response.headers.get("Retry-After"));
    if (ctx.response.status === 503 && seconds) retry = window.setTimeout(() => window.htmx.trigger(form, "restore"), 1000 * seconds);
  });
  on("htmx:error", ({ error }) => {
    if (error?.name !== "AbortError") listener.failed("");
  });
}
