/** The pinned experiment beside the current one: which parameters differ, and both verdicts. */
import { find, make } from "../dom.js";

/** @typedef {import("./profile.js").Profile} Profile */

/** @param {Profile|null} pinned @param {Profile} current @param {{swap: () => void, clear: () => void}} actions */
export function compare(pinned, current, actions) {
  const root = find("#compare");
  root.hidden = !pinned;
  if (!pinned) {
    root.replaceChildren();
    return;
  }
  const names = Object.keys(current.experiment).filter((name) => pinned.experiment[name] !== current.experiment[name]);
  const rows = names.map((name) => row(name.replaceAll("_", " "), text(pinned.experiment[name]), text(current.experiment[name])));
  root.replaceChildren(
    make(
      "header",
      {},
      make("h2", { id: "compare-title" }, "Pinned and current"),
      make("span", { class: "quiet" }, names.length ? "" : "the same setting; change something"),
      make(
        "span",
        { class: "actions" },
        make("button", { class: "button small", type: "button", click: actions.swap, title: "Swap (x)" }, "⇄ Swap"),
        make("button", { class: "button small", type: "button", click: actions.clear, title: "Let go (k)" }, "Clear"),
      ),
    ),
    make(
      "div",
      { class: "scroll-x" },
      make(
        "table",
        {},
        make(
          "thead",
          {},
          make(
            "tr",
            {},
            make("td"),
            make("th", { scope: "col" }, make("i", { class: "line ghost" }), "pinned"),
            make("th", { scope: "col" }, make("i", { class: "line" }), "current"),
          ),
        ),
        make("tbody", {}, ...rows, row("verdict", verdict(pinned), verdict(current))),
      ),
    ),
  );
}

/** @param {string} name @param {string} a @param {string} b */
const row = (name, a, b) => make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "num" }, a), make("td", { class: "num" }, b));

/** @param {any} value */
const text = (value) => (value === null ? "auto" : String(value));

/** @param {Profile} profile */
const verdict = (profile) => profile.summary?.verdict?.title ?? "…";
