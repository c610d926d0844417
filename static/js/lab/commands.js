/** What is done at once: preset links, the header's buttons, single keys. */
import { copy, find } from "../dom.js";
import { onKey } from "../keys.js";

/** Lets links to experiments change the controls in place of loading a page; marks the preset that is shown.
 * @param {() => string} query the current experiment's @param {(query: URLSearchParams) => void} open
 * @returns {() => void} marks anew */
export function presets(query, open) {
  onLink(".presets a, .foot a, [data-open]", (link) => open(queryIn(link)));
  return () => {
    const current = query();
    const shown = canonical(current);
    for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll(".presets a, [data-open]"))) {
      if (canonical(new URL(link.href).search) === shown) {
        link.setAttribute("aria-current", "true");
        if (link.closest("ol")) reveal(link);
      } else link.removeAttribute("aria-current");
    }
  };
}

/** Scrolls a row of presets, where they are one, to the chosen one. @param {HTMLElement} link */
function reveal(link) {
  const row = /** @type {HTMLElement} */ (link.closest(".presets"));
  if (row.scrollWidth > row.clientWidth) row.scrollLeft = link.offsetLeft - (row.clientWidth - link.offsetWidth) / 2;
}

/** Lets the verdict's links act in place: a fix is tried, a layer is chosen and the chart that shows it is pointed at.
 * @param {(query: URLSearchParams) => void} tryFix @param {(block: number, chart: string) => void} show */
export function verdictLinks(tryFix, show) {
  onLink("#verdict [data-fix]", (link) => tryFix(queryIn(link)));
  onLink("#verdict [data-layer]", (link) => show(Number(link.dataset.layer), link.dataset.shows ?? ""));
}

/** Lets links act in place, unless a click asks for another tab or window.
 * @param {string} selector @param {(link: HTMLAnchorElement) => void} act */
function onLink(selector, act) {
  document.addEventListener("click", (event) => {
    const link = /** @type {HTMLAnchorElement|null} */ (/** @type {Element} */ (event.target).closest(selector));
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    act(link);
  });
}

/** @param {HTMLAnchorElement} link */
const queryIn = (link) => new URLSearchParams(new URL(link.href).search);

/** The same text for queries that mean the same. @param {string} search */
const canonical = (search) =>
  [...new URLSearchParams(search)]
    .map(([name, value]) => `${name}=${Number(value) || value}`)
    .sort()
    .join("&");

/** Wires buttons with data-action, and keys.
 * @param {{query: () => string, here: () => string, pin: () => void, unpin: () => void, swap: () => void, step: (by: number) => void, seed: () => void, side: () => void,
 *   walk: import("./walk.js").Walk}} lab */
export function commands(lab) {
  const suffix = () => lab.query() && `?${lab.query()}`;
  const link = () => copy(location.origin + lab.here(), "Link");
  /** What each button does with its own address. @type {Record<string, (href: string|undefined) => void>} */
  const actions = {
    pin: lab.pin,
    unpin: lab.unpin,
    swap: lab.swap,
    link,
    play: () => lab.walk.play(),
    walk: () => lab.walk.toggle(),
    call: (href) => copy(`curl '${location.origin}${href}${suffix()}'`, "Call"),
    script: (href) => showScript(`${href}${suffix()}`),
  };
  document.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-action]"));
    if (button) actions[button.dataset.action ?? ""](button.dataset.href);
  });
  onKey("w", () => lab.walk.toggle());
  onKey("[", () => lab.step(-1));
  onKey("]", () => lab.step(1));
  onKey("s", () => find("[data-for=c-init_scale]").focus());
  onKey("k", lab.pin);
  onKey("x", lab.swap);
  onKey("r", lab.seed);
  onKey("b", lab.side);
  onKey("c", link);
}

/** @param {string} url */
async function showScript(url) {
  const response = await fetch(url);
  find("#script pre").textContent = response.ok ? await response.text() : (await response.json()).detail;
  find("#script-download").href = url;
  find("#script").showModal();
}
