/** The form: sliders and boxes that belong together, help of the chosen option, the weights' formula, messages. */
import { find } from "../dom.js";
import { fillTrack, refuse } from "../forms.js";

export class Controls {
  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.form = form;
    /** What the boxes behind "More" said when they were shown last. */
    this.rare = "";
    this.sliders = [.../** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("input[type=range]"))];
    // Runs before htmx's listener on the form, which reads the boxes.
    form.addEventListener("input", ({ target }) => (target instanceof HTMLInputElement && target.type === "range" ? this.fromSlider(target) : this.show()), {
      capture: true,
    });
    for (const dice of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-dice]")))
      dice.addEventListener("click", () => this.roll(dice.dataset.dice));
    this.show();
  }

  /** @param {string} name @returns {any} */
  box(name) {
    return this.form.elements.namedItem(name);
  }

  /** @param {HTMLInputElement} slider */
  fromSlider(slider) {
    const box = find(`#${slider.dataset.for}`);
    box.value = slider.dataset.scale === "log" ? logValue(slider) : slider.value;
    fillTrack(slider);
    this.describe();
  }

  /** Sliders, notes and formula as the boxes say. */
  show() {
    for (const slider of this.sliders) {
      const value = Number(find(`#${slider.dataset.for}`).value);
      if (Number.isFinite(value)) slider.value = String(slider.dataset.scale === "log" ? logPlace(slider, value) : value);
      fillTrack(slider);
    }
    for (const select of this.form.querySelectorAll("select")) {
      const chosen = select.selectedOptions[0]?.dataset ?? {};
      const note = find(`#${select.name}-note`);
      note.querySelector(".formula").textContent = chosen.formula ?? "";
      note.querySelector(".more").textContent = ` ${chosen.help ?? ""} ${chosen.source ?? ""}`;
    }
    this.reveal();
    this.describe();
  }

  /** Opens "More" where a box behind it has come to say something; who closes it has it closed. */
  reveal() {
    const boxes = [.../** @type {NodeListOf<HTMLInputElement>} */ (this.form.querySelectorAll(".rare [data-default]"))];
    const said = boxes.filter(({ value, dataset }) => value !== dataset.default).map(({ name, value }) => `${name}=${value}`);
    if (said.length && String(said) !== this.rare) boxes[0].closest("details")?.setAttribute("open", "");
    this.rare = String(said);
  }

  /** The formula under the init scale: w = 1 · √(2/100) · randn(100, 100); of the only hidden layer, which takes the data's features, or of any behind it. */
  describe() {
    const width = this.box("width").value;
    const features = this.box("inputs").value || this.box("data").selectedOptions[0]?.dataset.features || width;
    const inputs = this.box("depth").value === "1" ? features : width;
    // By fan_out it is drawn from the outputs to the inputs, and turned over.
    const turned = this.box("fan").value === "fan_out";
    const [rows, columns] = turned ? [width, inputs] : [inputs, width];
    const formula = (this.box("init").selectedOptions[0]?.dataset.formula ?? "").replaceAll("n_in", rows).replaceAll("n_out", columns);
    find("#weight-formula output").textContent = `w = ${this.box("init_scale").value} · ${turned ? `(${formula})ᵀ` : formula}`;
  }

  /** Sets one control as if it had been typed. @param {string} name @param {string} value */
  set(name, value) {
    const box = this.box(name);
    if (box.type === "checkbox") box.checked = value === "true";
    else box.value = value;
  }

  /** Tells htmx and everybody else that the controls have changed, as one finished gesture. */
  changed() {
    this.show();
    this.form.dispatchEvent(new Event("input", { bubbles: true }));
    this.form.dispatchEvent(new Event("change", { bubbles: true }));
  }

  /** @param {string|undefined} id */
  roll(id) {
    find(`#${id}`).value = String(Math.floor(Math.random() * 100_000));
    this.changed();
  }

  /** @param {{field: string, message: string}[]} errors */
  refuse(errors) {
    refuse(this.form, errors, true);
  }
}

/** @param {HTMLInputElement} slider */
const bounds = ({ dataset, max }) => ({ low: Math.log10(Number(dataset.low)), high: Math.log10(Number(dataset.high)), steps: Number(max) });

/** The value at the slider's place, three significant digits. @param {HTMLInputElement} slider */
function logValue(slider) {
  const { low, high, steps } = bounds(slider);
  return String(Number((10 ** (low + ((high - low) * Number(slider.value)) / steps)).toPrecision(3)));
}

/** @param {HTMLInputElement} slider @param {number} value */
function logPlace(slider, value) {
  const { low, high, steps } = bounds(slider);
  if (value <= 0) return 0;
  return Math.round(((Math.min(high, Math.max(low, Math.log10(value))) - low) / (high - low)) * steps);
}
