/** Pictures of the chosen module's tensors, of a training of ours: asked for where they are open, as soon as the hand rests. */
import { make } from "../dom.js";
import { drawHeatmap } from "../heatmap.js";

/** Each is a computation: a slider that moves on asks for none. */
const REST_MS = 300;

export class Pictures {
  /** @param {HTMLElement} panel whose modules come and go */
  constructor(panel) {
    this.panel = panel;
    this.timer = 0;
    /** Module and step that are shown. */
    this.shown = "";
    // A toggle does not bubble.
    panel.addEventListener("toggle", () => this.arrived(), true);
    panel.addEventListener("htmx:config:request", (/** @type {any} */ { target, detail }) => {
      if (target !== this.place) return;
      for (const [name, value] of Object.entries(this.wanted)) detail.ctx.request.body.set(name, value);
      detail.ctx.wanted = this.key;
    });
    panel.addEventListener("htmx:after:swap", (/** @type {any} */ { target, detail }) => {
      if (target !== this.place) return;
      // What was refused is asked for again when it is wanted again.
      this.shown = this.place?.querySelector("[role=alert]") ? "" : detail.ctx.wanted;
      this.draw();
      this.mark();
    });
    panel.addEventListener("htmx:error", (/** @type {any} */ { target, detail }) => {
      if (target !== this.place || detail.error?.name === "AbortError") return;
      this.say("The server can't be reached.");
    });
    document.addEventListener("look", () => this.draw());
  }

  /** @returns {HTMLDetailsElement|null} */
  get details() {
    return this.panel.querySelector("#pictures");
  }

  /** @returns {HTMLElement|null} */
  get place() {
    return this.panel.querySelector("#pictures-place");
  }

  /** What the panel is of. */
  get wanted() {
    const { layer = "", step = "" } = /** @type {HTMLElement} */ (this.panel.querySelector("#tensors-at")).dataset;
    return { module: layer, step };
  }

  get key() {
    return JSON.stringify(this.wanted);
  }

  /** The panel came anew, or was opened: what it has no pictures of is asked for before long. */
  arrived() {
    clearTimeout(this.timer);
    const { details, place } = this;
    if (!details || !place) return;
    /** @type {HTMLElement} */ (details.querySelector("summary")).textContent = `Pictures of the tensors at step ${this.wanted.step}`;
    this.mark();
    if (!details.open || this.shown === this.key) return;
    this.timer = window.setTimeout(() => {
      if (!place.querySelector(".pictures")) this.say(`Step ${this.wanted.step} is computed anew …`);
      window.htmx.trigger(place, "closer");
    }, REST_MS);
  }

  /** Whether what is shown is of another module or step. */
  mark() {
    this.details?.toggleAttribute("data-stale", this.shown !== this.key);
  }

  /** @param {string} text */
  say(text) {
    this.shown = "";
    this.place?.replaceChildren(make("p", { class: "quiet", role: "status" }, text));
  }

  /** With the colours of now. */
  draw() {
    for (const canvas of this.place?.querySelectorAll("canvas") ?? []) drawHeatmap(canvas);
  }
}
