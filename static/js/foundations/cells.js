/** Cells of a result light up the cells that made them; arrow keys walk through a result. */

/** @param {EventTarget|null} target */
const linkOf = (target) => /** @type {HTMLElement|null} */ (/** @type {Element} */ (target)?.closest?.("a[data-with]") ?? null);
const spelled = () => document.getElementById("spelled");
/** What the server wrote: the chosen cell. */
let written = spelled()?.textContent ?? "";

/** @param {HTMLElement|null} link */
function light(link) {
  for (const cell of document.querySelectorAll(".hot")) cell.classList.remove("hot");
  const output = spelled();
  if (output) output.textContent = link?.dataset.text ?? written;
  if (!link) return;
  for (const name of (link.dataset.with ?? "").split(" ")) document.querySelector(`[data-cell="${CSS.escape(name)}"]`)?.classList.add("hot");
}

/** One stop for the Tab key in each table: the chosen cell, or its first. */
function oneStop() {
  for (const table of document.querySelectorAll("table.cells")) {
    const links = /** @type {HTMLElement[]} */ ([...table.querySelectorAll("a[data-with]")]);
    const chosen = links.find((link) => link === document.activeElement) ?? links.find((link) => link.hasAttribute("aria-current")) ?? links[0];
    for (const link of links) link.tabIndex = link === chosen ? 0 : -1;
  }
}

/** The neighbour of a cell. @param {HTMLElement} link @param {string} key */
function neighbour(link, key) {
  const cell = /** @type {HTMLTableCellElement} */ (link.closest("td"));
  const row = /** @type {HTMLTableRowElement} */ (cell.parentElement);
  const rows = /** @type {HTMLTableElement} */ (row.closest("table")).rows;
  const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[key] ?? [0, 0];
  if (!down && !right) return null;
  return /** @type {HTMLElement|null|undefined} */ (rows[row.rowIndex + down]?.cells[cell.cellIndex + right]?.querySelector("a"));
}

document.addEventListener("pointerover", (event) => {
  if (linkOf(event.target)) light(linkOf(event.target));
});
document.addEventListener("pointerout", (event) => {
  if (linkOf(event.target)) light(linkOf(document.activeElement));
});
document.addEventListener("focusin", (event) => light(linkOf(event.target)));
document.addEventListener("keydown", (event) => {
  const link = linkOf(event.target);
  const next = link && neighbour(link, event.key);
  if (!next) return;
  event.preventDefault();
  link.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});
document.addEventListener("step:changed", () => {
  written = spelled()?.textContent ?? "";
  oneStop();
  light(linkOf(document.activeElement));
});
oneStop();
