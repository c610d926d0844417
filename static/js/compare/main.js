/** Runs on the same axes: what the server tells of them, drawn; a click chooses a step; the form changes what is shown. */
import { find, json, oncePerFrame } from "../dom.js";
import { refuse, typed } from "../forms.js";
import { Plot, plotly } from "../plot.js";
import { saving } from "../saving.js";
import { problemOf } from "../stream.js";
import { charts } from "./lines.js";

const form = /** @type {HTMLFormElement} */ (find("#choice"));
const figures = json("figures");
const loss = new Plot(find("#compared-loss"), figures.loss);
const quantity = new Plot(find("#compared-quantity"), figures.quantity);
const step = /** @type {HTMLInputElement|null} */ (form.elements.namedItem("step"));

/** What the server last told, beside the drawing. @returns {DOMStringMap} */
const shown = () => find("#as-shown").dataset;

const draw = oncePerFrame(() => {
  const at = shown().step;
  const both = charts(json("drawing"), at === undefined ? null : Number(at));
  for (const [plot, { traces, layout }] of /** @type {[Plot, any][]} */ ([[loss, both.loss], [quantity, both.quantity]])) {
    plot.show(traces, layout);
    plot.draw();
  } // prettier-ignore
});

/** What is shown as a query, without what is empty. Runs that were ticked since are not shown before the form's own button
 * has sent them: `defaultChecked` is what the page came with. */
function query() {
  const found = typed(form);
  for (const [name, value] of [...found]) if (value === "" && name !== "module") found.delete(name);
  found.delete("run");
  for (const box of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("input[name=run]")))
    if (box.defaultChecked) found.append("run", box.value);
  return found;
}

form.addEventListener("change", (event) => {
  if (/** @type {HTMLInputElement} */ (event.target).name !== "run") window.htmx.trigger(form, "look");
});
form.addEventListener("htmx:config:request", (event) => {
  const { body } = /** @type {CustomEvent} */ (event).detail.ctx.request;
  for (const name of [...body.keys()]) body.delete(name);
  for (const [name, value] of query()) body.append(name, value);
});
const page = find("#compare");
page.addEventListener("htmx:response:error", (/** @type {CustomEvent} */ { detail }) => {
  const problem = problemOf(detail.ctx);
  refuse(form, problem.errors ?? [{ field: "", message: problem.detail }], true);
});
page.addEventListener("htmx:error", (/** @type {CustomEvent} */ { detail }) => {
  if (detail.error?.name !== "AbortError") refuse(form, [{ field: "", message: "The server can't be reached." }]);
});
page.addEventListener("htmx:after:swap", (/** @type {CustomEvent} */ { detail }) => {
  if (detail.ctx.swap === "none") return;
  const { heading, twin, ofTheRun } = shown();
  find("#quantity-title").textContent = heading;
  find("#twin").href = twin;
  const of = document.querySelector("#of");
  if (of) /** @type {HTMLElement} */ (of).hidden = ofTheRun !== undefined;
  draw();
  // What comes by itself says nothing of what is typed meanwhile.
  if (detail.ctx.sourceElement !== form) return;
  refuse(form, []);
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
