/** A run in a file of its own: the same picture as on its page, from the numbers in the file. app/bundling.py makes it one script. */
import { find, json, oncePerFrame } from "../dom.js";
import { Plot } from "../plot.js";
import { saving } from "../saving.js";
import { Picture } from "./picture.js";

const MOVES = new Map([["ArrowLeft", [0, -1]], ["ArrowRight", [0, 1]], ["ArrowUp", [-1, 0]], ["ArrowDown", [1, 0]]]); // prettier-ignore

const figures = json("figures");
const drawing = json("drawing");
const choice = /** @type {HTMLSelectElement} */ (find("#quantity"));
/** @type {{module: string|null, step: number|null}} */
const at = { module: null, step: null };

function open() {
  const loss = new Plot(find("#chart-loss"), figures.loss);
  const map = new Plot(find("#chart-map"), figures.map);
  /** @type {Picture} */
  let picture;

  const draw = oncePerFrame(() => {
    const rows = Math.min(48, Math.max(8, picture.modules.length)) * 0.9 + 2;
    find("#chart-map").style.setProperty("--map", `${rows}rem`);
    const cursor = picture.cursor(at.module, at.step);
    for (const [plot, { traces, layout }] of /** @type {[Plot, any][]} */ ([[loss, picture.lossChart(cursor)], [map, picture.map(cursor)]])) {
      plot.show(traces, layout);
      plot.draw();
    } // prettier-ignore
    find("#run-readout").textContent = picture.readout(at.module, at.step) || "\u00a0";
  });

  function show() {
    picture = new Picture({ ...drawing, quantity: choice.value, columns: drawing.quantities[choice.value] }, figures.displays);
    find("#display-note").textContent = choice.selectedOptions[0].dataset.note ?? "";
    for (const key of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-key]"))) key.hidden = key.dataset.key !== choice.value;
    draw();
  }

  /** @param {string|null} module @param {number|null} step */
  function choose(module, step) {
    Object.assign(at, { module, step });
    draw();
  }

  loss.onClick = (step) => choose(at.module ?? picture.modules[0] ?? null, Number(step));
  map.onClick = (step, label) => choose(picture.labelled(label), Number(step));
  find("#picture").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const move = MOVES.get(event.key);
    if (!move || /** @type {Element} */ (event.target).closest("select") || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const next = picture.beside(at.module, at.step, move[0], move[1]);
    if (next) choose(next.module, next.step);
  });
  choice.addEventListener("change", show);
  saving(find(".saves"), { loss, picture: map }, document.title);
  show();
}

document.documentElement.classList.add("js");
if (document.querySelector("#chart-loss")) open();
