/** The verdict in words, the check against autograd, what theory says in a line. */
import { find } from "../dom.js";
import { number } from "../format.js";
import { showFindings } from "./findings.js";

const MATCH = 1e-3; // beyond rounding of float32 through some dozen layers, "match" would say too much

/** @param {any} summary */
export function showVerdict(summary) {
  const { severity, title, text } = summary.verdict;
  sayVerdict(severity, title, text);
  showFindings(summary.findings, summary.undecided ?? []);
}

/** @param {string} severity @param {string} title @param {string} text */
export function sayVerdict(severity, title, text) {
  const root = find("#verdict");
  root.className = `verdict severity-${severity}`;
  write(find("h2", root), title);
  write(find(".words p", root), text);
}

/** @param {any} check */
export function showCheck(check) {
  const place = find("#check");
  const error = check?.autograd_max_relative_error;
  if (!check) write(place, "");
  else if (error === null || error === undefined) write(place, check.reason ?? "no gradient to compare with autograd");
  else write(place, `gradients ${error < MATCH ? "match" : "against"} autograd, max relative error ${number(error)}`);
  place.title = check?.worst ? `largest at ${check.worst}; ${check.compared} tensors compared, ${check.skipped} skipped` : "";
}

/** What theory says of the setting, in a line. @param {any} theory */
export function showTheory(theory) {
  const place = find("#theory");
  if (!theory?.available) write(place, theory?.reason ?? "");
  else {
    const known = [
      ["σw² = ", theory.sigma_w2],
      ["σb² = ", theory.sigma_b2],
      ["χ₁ = ", theory.chi1],
      ["", theory.phase],
      ["trainable depth about ", theory.trainable_depth],
    ].filter(([, value]) => value !== null);
    write(place, `theory: ${known.map(([name, value]) => name + (typeof value === "number" ? number(value) : value)).join(", ")}`);
  }
  place.title = (theory?.notes ?? []).join("; ");
}

/** Only what changed is written: a live region repeats what is set. @param {HTMLElement} element @param {string} text */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
