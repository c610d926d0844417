/** The requests of a form of which a running one finishes and, of those that wait for it, the newest is kept (hx-sync="this:queue last"). */

const LONG_MS = 1000; // what runs longer than this gives way when the hand lets go

export class Queue {
  /** @param {HTMLElement} form */
  constructor(form) {
    this.form = form;
    /** What waits for the running one: a newer setting. @type {any} */
    this.waiting = null;
    this.running = false;
    /** When the running one began. */
    this.began = 0;
    const on = (/** @type {string} */ name, /** @type {(ctx: any) => void} */ act) =>
      form.addEventListener(name, (event) => event.target === form && act(/** @type {CustomEvent} */ (event).detail.ctx));
    on("htmx:config:request", (ctx) => (this.waiting = ctx));
    on("htmx:before:request", (ctx) => {
      if (ctx === this.waiting) this.waiting = null;
      this.running = true;
      this.began = performance.now();
    });
    on("htmx:finally:request", () => (this.running = false));
    form.addEventListener("change", () => performance.now() - this.began > LONG_MS && this.giveWay());
  }

  /** Ends the running one where a newer one waits. */
  giveWay() {
    if (this.running && this.waiting) window.htmx.trigger(this.form, "htmx:abort");
  }
}
