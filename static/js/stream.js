/** A form or button whose htmx request is answered by an event stream (hx-sse): the last request's events, and no others'. */

/** `failed` hears of a computation that failed and of a server that did not answer (a problem without a status); by default `refused` does.
 * @typedef {{on: Record<string, (data: string) => void>, began?: () => void, refused: (problem: any, response?: Response) => void,
 *   failed?: (problem: any) => void, ended?: (finished: boolean) => void}} Listener */

/** Hears the stream of `element`. `on` has a handler for each named event; `ended(finished)` follows the last one, or a
 * connection that was cut or cancelled, but no computation that failed. @param {HTMLElement} element @param {Listener} listener */
export function listen(element, listener) {
  /** @type {any} */
  let connection = null;
  let finished = false;
  let failed = false;
  const fail = listener.failed ?? listener.refused;
  const hear = (/** @type {string} */ name, /** @type {(detail: any) => void} */ act) =>
    element.addEventListener(name, (event) => {
      if (event.target === element) act(/** @type {CustomEvent} */ (event).detail);
    });

  hear("htmx:sse:after:connection", (detail) => {
    connection = detail.connection;
    finished = false;
    failed = false;
    listener.began?.();
  });
  // A stream that was replaced may have a few events under way.
  element.addEventListener("htmx:sse:before:message", (event) => {
    if (/** @type {CustomEvent} */ (event).detail.connection !== connection) event.preventDefault();
  });
  for (const [name, act] of Object.entries(listener.on)) hear(name, (detail) => act(detail.data));
  hear("problem", (detail) => {
    failed = true;
    fail(JSON.parse(detail.data));
  });
  hear("end", () => (finished = true));
  hear("htmx:sse:close", (detail) => {
    if (detail.connection === connection && !failed) listener.ended?.(finished);
  });
  hear("htmx:response:error", ({ ctx }) => listener.refused(problemOf(ctx), ctx.response));
  hear("htmx:error", ({ error }) => {
    if (error?.name !== "AbortError") fail({ detail: "The server can't be reached." });
  });
}

/** The problem that an answer told. @param {any} ctx htmx's request @returns {{detail: string, errors?: {field: string, message: string}[]}} */
export function problemOf(ctx) {
  try {
    return JSON.parse(ctx.text);
  } catch {
    // Not ours: something between us and the server answered.
    return { detail: `The server answered ${ctx.response.status}.` };
  }
}

/** Calls `act` as soon as htmx listens to `element`, which may be before or after the page has loaded.
 * @param {HTMLElement} element @param {() => void} act */
export function whenWired(element, act) {
  if (element.hasAttribute("data-htmx-powered")) act();
  else
    element.addEventListener("htmx:after:init", function wired(event) {
      if (event.target !== element) return;
      element.removeEventListener("htmx:after:init", wired);
      act();
    });
}

/** Ends the stream of `element`, and with it the computation. @param {HTMLElement} element */
export const cancel = (element) => window.htmx.trigger(element, "htmx:abort");
