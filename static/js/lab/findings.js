/** What was found, with its evidence, causes above their consequences; the same elements as macros/findings.html. */
import { find, make } from "../dom.js";
import { number } from "../format.js";

const CHARTS = /** @type {Record<string, string>} */ ({ saturation: "silent", dead_units: "silent", symmetry: "magnitudes", precision_loss: "magnitudes" });
const WHOLE = 1e5; // from here on a whole number is written with an exponent

/** Shows them under the verdict, open or closed as before. @param {any[]} findings @param {{rule: string, reason: string}[]} undecided */
export function showFindings(findings, undecided) {
  const root = find("#verdict");
  const words = [];
  const count = findings.reduce((sum, finding) => sum + withConsequences(finding), 0);
  if (count) words.push(`${count} finding${count > 1 ? "s" : ""}, with evidence`);
  if (undecided.length) words.push(`${undecided.length} rule${undecided.length > 1 ? "s" : ""} could not judge`);
  let details = root.querySelector("details");
  if (!words.length) return details?.remove();
  if (!details) root.append((details = make("details", { class: "findings" }, make("summary"))));
  // Its heading stays, because it may have the focus.
  find("summary", details).textContent = words.join(" · ");
  while (details.childElementCount > 1) details.lastElementChild.remove();
  details.append(make("ol", {}, ...findings.map(entry)), ...(undecided.length ? [notJudged(undecided)] : []));
}

/** @param {any} finding @returns {number} */
const withConsequences = (finding) => 1 + finding.consequences.reduce((/** @type {number} */ sum, /** @type {any} */ c) => sum + withConsequences(c), 0);

/** @param {any} finding @returns {HTMLElement} */
function entry(finding) {
  const [first, last] = finding.blocks;
  const begins = finding.direction === "backward" ? 1 : 0;
  const where = make(
    "p",
    { class: "where" },
    make(
      "a",
      {
        href: `#layer-${finding.layers[begins]}`,
        "data-layer": finding.blocks[begins],
        "data-shows": CHARTS[finding.rule] ?? (begins ? "gradients" : "activations"),
      },
      first === last ? `layer ${first}` : `layers ${first} to ${last}`,
    ),
    make("span", {}, "rule ", rule(finding.rule)),
    make("span", { class: "remedy" }),
  );
  const rows = evidence(finding.evidence, finding.threshold);
  return make(
    "li",
    { class: `finding severity-${finding.severity}` },
    make("h3", {}, make("span", { class: "tag" }, finding.severity), ` ${finding.title}`),
    make("p", {}, finding.explanation),
    where,
    ...(rows.length ? [table(rows)] : []),
    ...(finding.consequences.length ? [make("p", { class: "follows" }, "and in consequence"), make("ol", {}, ...finding.consequences.map(entry))] : []),
  );
}

/** @param {string} name */
function rule(name) {
  const page = find("#verdict").dataset.rules;
  return page ? make("a", { href: `${page}#rule-${name}` }, name) : name;
}

/** @param {string[][]} rows */
const table = (rows) =>
  make(
    "table",
    { class: "evidence" },
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        make("th", { scope: "col" }, "figure"),
        make("th", { scope: "col", class: "num" }, "measured"),
        make("th", { scope: "col", class: "num" }, "threshold"),
      ),
    ),
    make(
      "tbody",
      {},
      ...rows.map(([name, value, limits]) =>
        make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "num" }, value), make("td", { class: "num" }, limits)),
      ),
    ),
  );

/** Every figure beside its limits, limits of no one figure last: [name, value, limits].
 * @param {Record<string, any>} measured @param {Record<string, any>} threshold */
export function evidence(measured, threshold) {
  const left = new Map(Object.entries(threshold));
  const rows = [];
  for (const [name, value] of Object.entries(measured)) {
    if (typeof value !== "number" && typeof value !== "string") continue;
    const held = [...left].filter(([key]) => name === base(key) || name.endsWith(`_${base(key)}`));
    held.forEach(([key]) => left.delete(key));
    rows.push([spaced(name), figure(value), held.map(([key, limit]) => `${qualifier(key)}${figure(limit)}`).join(", ")]);
  }
  for (const [key, value] of left) rows.push([spaced(key), "", figure(value)]);
  return rows;
}

const base = (/** @type {string} */ key) => key.replace(/^(warning|error)_|_(grow|shrink)$/g, "");
const spaced = (/** @type {string} */ name) => name.replaceAll("_", " ");

/** "warning " of warning_share, "error grow " of error_decades_grow, nothing of ratio. @param {string} key */
function qualifier(key) {
  const rest = spaced(key.replace(base(key), ""))
    .split(" ")
    .filter(Boolean);
  return rest.map((word) => `${word} `).join("");
}

/** @param {number|string} value */
function figure(value) {
  if (typeof value === "string") return value;
  return Number.isInteger(value) && Math.abs(value) < WHOLE ? String(value).replace("-", "−") : number(value);
}

/** @param {{rule: string, reason: string}[]} undecided */
const notJudged = (undecided) =>
  make(
    "p",
    { class: "undecided" },
    "Could not be judged: ",
    ...undecided.flatMap(({ rule: name, reason }, i) => [make("span", {}, rule(name), ` (${reason})`), ...(i < undecided.length - 1 ? [", "] : [])]),
  );
