/** A slider over the steps that the picture shows, and a button that moves it by itself. */
import { find } from "../dom.js";
import { fillTrack } from "../forms.js";

/** Between two steps of a replay, and how long one may take as a whole. */
const [EVERY_MS, MOST_MS] = [125, 30_000];

export class Replay {
  /** @param {import("./view.js").View} view @param {(playing: boolean) => void} [turned] hears when it begins and ends */
  constructor(view, turned = () => {}) {
    this.view = view;
    this.turned = turned;
    this.slider = /** @type {HTMLInputElement} */ (find("#step"));
    this.now = find("#step-now");
    this.button = find("#play");
    this.timer = 0;
    this.slider.addEventListener("input", () => {
      this.stop();
      this.go(Number(this.slider.value));
    });
    this.button.addEventListener("click", () => (this.timer ? this.stop() : this.play()));
  }

  /** @param {number} column */
  go(column) {
    this.view.choose(this.view.at.module, this.view.picture.steps[column]);
  }

  /** From the chosen step on; from the first where it is the last. */
  play() {
    const { picture, at } = this.view;
    if (picture.steps.length < 2 || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    if (picture.place(at.step) === picture.steps.length - 1) this.go(0);
    this.say(true);
    this.later();
  }

  later() {
    this.timer = window.setTimeout(() => {
      const { picture, at } = this.view;
      const last = picture.steps.length - 1;
      const stride = Math.ceil((picture.steps.length * EVERY_MS) / MOST_MS);
      const next = Math.min(last, picture.place(at.step) + stride);
      if (next < last) this.later();
      else this.stop();
      this.go(next);
    }, EVERY_MS);
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.say(false);
  }

  /** @param {boolean} playing */
  say(playing) {
    this.button.setAttribute("aria-pressed", String(playing));
    this.button.textContent = playing ? "❚❚ Pause" : "▶ Play";
    this.turned(playing);
  }

  /** The slider as the view has it. */
  show() {
    const { picture, at } = this.view;
    const { steps } = picture;
    const place = Math.max(0, picture.place(at.step));
    this.slider.max = String(Math.max(1, steps.length - 1));
    this.slider.value = String(place);
    this.slider.disabled = this.button.disabled = steps.length < 2;
    this.now.textContent = steps.length ? `step ${steps[place]}` : "";
    fillTrack(this.slider);
  }
}
