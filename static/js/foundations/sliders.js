/** Sliders beside the boxes that hold their values, and boxes that each hold one entry of a list in another box.
 *
 *   <input type="range" data-for="ID of a box">
 *   <input type="text" data-list="ID of a box with a list" data-at="3">
 */
import { fillTrack } from "../forms.js";

/** @param {HTMLElement} element @param {string} name */
const other = (element, name) => /** @type {HTMLInputElement|null} */ (document.getElementById(element.dataset[name] ?? ""));

/** @param {HTMLInputElement|null} list */
const entries = (list) =>
  (list?.value ?? "")
    .replace(/[[\]]/g, "")
    .split(/\s*,\s*|\s+/)
    .filter((part) => part);

/** Boxes as their lists say, sliders as their boxes say; never under the reader's own hand. */
function follow() {
  for (const box of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("input[data-list]"))) {
    const entry = entries(other(box, "list"))[Number(box.dataset.at)];
    if (document.activeElement !== box && entry !== undefined) box.value = entry;
  }
  for (const slider of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("input[type=range][data-for]"))) {
    const value = Number(other(slider, "for")?.value);
    if (document.activeElement !== slider && Number.isFinite(value)) slider.value = String(value);
    fillTrack(slider);
  }
}

/** Writes one entry back into its list. @param {HTMLInputElement} box */
function intoList(box) {
  const list = other(box, "list");
  if (!list) return;
  const all = entries(list);
  all[Number(box.dataset.at)] = box.value.trim() || "0";
  list.value = all.join(", ");
}

// Before htmx's listener on the form, which reads the boxes.
document.addEventListener(
  "input",
  (event) => {
    const from = /** @type {HTMLInputElement} */ (event.target);
    if (from.type === "range" && from.dataset.for) {
      const box = other(from, "for");
      if (!box) return;
      box.value = from.value;
      if (box.dataset.list) intoList(box);
      fillTrack(from);
    } else if (from.dataset.list) intoList(from);
  },
  { capture: true },
);
document.addEventListener("step:changed", follow);
follow();
