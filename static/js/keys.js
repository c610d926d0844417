/** Single-key shortcuts, out of the way while somebody types or a dialog is open. */

/** @type {Map<string, (event: KeyboardEvent) => void>} */
const actions = new Map();

/** Calls `action` on `key` (as in KeyboardEvent.key). @param {string} key @param {(event: KeyboardEvent) => void} action */
export function onKey(key, action) {
  actions.set(key, action);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  // There keys mean text, or a choice.
  const typing = /** @type {HTMLElement} */ (event.target).closest?.("select, textarea, input[type=text], [contenteditable]") !== null;
  if (typing || document.querySelector("dialog[open]")) return;
  const action = actions.get(event.key);
  if (!action) return;
  event.preventDefault();
  action(event);
});
