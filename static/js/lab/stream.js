/** The form's event stream (htmx's hx-sse on the form itself): events to profile, the last setting always wins. */
import { find } from "../dom.js";
import { Profile } from "./profile.js";

const SLOW_MS = 150; // a computation that takes longer is drawn while it runs; a shorter one once, when done
const REDRAW_MS = 250;

/** @typedef {{start: (profile: Profile) => void, records: (blocks: Set<number>, ready: boolean) => void, findings: (findings: any[]) => void, summary: () => void,
 *   fix: () => void, check: (check: any) => void, end: () => void, refused: (problem: any) => void, failed: (words: string) => void}} Listener */

/** @param {HTMLFormElement} form @param {Listener} listener */
export function listen(form, listener) {
  /** @type {any} */
  let current = null;
  /** @type {any} */
  let connection = null;
  /** @type {Profile|null} */
  let profile = null;
  let began = 0;
  let drawn = 0;
  let retry = 0;
  let telling = 0;
  /** @type {Map<string, any>} */
  const found = new Map();

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
    clearTimeout(telling);
    telling = 0;
    found.clear();
    profile = new Profile(data(detail));
    began = performance.now();
    drawn = began;
    listener.start(profile);
  });
  for (const name of ["forward", "backward"])
    on(name, (detail) => {
      if (!profile) return;
      const blocks = profile.add(data(detail).layers);
      const now = performance.now();
      // The summary follows later, with theory and findings: the measurement is not kept waiting for it.
      const ready = profile.complete || (now - began > SLOW_MS && now - drawn > REDRAW_MS);
      if (ready) drawn = now;
      listener.records(blocks, ready);
    });
  on("summary", (detail) => {
    if (!profile) return;
    clearTimeout(telling);
    profile.summary = data(detail);
    listener.summary();
  });
  // A computation that lasts says what it has found before it is through; by rule, because a finding grows.
  on("finding", (detail) => {
    const finding = data(detail);
    found.set(finding.rule, finding);
    telling ||= window.setTimeout(
      () => {
        telling = 0;
        listener.findings([...found.values()]);
      },
      Math.max(0, began + SLOW_MS - performance.now()),
    );
  });
  on("fix", (detail) => {
    if (!profile?.summary) return;
    const fix = data(detail);
    (profile.summary.fixes ??= []).push(fix);
    Object.assign(profile.summary.findings[fix.finding], { fix: fix.fix, fix_verified: fix.fix_verified });
    listener.fix();
  });
  on("check", (detail) => listener.check(data(detail)));
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
    if (error?.name !== "AbortError") listener.failed("The server can't be reached. Change a control to try again.");
  });
}
