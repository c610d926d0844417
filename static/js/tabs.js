/** One choice out of several pressed buttons (the macro `tabs`). */

/** Wires every group named `name`; calls `chosen(value)` after a click. All groups of a name move together.
 * @param {string} name @param {(value: string) => void} chosen
 * @returns {(value: string) => void} sets the choice without calling `chosen` */
export function tabs(name, chosen) {
  const groups = [...document.querySelectorAll(`[data-tabs="${name}"]`)];
  const show = (/** @type {string} */ value) => {
    for (const button of groups.flatMap((group) => [...group.querySelectorAll("button")])) button.setAttribute("aria-pressed", String(button.value === value));
  };
  for (const group of groups)
    group.addEventListener("click", (event) => {
      const button = /** @type {Element} */ (event.target).closest("button");
      if (!button) return;
      show(button.value);
      chosen(button.value);
    });
  return show;
}
