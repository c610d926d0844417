/** What every page's frame does: theme, presentation, dialogs, copying, keys. */
import "./carry.js";
import { copy, find } from "./dom.js";
import { onKey } from "./keys.js";

const root = document.documentElement;

/** Whether the page is dark now, by choice or by the system's preference. */
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);

/** Tells everything that draws (event "look" on document) that colours or sizes have changed. */
const announce = () => document.dispatchEvent(new CustomEvent("look"));

function toggleTheme() {
  root.dataset.theme = isDark() ? "light" : "dark";
  try {
    localStorage.setItem("layerscope.theme", root.dataset.theme);
  } catch {
    // Not kept then; it still applies to this page.
  }
  announce();
}

/** Large type for a projector. @param {boolean} on */
export function present(on) {
  root.toggleAttribute("data-present", on);
  for (const button of document.querySelectorAll("button[data-present]")) button.setAttribute("aria-pressed", String(on));
  announce();
  document.dispatchEvent(new CustomEvent("present", { detail: { on } }));
}

document.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest("button");
  if (!button) return;
  if (button.dataset.dialog) /** @type {any} */ (find(`#${button.dataset.dialog}`)).showModal();
  if (button.dataset.copy) copy(find(button.dataset.copy).textContent, "Text");
  if (button.hasAttribute("data-theme-toggle")) toggleTheme();
  if (button.hasAttribute("data-present")) present(!root.hasAttribute("data-present"));
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", announce);
onKey("d", toggleTheme);
onKey("p", () => present(!root.hasAttribute("data-present")));
onKey("Escape", () => root.hasAttribute("data-present") && present(false));
onKey("?", () => /** @type {HTMLDialogElement|null} */ (document.querySelector("#shortcuts"))?.showModal());
