/** The experiment goes along: links to pages that look at one lead to the one that was looked at last, in this tab. */

const KEY = "layerscope.experiment";
/** Whether this page looks at an experiment, which then stands in its address. */
const own = document.getElementById("experiment") !== null;

/** Query and fragment of the experiment that was looked at last. @returns {string[]} */
function carried() {
  if (own) return [location.search, location.hash];
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
  } catch {
    return []; // nothing is kept here
  }
}

addEventListener("pagehide", () => {
  if (!own) return;
  try {
    sessionStorage.setItem(KEY, JSON.stringify(carried()));
  } catch {
    // Then the next page starts with the defaults.
  }
});

/** Before a link is followed, in whatever way: it is hovered, focused or touched. @param {Event} event */
function lead(event) {
  const link = /** @type {HTMLAnchorElement|null} */ (/** @type {Element} */ (event.target).closest?.("a[data-of-experiment]"));
  const [query, fragment] = carried();
  if (!link || query === undefined) return;
  link.search = query;
  link.hash = fragment ?? "";
}
for (const name of ["pointerover", "pointerdown", "focusin", "click"]) document.addEventListener(name, lead, { capture: true });
