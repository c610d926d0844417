/** The form's event stream (htmx's hx-sse on the form itself): data to series, HTML to its places. A running experiment
 * finishes; of the settings that wait for it only the newest is kept; what follows a verdict is dropped for a newer one. */
import { find } from "../dom.js";
import { Queue } from "../queue.js";
import { listen as hear } from "../stream.js";
import { Series } from "./series.js";

const SLOW_MS = 150; // a computation that takes longer is drawn while it runs; a shorter one once, with its verdict
const REDRAW_MS = 250;

/** `started`: an experiment runs of which nothing is drawn yet; `partly`: rows have come of an experiment that takes long; `whole`: words of it are put into place; `told`: they stand there.
 * @typedef {{started: () => void, partly: (series: Series) => void, whole: (series: Series) => void, told: () => void, refused: (problem: any) => void, failed: (problem: any) => void,
 *   chosen: () => [string, string][]}} Listener `chosen`: what is looked at, for the request */

/** @param {HTMLFormElement} form @param {Listener} listener */
export function listen(form, listener) {
  const queue = new Queue(form);
  /** @type {Series|null} */
  let series = null;
  let saying = false;
  let asked = "";
  let drawn = 0;
  let retry = 0;

  const on = (/** @type {string} */ name, /** @type {(detail: any) => void} */ act) =>
    form.addEventListener(name, (event) => act(/** @type {CustomEvent} */ (event).detail));
  const busy = (/** @type {boolean} */ yes) => find(".bench").setAttribute("aria-busy", String(yes));

  // What differs from the defaults is enough: short addresses, and equal ones for equal settings.
  on("htmx:config:request", ({ ctx }) => {
    clearTimeout(retry);
    for (const [name, value] of [...ctx.request.body]) {
      const field = /** @type {any} */ (form.elements.namedItem(name));
      if (String(value).trim() === field.dataset.default) ctx.request.body.delete(name);
      else ctx.request.body.set(name, String(value).trim());
    }
    ctx.asked = new URLSearchParams(ctx.request.body).toString();
    for (const [name, value] of listener.chosen()) ctx.request.body.set(name, value);
    if (series?.theory) queue.giveWay();
  });
  on("htmx:before:request", ({ ctx }) => {
    busy(true);
    series = null;
    drawn = queue.began;
    asked = ctx.asked;
  });
  on("htmx:finally:request", () => busy(false));

  const rows = (/** @type {"forward"|"backward"} */ name) => (/** @type {string} */ data) => {
    if (!series) return;
    series[name](JSON.parse(data).rows);
    const now = performance.now();
    if (now - queue.began <= SLOW_MS || now - drawn <= REDRAW_MS) return;
    drawn = now;
    listener.partly(series);
  };
  form.addEventListener("htmx:sse:before:message", (event) => (saying = !event.defaultPrevented && !(/** @type {CustomEvent} */ (event).detail.message.event)));
  // The words are put into place in this very task, and settle in a later one: what is drawn with them is taken over now.
  on("htmx:before:swap", () => saying && series && listener.whole(series));
  on("htmx:after:swap", () => {
    if (!saying || !series) return;
    saying = false;
    listener.told();
    if (series.theory) queue.giveWay();
  });
  hear(form, {
    on: {
      start(data) {
        series = new Series(JSON.parse(data), asked);
        listener.started();
      },
      forward: rows("forward"),
      backward: rows("backward"),
      theory(data) {
        if (series) series.theory = JSON.parse(data);
      },
    },
    refused(problem, response) {
      listener.refused(problem);
      const seconds = Number(response?.headers.get("Retry-After"));
      if (response?.status === 503 && seconds) retry = window.setTimeout(() => window.htmx.trigger(form, "restore"), 1000 * seconds);
    },
    failed: listener.failed,
  });
}
