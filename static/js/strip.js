/** The signal strip: a cell pair per block, filled as records come; also how one picks a layer. */
import { make, oncePerFrame } from "./dom.js";

/** What it shows: of each block two layers, of each layer the classes of its cells.
 * @typedef {{blocks: {after: number, before: number}[], numbers: number[], layers: {activation: {cell: string}|null, gradient: {cell: string}|null}[]}} Signal */

export class Strip {
  /** @param {HTMLElement} root @param {HTMLElement} readout @param {(block: number) => void} select
   * @param {string} [blocks] what they are called */
  constructor(root, readout, select, blocks = "Layers") {
    this.readout = readout;
    this.select = select;
    /** @type {Signal|null} */
    this.series = null;
    this.side = /** @type {"after"|"before"} */ ("after");
    this.chosen = 0;
    /** The words for each block that `describe` has taken over. @type {Element|null} */
    this.readouts = null;
    /** @type {HTMLElement[]} */
    this.pairs = [];
    /** @type {Set<number>} */
    this.dirty = new Set();
    this.ask = oncePerFrame(() => this.paint());
    this.list = make("ol", {
      class: "pairs",
      role: "listbox",
      tabindex: "0",
      "aria-label": `${blocks}: activations above, gradients below`,
      keydown: (/** @type {KeyboardEvent} */ event) => this.move(event),
      click: (/** @type {Event} */ event) => this.at(event, this.select),
      pointermove: (/** @type {Event} */ event) => this.at(event, (block) => this.tell(block)),
      pointerleave: () => this.tell(this.chosen),
    });
    root.className = "strip";
    root.replaceChildren(way("forward", "x", "signal", "loss"), this.list, way("backward", "", "gradient", ""));
  }

  /** Another experiment: keeps its cells where the number of blocks is the same, so that nothing flickers.
   * @param {Signal} series */
  start(series) {
    this.series = series;
    if (this.pairs.length === series.blocks.length) return;
    const every = series.blocks.length > 400 ? 50 : 10;
    this.pairs = series.numbers.map((block) =>
      make(
        "li",
        { id: `block-${block}`, role: "option", "aria-selected": "false", "data-block": block, "data-tick": block === 1 || block % every === 0 ? block : null },
        make("i", { class: "cell s-none" }),
        make("i", { class: "cell s-none" }),
      ),
    );
    this.list.replaceChildren(...this.pairs);
    this.list.classList.toggle("dense", this.pairs.length > 130);
    this.choose(this.chosen);
  }

  /** Marks blocks as changed; they are painted at the next frame. @param {Iterable<number>} blocks */
  touch(blocks) {
    for (const block of blocks) this.dirty.add(block);
    this.ask();
  }

  paint() {
    for (const number of this.dirty) {
      const block = this.series?.blocks[number - 1];
      const pair = this.pairs[number - 1];
      if (!this.series || !block || !pair) continue;
      const { activation, gradient } = this.series.layers[block[this.side]];
      const [above, below] = /** @type {HTMLCollectionOf<HTMLElement>} */ (pair.children);
      set(above, activation?.cell ?? "s-none");
      set(below, gradient?.cell ?? "s-none");
    }
    this.dirty.clear();
  }

  /** Says every cell's figures to assistive technology, in the server's words. */
  describe() {
    this.readouts = document.querySelector("#readouts");
    this.pairs.forEach((pair, i) => pair.setAttribute("aria-label", this.text(i + 1)));
    this.tell(this.chosen);
  }

  /** @param {number} block */
  text(block) {
    const [after, before] = this.readouts?.children[block - 1]?.children ?? [];
    return (this.side === "after" ? after : before)?.textContent ?? "";
  }

  /** @param {number} block */
  tell(block) {
    this.readout.textContent = this.text(block || 1) || "\u00a0";
  }

  /** Marks the chosen block. @param {number} block */
  choose(block) {
    this.pairs[this.chosen - 1]?.setAttribute("aria-selected", "false");
    this.chosen = block;
    const pair = this.pairs[block - 1];
    pair?.setAttribute("aria-selected", "true");
    if (pair) this.list.setAttribute("aria-activedescendant", pair.id);
    else this.list.removeAttribute("aria-activedescendant");
    this.tell(block);
  }

  /** Calls `act` with the block that the pointer is at. @param {Event} event @param {(block: number) => void} act */
  at(event, act) {
    const block = /** @type {Element} */ (event.target).closest("li")?.dataset.block;
    if (block) act(Number(block));
  }

  /** @param {KeyboardEvent} event */
  move(event) {
    const last = this.pairs.length;
    const to = {
      ArrowRight: this.chosen + 1,
      ArrowLeft: this.chosen - 1,
      ArrowUp: this.chosen - 1,
      ArrowDown: this.chosen + 1,
      PageUp: this.chosen - 10,
      PageDown: this.chosen + 10,
      Home: 1,
      End: last,
      Enter: this.chosen || 1,
      " ": this.chosen || 1,
    }[event.key];
    if (to === undefined || this.list.hasAttribute("data-walking")) return;
    event.preventDefault();
    this.select(Math.min(last, Math.max(1, to)));
  }
}

/** @param {HTMLElement} cell @param {string} classes */
function set(cell, classes) {
  if (cell.dataset.state === classes) return;
  cell.classList.remove(...(cell.dataset.state ?? "s-none").split(" "));
  cell.classList.add(...classes.split(" "));
  cell.dataset.state = classes;
}

/** The way that something takes through the layers, drawn for the eye: the list says it in words.
 * @param {string} direction @param {string} from @param {string} name @param {string} to */
function way(direction, from, name, to) {
  const end = (/** @type {string} */ text) => make("span", { class: "end" }, text);
  return make("div", { class: `way ${direction}`, "aria-hidden": "true" }, end(from), make("b", {}, name), make("i"), end(to));
}
