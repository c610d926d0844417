/** Pages under /why: the form's sliders and messages, the address and every link that carries the experiment. */
import { find, json } from "../dom.js";
import { queryOf } from "../lab/address.js";
import { Controls } from "../lab/controls.js";
import { Queue } from "../queue.js";

const form = /** @type {HTMLFormElement} */ (find("#experiment"));
export const controls = new Controls(form);

/** Its requests. */
export const queue = new Queue(form);

/** The experiment as the form has it now, in its shortest form. */
export const query = () => queryOf(form).toString();

/** @param {string} path */
const linked = (path) => (query() ? `${path}?${query()}` : path);

function follow() {
  history.replaceState(null, "", linked(location.pathname));
  // The Lab, the JSON and the other pages of the section look at the same experiment.
  for (const each of document.querySelectorAll("[data-lab], [data-twin], .subnav [data-of-experiment]")) {
    const link = /** @type {HTMLAnchorElement} */ (each);
    link.setAttribute("href", linked(link.pathname));
  }
}

document.addEventListener("htmx:after:swap", () => {
  if (!queue.waiting) controls.refuse(json("errors") ?? []);
  follow();
});
form.addEventListener("input", follow);
follow();
