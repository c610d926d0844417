/** The verdict in words, the findings with their evidence, the fix as a button, the check against autograd. */
import { find, make } from "../dom.js";
import { number } from "../format.js";

const MATCH = 1e-3; // beyond rounding of float32 through some dozen layers, "match" would say too much

/** @param {any} summary @param {(fix: Record<string, any>) => void} apply */
export function showVerdict(summary, apply) {
  const root = find("#verdict");
  const { severity, title, text } = summary.verdict;
  root.className = `verdict severity-${severity}`;
  write(find("h2", root), title);
  write(find(".words p", root), text);
  const fixable = summary.findings.find((/** @type {any} */ finding) => finding.fix);
  find(".fixes", root).replaceChildren(...(fixable ? [fixButton(fixable, apply)] : []));
  showTheory(summary.theory);
  const open = root.querySelector("details")?.open ?? false;
  root.querySelector("details")?.remove();
  if (summary.findings.length) root.append(list(summary.findings, open));
}

/** @param {string} severity @param {string} title @param {string} text */
export function sayVerdict(severity, title, text) {
  showVerdict({ verdict: { severity, title, text }, findings: [] }, () => {});
}

/** @param {any} check */
export function showCheck(check) {
  const place = find("#check");
  const error = check?.autograd_max_relative_error;
  if (!check) place.textContent = "";
  else if (error === null || error === undefined) place.textContent = check.reason ?? "no gradient to compare with autograd";
  else place.textContent = `gradients ${error < MATCH ? "match" : "against"} autograd, max relative error ${number(error)}`;
  place.title = check?.worst ? `largest at ${check.worst}; ${check.compared} tensors compared, ${check.skipped} skipped` : "";
}

/** What theory says of the setting, in a line. @param {any} theory */
export function showTheory(theory) {
  const place = find("#theory");
  if (!theory?.available) place.textContent = theory?.reason ? `no theory: ${theory.reason}` : "";
  else {
    const depth = theory.trainable_depth ? `, trainable depth about ${number(theory.trainable_depth)}` : "";
    place.textContent = `theory: σw² = ${number(theory.sigma_w2)}, σb² = ${number(theory.sigma_b2)}, χ₁ = ${number(theory.chi1)}, ${theory.phase}${depth}`;
  }
  place.title = (theory?.notes ?? []).join("; ");
}

/** Only what changed is written: a live region repeats what is set. @param {HTMLElement} element @param {string} text */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {any} finding @param {(fix: Record<string, any>) => void} apply */
function fixButton(finding, apply) {
  const what = Object.entries(finding.fix).map(([name, value]) => `${label(name)} ${value}`).join(", ");
  return make("button", {
    class: "button strong", type: "button", click: () => apply(finding.fix),
    title: finding.fix_verified ? "Was run with the same seed and data: the fault is gone" : "Not run yet",
  }, `Try ${what}${finding.fix_verified ? " ✓" : ""}`);
}

/** @param {string} name */
const label = (name) => document.querySelector(`label[for="c-${name}"]`)?.firstChild?.textContent?.trim().toLowerCase() ?? name;

/** @param {any[]} findings @param {boolean} open */
function list(findings, open) {
  const items = findings.flatMap((finding) => [finding, ...(finding.consequences ?? []).map((/** @type {any} */ c) => ({ ...c, follows: true }))]);
  return make("details", { class: "findings", open },
    make("summary", {}, `${items.length} finding${items.length > 1 ? "s" : ""}, with evidence`),
    make("ul", {}, ...items.map(entry)));
}

/** @param {any} finding */
function entry(finding) {
  return make("li", { class: `severity-${finding.severity}${finding.follows ? " follows" : ""}` },
    make("b", {}, finding.title), ` ${finding.explanation} `,
    make("span", { class: "evidence num" }, `${pairs(finding.evidence)} · threshold: ${pairs(finding.threshold)}`));
}

/** @param {Record<string, any>|number|null} figures */
function pairs(figures) {
  if (figures === null || typeof figures !== "object") return String(figures ?? "none");
  return Object.entries(figures).filter(([, v]) => v !== null && typeof v !== "object")
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${typeof value === "number" && !Number.isInteger(value) ? number(value) : value}`).join(", ");
}
