/** A run in a file of its own: the same picture as on its page, from the numbers in the file. app/bundling.py makes it one script. */
import { find, json } from "../dom.js";
import { saving } from "../saving.js";
import { Picture } from "./picture.js";
import { View } from "./view.js";

function open() {
  const figures = json("figures");
  const drawing = json("drawing");
  const choice = /** @type {HTMLSelectElement} */ (find("#quantity"));
  const picture = () => new Picture({ ...drawing, quantity: choice.value, columns: drawing.columns[choice.value] }, figures.displays);
  const view = new View(figures, picture(), { module: null, step: null }, () => {});

  const rows = /** @type {HTMLSelectElement} */ (find("#rows"));

  function show() {
    view.picture = picture();
    view.fold = rows.value !== "modules";
    find("#rows-label").hidden = !view.picture.foldable;
    find("#display-note").textContent = choice.selectedOptions[0].dataset.note ?? "";
    for (const key of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-key]"))) key.hidden = key.dataset.key !== choice.value;
    view.draw();
  }

  for (const one of [choice, rows]) one.addEventListener("change", show);
  saving(find(".saves"), { loss: view.loss, picture: view.map }, document.title);
  show();
}

document.documentElement.classList.add("js");
if (document.querySelector("#chart-loss")) open();
