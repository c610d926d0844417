/** Runs on the same axes: what the server tells of them, drawn; a click chooses a step; the form changes what is shown. */
import { find, json, oncePerFrame } from "../dom.js";
import { Plot, plotly } from "../plot.js";
import { saving } from "../saving.js";
import { charts } from "./lines.js";

const form = /** @type {HTMLFormElement} */ (find("#choice"));
const figures = json("figures");
const loss = new Plot(find("#compared-loss"), figures.loss);
const quantity = new Plot(find("#compared-quantity"), figures.quantity);
const step = /** @type {HTMLInputElement|null} */ (form.elements.namedItem("step"));

const draw = oncePerFrame(() => {
  find("#quantity-title").textContent = find("#compared").dataset.title;
  const cursor = step?.value.trim() ? Number(step.value) : null;
  const both = charts(json("drawing"), cursor);
  for (const [plot, { traces, layout }] of /** @type {[Plot, any][]} */ ([[loss, both.loss], [quantity, both.quantity]])) {
    plot.show(traces, layout);
    plot.draw();
  } // prettier-ignore
});

/** The form's query, without what is empty. */
function query() {
  const found = new URLSearchParams(/** @type {any} */ (new FormData(form)));
  for (const [name, value] of [...found]) if (value === "" && name !== "module") found.delete(name);
  return found;
}

form.addEventListener("change", (event) => {
  // Which runs: only once all are chosen, by the form's own button.
  if (/** @type {HTMLInputElement} */ (event.target).name === "run") return;
  window.htmx.trigger(form, "look");
});
form.addEventListener("htmx:config:request", (event) => {
  const { body } = /** @type {CustomEvent} */ (event).detail.ctx.request;
  for (const name of ["from", "to", "step"]) if (!body.get(name)) body.delete(name);
});
form.addEventListener("htmx:response:error", (event) => {
  const { ctx } = /** @type {CustomEvent} */ (event).detail;
  const told = new DOMParser().parseFromString(ctx.text, "text/html").querySelector("main p");
  find("#compare-problem").textContent = told?.textContent ?? `The server answered ${ctx.response.status}.`;
});
document.addEventListener("htmx:after:swap", () => {
  find("#compare-problem").textContent = "";
  draw();
  history.replaceState(null, "", `${location.pathname}?${query()}`);
});

for (const plot of [loss, quantity])
  plot.onClick = (at) => {
    if (!step) return;
    step.value = String(Math.round(Number(at)));
    step.dispatchEvent(new Event("change", { bubbles: true }));
  };

saving(find("#saves"), { loss, quantity }, "compared");
plotly.then(draw);
