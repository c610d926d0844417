/** The pinned experiment beside the current one: which parameters differ, and both verdicts. */
import { find, make } from "../dom.js";

/** @typedef {import("./series.js").Series} Series */

/** Fills the table, or hides it. @param {Series|null} pinned @param {Series} current */
export function compare(pinned, current) {
  const root = find("#compare");
  root.hidden = !pinned;
  if (!pinned) return;
  const names = Object.keys(current.experiment).filter((name) => pinned.experiment[name] !== current.experiment[name]);
  const rows = names.map((name) => row(name.replaceAll("_", " "), text(pinned.experiment[name]), text(current.experiment[name])));
  find("[data-same]", root).hidden = names.length > 0;
  find("tbody", root).replaceChildren(...rows, row("verdict", pinned.verdict || "…", current.verdict || "…"));
}

/** @param {string} name @param {string} a @param {string} b */
const row = (name, a, b) => make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "num" }, a), make("td", { class: "num" }, b));

/** @param {any} value */
const text = (value) => (value === null ? "auto" : String(value));
