/** Every layer as a table: served with the page, and kept to the shown experiment while it is open. */
import { find, make } from "../dom.js";
import { number } from "../format.js";

export class Table {
  /** @param {HTMLDetailsElement} root */
  constructor(root) {
    this.root = root;
    /** @type {import("./profile.js").Profile|null} */
    this.profile = null;
    this.stale = false;
    root.addEventListener("toggle", () => this.write());
  }

  /** @param {import("./profile.js").Profile} profile */
  show(profile) {
    this.profile = profile;
    this.stale = true;
    this.write();
  }

  write() {
    if (!this.stale || !this.root.open || !this.profile) return;
    this.stale = false;
    find("tbody", this.root).replaceChildren(...this.profile.layers.map(row));
  }
}

/** @param {any} layer */
function row({ index, block, name, activation: s, gradient: g, parameters }) {
  const weight = parameters?.weight;
  const norm = weight?.gradient?.rms ?? null;
  const figures = [
    number(s.mean),
    number(s.std),
    s.zeros,
    s.nan,
    s.posinf + s.neginf,
    number(g?.std),
    weight ? number(norm === null ? null : norm * Math.sqrt(weight.gradient.finite)) : "",
  ];
  return make(
    "tr",
    { id: `layer-${index}` },
    make("td", { class: "num" }, String(block)),
    make("th", { scope: "row" }, name),
    ...figures.map((figure) => make("td", { class: "num" }, String(figure))),
  );
}
