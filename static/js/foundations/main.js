/** Every page of Foundations: the address follows the form, sliders follow their boxes, cells light up together. */
import { typed } from "../forms.js";
import { Queue } from "../queue.js";
import "./sliders.js";
import "./cells.js";

/** What was chosen before a link led elsewhere; typed text is htmx's to restore. @param {HTMLFormElement} form */
function restoreChoices(form) {
  for (const element of form.elements) {
    if (element instanceof HTMLInputElement && /radio|checkbox/.test(element.type)) element.checked = element.defaultChecked;
    if (element instanceof HTMLSelectElement) for (const option of element.options) option.selected = option.defaultSelected;
  }
}

const queue = new Queue(/** @type {HTMLFormElement} */ (document.querySelector("#step-form")));

// While a newer setting waits, only the result is drawn: the form stays as it has been typed since.
document.addEventListener("htmx:after:request", (event) => {
  const { ctx } = /** @type {CustomEvent} */ (event).detail;
  if (ctx.sourceElement !== queue.form || !queue.waiting || ctx.select !== "#live") return;
  ctx.select = "#result";
  ctx.target = document.querySelector("#result");
});

document.addEventListener("htmx:after:swap", (event) => {
  const form = /** @type {HTMLFormElement|null} */ (document.querySelector("#step-form"));
  if (!form) return;
  const source = /** @type {any} */ (event).detail?.ctx?.sourceElement;
  // No entry in the history for every keystroke: "back" leaves the page.
  if (source instanceof HTMLAnchorElement) {
    restoreChoices(form);
    history.replaceState(null, "", source.dataset.href ?? source.getAttribute("href"));
  } else if (source === form) history.replaceState(null, "", `${location.pathname}?${typed(form)}`);
  document.dispatchEvent(new CustomEvent("step:changed"));
});
