/** What every form of a page does: messages beside controls, sliders' tracks, its state as a query. */

/** Puts each message beside its control, the others below the form. @param {HTMLFormElement} form
 * @param {{field: string, message: string}[]} errors @param {boolean} [named] whether those below tell their field */
export function refuse(form, errors, named = false) {
  const messages = new Map(errors.map(({ field, message }) => [field, message]));
  for (const control of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-control]"))) {
    const name = control.dataset.control ?? "";
    const message = messages.get(name) ?? "";
    messages.delete(name);
    const place = control.querySelector(".error");
    if (place && place.textContent !== message) place.textContent = message;
    control.toggleAttribute("data-invalid", message !== "");
    if (message) control.closest("details")?.setAttribute("open", "");
    const box = /** @type {Element|null} */ (form.elements.namedItem(name));
    if (message) box?.setAttribute?.("aria-invalid", "true");
    else box?.removeAttribute?.("aria-invalid");
  }
  const general = form.querySelector(".general");
  if (general) general.textContent = [...messages].map(([field, message]) => (named && field ? `${field}: ${message}` : message)).join("; ");
}

/** The filled part of a slider's track, and what it is said to stand at: the text of its box. @param {HTMLInputElement} slider */
export function fillTrack(slider) {
  const share = (Number(slider.value) - Number(slider.min)) / (Number(slider.max) - Number(slider.min));
  const fill = `${(100 * share).toFixed(1)}%`;
  if (slider.style.getPropertyValue("--fill") !== fill) slider.style.setProperty("--fill", fill);
  const box = /** @type {HTMLInputElement|null} */ (document.getElementById(slider.dataset.for ?? ""));
  slider.setAttribute("aria-valuetext", box?.value ?? slider.value);
}

/** Everything that was typed. @param {HTMLFormElement} form */
export const typed = (form) => new URLSearchParams(/** @type {any} */ (new FormData(form)));

/** Lets the address and the link to the JSON twin follow the form. @param {HTMLFormElement} form */
export function note(form) {
  const query = typed(form);
  history.replaceState(null, "", `${location.pathname}?${query}`);
  const twin = /** @type {HTMLAnchorElement|null} */ (document.querySelector("[data-twin]"));
  if (twin) twin.search = `?${query}`;
}
