/** The form's event stream (htmx's hx-sse on the form itself): data to series, HTML to its places, the last setting always wins. */
import { find } from "../dom.js";
import { listen as hear } from "../stream.js";
import { Series } from "./series.js";

const SLOW_MS = 150; // a computation that takes longer is drawn while it runs; a shorter one once, when done
const REDRAW_MS = 250;

/** @typedef {{start: (series: Series) => void, rows: (blocks: Set<number>, ready: boolean) => void, complete: () => void, told: () => void,
 *   end: () => void, refused: (problem: any) => void, failed: (problem: any) => void}} Listener */

/** @param {HTMLFormElement} form @param {Listener} listener */
export function listen(form, listener) {
  /** @type {any} */
  let current = null;
  /** @type {Series|null} */
  let series = null;
  let began = 0;
  let drawn = 0;
  let retry = 0;

  const on = (/** @type {string} */ name, /** @type {(detail: any) => void} */ act) =>
    form.addEventListener(name, (event) => act(/** @type {CustomEvent} */ (event).detail));

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
  on("htmx:after:swap", () => listener.told());

  const rows = (/** @type {"forward"|"backward"} */ name) => (/** @type {string} */ data) => {
    if (!series) return;
    const blocks = series[name](JSON.parse(data).rows);
    const now = performance.now();
    // Theory and words follow later: the measurement is not kept waiting for them.
    const ready = series.complete || (now - began > SLOW_MS && now - drawn > REDRAW_MS);
    if (ready) drawn = now;
    listener.rows(blocks, ready);
  };
  hear(form, {
    on: {
      start(data) {
        series = new Series(JSON.parse(data));
        began = performance.now();
        drawn = began;
        listener.start(series);
      },
      forward: rows("forward"),
      backward: rows("backward"),
      theory(data) {
        if (!series) return;
        series.theory = JSON.parse(data);
        listener.complete();
      },
      end: listener.end,
    },
    refused(problem, response) {
      listener.refused(problem);
      const seconds = Number(response?.headers.get("Retry-After"));
      if (response?.status === 503 && seconds) retry = window.setTimeout(() => window.htmx.trigger(form, "restore"), 1000 * seconds);
    },
    failed: listener.failed,
  });
}
