/** One block under the glass: the server's words and figures, and its tensors as pictures. */
import { find } from "../dom.js";
import { drawHeatmap } from "../heatmap.js";
import { plain } from "./address.js";

export class Inspector {
  /** @param {HTMLElement} root asks for a block when triggered @param {(block: number) => void} select */
  constructor(root, select) {
    this.root = root;
    /** What is asked for by itself, outside the form's stream. @type {string} */
    this.asked = "";
    const forget = () => (this.asked = "");
    root.addEventListener("htmx:config:request", (event) => {
      const { ctx } = /** @type {CustomEvent} */ (event).detail;
      for (const [name, value] of new URLSearchParams(this.asked)) ctx.request.body.set(name, value);
    });
    root.addEventListener("htmx:after:swap", () => {
      root.removeAttribute("data-stale");
      this.draw();
    });
    root.addEventListener("htmx:response:error", forget);
    root.addEventListener("htmx:error", (event) => {
      if (/** @type {CustomEvent} */ (event).detail.error?.name === "AbortError") return;
      forget();
      root.replaceChildren(find("#not-inspected").content.cloneNode(true));
    });
    root.addEventListener("click", (event) => {
      const button = /** @type {HTMLButtonElement|null} */ (/** @type {Element} */ (event.target).closest("button[data-choose]"));
      if (button) select(Number(button.value));
    });
    document.addEventListener("look", () => this.draw());
    /** Whether the figures are open: they stay so with every layer. */
    this.open = false;
    root.addEventListener("click", (event) => {
      const summary = /** @type {Element} */ (event.target).closest("summary");
      if (summary) this.open = !(/** @type {HTMLDetailsElement} */ (summary.parentElement).open);
    });
    this.draw();
  }

  /** What is shown, as it was asked for. */
  get shown() {
    const shown = /** @type {HTMLElement|null} */ (this.root.querySelector("[data-shown]"))?.dataset.shown;
    return plain(new URLSearchParams(shown)).toString();
  }

  /** The block that is shown, 0 for none. */
  get block() {
    return Number(new URLSearchParams(this.shown).get("block"));
  }

  /** The block that the page invites to in place of one that was not ready in time, 0 for none. */
  get worth() {
    return Number(/** @type {HTMLElement|null} */ (this.root.querySelector("[data-worth]"))?.dataset.worth ?? 0);
  }

  /** Shows a block; the last call wins. @param {number} block @param {import("./series.js").Side} side @param {URLSearchParams} query */
  show(block, side, query) {
    const wanted = key(block, side, query);
    if (wanted === (this.asked || this.shown)) return;
    this.asked = wanted;
    this.root.toggleAttribute("data-stale", true);
    window.htmx.trigger(this.root, "choose");
  }

  /** The form's stream may have brought a block: draws it, or marks what is shown as another experiment's.
   * @param {import("./series.js").Side} side @param {URLSearchParams} query @returns {number} the block, 0 for none of this experiment */
  told(side, query) {
    const { block } = this;
    const fits = block > 0 && this.shown === key(block, side, query);
    this.root.toggleAttribute("data-stale", !fits);
    this.asked = "";
    if (fits) this.draw();
    return fits ? block : 0;
  }

  /** Every picture, with the colours of now. */
  draw() {
    this.root.querySelector("details")?.toggleAttribute("open", this.open);
    for (const canvas of this.root.querySelectorAll("canvas")) drawHeatmap(canvas);
  }
}

/** @param {number} block @param {import("./series.js").Side} side @param {URLSearchParams} query */
const key = (block, side, query) => plain(new URLSearchParams([...query, ["block", String(block)], ["side", side]])).toString();
