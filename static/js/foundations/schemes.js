/** Init schemes: every panel is replaced as its event comes; the others stand back until then. */
import { find } from "../dom.js";
import { note, refuse } from "../forms.js";
import { listen } from "../stream.js";

const form = /** @type {HTMLFormElement} */ (find("#step-form"));
const list = () => document.querySelector("#schemes");
const said = () => document.querySelector("#holding");
// The page's last words are known only when its panels were computed: they stand at its end, and are shown above.
const last = document.querySelector("#holding-static")?.textContent;
if (last) find("#holding").textContent = last;

listen(form, {
  began() {
    refuse(form, []);
    note(form);
    // A page that was refused has no panels: now that the form is right, it is loaded anew.
    if (!list()) location.reload();
    list()?.setAttribute("aria-busy", "true");
    for (const panel of document.querySelectorAll(".scheme.fresh")) panel.classList.remove("fresh");
  },
  on: {
    scheme(html) {
      const template = document.createElement("template");
      template.innerHTML = html; // our own server's template, which escapes
      const panel = /** @type {Element} */ (template.content.firstElementChild);
      panel.classList.add("fresh");
      document.getElementById(panel.id)?.replaceWith(panel);
    },
    holding(text) {
      const place = said();
      if (place) place.textContent = text;
    },
  },
  refused(problem) {
    list()?.removeAttribute("aria-busy");
    refuse(form, problem.errors ?? [{ field: "", message: problem.detail }]);
  },
  ended(finished) {
    if (finished) list()?.removeAttribute("aria-busy");
  },
});
