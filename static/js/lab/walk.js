/** The signal's way: forward through every layer, then the gradient back; played, or step by step with the arrow keys. */
import { find } from "../dom.js";

const [SHORTEST_MS, LONGEST_MS, WHOLE_MS] = [25, 160, 4000]; // of a step, and of the way there and back

export class Walk {
  /** @param {import("../strip.js").Strip} strip @param {(block: number) => void} select */
  constructor(strip, select) {
    this.strip = strip;
    this.select = select;
    /** How many steps were made: the layers forward, then back. */
    this.made = 0;
    this.stepping = false;
    this.timer = 0;
    document.addEventListener("keydown", (event) => this.key(event));
    // Any other gesture means: enough seen.
    for (const name of ["pointerdown", "keydown", "input"]) document.addEventListener(name, () => this.stop(), { capture: true });
  }

  get layers() {
    return this.strip.pairs.length;
  }

  /** Goes all the way at a speed that an eye can follow; not where motion is unwelcome. */
  play() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches || this.stepping || !this.layers) return;
    clearTimeout(this.timer);
    const pause = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, WHOLE_MS / (2 * this.layers)));
    const each = Math.max(1, Math.round((2 * this.layers * pause) / WHOLE_MS)); // so many steps at once where there are thousands
    const go = (/** @type {number} */ made) => {
      this.show(made);
      this.timer =
        made < 2 * this.layers ? window.setTimeout(go, pause, Math.min(2 * this.layers, made + each)) : window.setTimeout(() => this.stop(), LONGEST_MS);
    };
    go(1);
  }

  /** Ends the playing. */
  stop() {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = 0;
    if (!this.stepping) this.clear();
  }

  /** Starts or leaves stepping: then each step chooses its layer too. */
  toggle() {
    this.stepping = !this.stepping;
    find("[data-action=walk]").setAttribute("aria-pressed", String(this.stepping));
    if (this.stepping) this.step(1 - this.made);
    else this.clear();
  }

  /** The arrows are the steps', also on the strip; on a control they are the control's. @param {KeyboardEvent} event */
  key(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const target = /** @type {Element} */ (event.target);
    if (!this.stepping || !by || event.ctrlKey || event.altKey || event.metaKey || target.matches("input, select, textarea")) return;
    event.preventDefault();
    this.step(by);
  }

  /** @param {number} by */
  step(by) {
    if (!this.stepping) return;
    this.show(Math.min(2 * this.layers, Math.max(1, this.made + by)));
    this.select(this.made <= this.layers ? this.made : 2 * this.layers + 1 - this.made);
  }

  /** @param {number} made */
  show(made) {
    this.made = made;
    this.strip.list.toggleAttribute("data-walking", true);
    const back = Math.max(0, made - this.layers);
    this.strip.pairs.forEach((pair, i) => {
      const [above, below] = pair.children;
      above.classList.toggle("reached", i < made);
      below.classList.toggle("reached", i >= this.layers - back);
      above.classList.toggle("at", i === made - 1);
      below.classList.toggle("at", back > 0 && i === this.layers - back);
    });
  }

  clear() {
    this.made = 0;
    this.strip.list.removeAttribute("data-walking");
    for (const cell of this.strip.list.querySelectorAll(".reached, .at")) cell.classList.remove("reached", "at");
  }
}
