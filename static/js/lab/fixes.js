/** Fixes that the engine has tried, as links that draw before and after together; as app/pages/remedies.py makes them. */
import { find, make } from "../dom.js";
import { queryOf } from "./address.js";
import { sketch } from "./sketch.js";

/** @typedef {{finding: number, fix: Record<string, any>, fix_verified: boolean, tried?: number, before?: any, after?: any}} Fix */

const FAULTY = ["warning", "error"];

/** Shows what is known by now: the worst finding's fix beside the verdict, every one at its finding.
 * @param {HTMLFormElement} form @param {any} summary @param {boolean} through whether no more fixes will come */
export function showFixes(form, summary, through) {
  const place = find("#verdict .fixes");
  /** @type {Fix[]} */
  const fixes = summary.fixes ?? [];
  const best = fixes.reduce((a, b) => (a && a.finding <= b.finding ? a : b), /** @type {any} */ (null));
  if (best) place.replaceChildren(bigFix(form, best));
  else if (!FAULTY.includes(summary.verdict.severity)) place.replaceChildren();
  else if (through) place.replaceChildren(make("span", { class: "quiet" }, "no small change was found that helps"));
  place.toggleAttribute("data-stale", !best && !through && place.childElementCount > 0);
  const entries = document.querySelectorAll("#verdict .findings > ol > li > .where .remedy");
  for (const fix of fixes) entries[fix.finding]?.replaceChildren(smallFix(form, fix));
}

/** What is shown belongs to the setting before: it stays where it is, but can't be pressed. */
export const staleFixes = () => find("#verdict .fixes").toggleAttribute("data-stale", true);

/** @param {HTMLFormElement} form @param {Fix} fix */
function bigFix(form, fix) {
  const trial = fix.before ? [make("span", { class: "trial" }, sketch(fix.before), make("i", { "aria-hidden": "true" }, "→"), sketch(fix.after))] : [];
  return make("a", attributes(form, fix, "fix"), ...trial, make("span", { class: "button strong" }, label(fix)));
}

/** @param {HTMLFormElement} form @param {Fix} fix */
const smallFix = (form, fix) => make("a", attributes(form, fix, "button small"), label(fix));

/** @param {HTMLFormElement} form @param {Fix} fix @param {string} css */
function attributes(form, fix, css) {
  const failed = (fix.tried ?? 1) - 1;
  const tried = failed ? `, after ${failed} other${failed > 1 ? "s" : ""} that did not help` : "";
  return {
    class: css,
    href: `/?${queryOf(form, fix.fix)}#pin=${encodeURIComponent(queryOf(form).toString())}`,
    "data-fix": true,
    title: `Run with the same seed and data: the fault is gone${tried}. rms of activations and gradients by layer, before and after.`,
  };
}

/** @param {Fix} fix */
const label = ({ fix, fix_verified: verified }) =>
  `Try ${Object.entries(fix)
    .map(([name, value]) => `${named(name)} ${said(value)}`)
    .join(", ")}${verified ? " ✓" : ""}`;

/** @param {string} name */
const named = (name) => document.querySelector(`label[for="c-${name}"]`)?.firstChild?.textContent?.trim().toLowerCase() ?? name;

const said = (/** @type {any} */ value) => (typeof value === "boolean" ? (value ? "on" : "off") : String(value));
