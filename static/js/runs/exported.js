/** A run in a file of its own: the same picture as on its page, from the numbers in the file. app/bundling.py makes it one script. */
import { find, json } from "../dom.js";
import { saving } from "../saving.js";
import { Depth } from "./depth.js";
import { Picture } from "./picture.js";
import { View } from "./view.js";

/** @typedef {import("./depth.js").Moment} Moment */

/** Which of the file's quantities a side's curve is. */
const OF = { activations: "std", gradients: "gradient_std" };

/** What the charts by depth show of a column of the file. @param {any} drawing @param {Record<"activations"|"gradients", Picture>} worst
 * @param {number} column @returns {Moment} */
function moment({ steps, columns, parts, modules }, worst, column) {
  const lost = new Map((parts[column] ?? []).map((/** @type {[number, number, number]} */ [place, ...bits]) => [place, bits]));
  return {
    step: steps[column] ?? null,
    figures: modules.map((/** @type {string} */ _, /** @type {number} */ i) => {
      const [std, mean, gradient] = ["std", "mean", "gradient_std"].map((quantity) => columns[quantity][column]?.[i] ?? null);
      const [output, back] = lost.get(i) ?? [0, 0];
      return [std, mean, output, gradient, back];
    }),
    worst: (members, side) => worst[side].worst({ name: "", members }, column),
  };
}

function open() {
  const figures = json("figures");
  const drawing = json("drawing");
  const of = (/** @type {string} */ quantity) => new Picture({ ...drawing, quantity, columns: drawing.columns[quantity] }, figures.displays);
  const choice = /** @type {HTMLSelectElement} */ (find("#quantity"));
  const picture = () => of(choice.value);
  const view = new View(figures, picture(), { module: null, step: null }, () => {});
  const worst = { activations: of(OF.activations), gradients: of(OF.gradients) };
  const first = drawing.steps.length ? moment(drawing, worst, 0) : null;
  const depth = new Depth(figures, view, () => ({ now: moment(drawing, worst, view.picture.place(view.at.step)), first, dtype: drawing.dtype }));
  view.beside = () => depth.show();

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
  saving(find("#depth .saves"), depth.plots, document.title);
  show();
}

document.documentElement.classList.add("js");
if (document.querySelector("#chart-loss")) open();
