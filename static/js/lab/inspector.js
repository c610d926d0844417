/** One block under the glass: the server's words and figures, and its tensors as pictures. */
import { find } from "../dom.js";
import { drawHeatmap } from "../heatmap.js";

export class Inspector {
  /** @param {HTMLElement} root asks for a block when triggered @param {(block: number) => void} select */
  constructor(root, select) {
    this.root = root;
    this.shown = "";
    /** What is asked for. @type {[string, string][]} */
    this.wanted = [];
    this.invitation = [...root.childNodes];
    const forget = () => (this.shown = "");
    root.addEventListener("htmx:config:request", (event) => {
      const { ctx } = /** @type {CustomEvent} */ (event).detail;
      for (const [name, value] of this.wanted) ctx.request.body.set(name, value);
    });
    root.addEventListener("htmx:after:swap", () => this.draw());
    root.addEventListener("htmx:response:error", forget);
    root.addEventListener("htmx:error", (event) => {
      if (/** @type {CustomEvent} */ (event).detail.error?.name === "AbortError") return;
      forget();
      root.replaceChildren(find("#not-inspected").content.cloneNode(true));
    });
    root.addEventListener("click", (event) => {
      const button = /** @type {Element} */ (event.target).closest("button");
      if (button) select(Number(button.value));
    });
    document.addEventListener("look", () => this.draw());
  }

  /** Shows a block; the last call wins. @param {number} block @param {import("./series.js").Side} side @param {URLSearchParams} query */
  show(block, side, query) {
    const wanted = new URLSearchParams([...query, ["block", String(block)], ["side", side]]);
    if (wanted.toString() === this.shown) return;
    this.shown = wanted.toString();
    this.wanted = [...wanted];
    window.htmx.trigger(this.root, "choose");
  }

  close() {
    window.htmx.trigger(this.root, "htmx:abort");
    this.shown = "";
    this.root.replaceChildren(...this.invitation);
  }

  /** Every picture, with the colours of now. */
  draw() {
    for (const canvas of this.root.querySelectorAll("canvas")) drawHeatmap(canvas, JSON.parse(canvas.nextElementSibling?.textContent ?? ""));
  }
}
