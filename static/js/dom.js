/** Small helpers over the DOM; the only ones that every page shares. */

/** The first element of `selector` in `root`, or an error that names it.
 * @param {string} selector @param {ParentNode} [root] @returns {any} */
export function find(selector, root = document) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`no element ${selector}`);
  return found;
}

/** The data of `<script type="application/json" id="…">`, or null where the page has none.
 * @param {string} id */
export function json(id) {
  const element = document.getElementById(id);
  return element ? JSON.parse(element.textContent) : null;
}

/** A new element: `make("button", {class: "small", type: "button"}, "Swap", child)`.
 * @param {string} tag @param {Record<string, any>} [attributes] @param {...(Node|string)} children
 * @returns {any} */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Calls `work` at the next animation frame, once, however often it was asked to before that.
 * @param {() => void} work @returns {() => void} */
export function oncePerFrame(work) {
  let asked = 0;
  return () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      work();
    });
  };
}

/** Calls `work` once this task has ended, or at the next animation frame if that comes first: what it changes is in the
 * next frame, together with what the task changed. Of a page that is hidden there is no frame to be in time for.
 * @param {() => void} work @returns {() => void} */
export function beforeNextFrame(work) {
  let asked = 0;
  const { port1: soon, port2: post } = new MessageChannel();
  const go = () => {
    if (!asked) return;
    cancelAnimationFrame(asked);
    asked = 0;
    work();
  };
  soon.onmessage = go;
  return () => {
    if (asked) return;
    asked = requestAnimationFrame(go);
    if (!document.hidden) post.postMessage(null);
  };
}

/** Calls `work` once at a time: of the calls that come while it runs, however many, one is made up for after it.
 * @param {() => Promise<void>} work @returns {() => Promise<void>} */
export function oneAtATime(work) {
  let [running, again] = [false, false];
  return async () => {
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      do {
        again = false;
        await work();
      } while (again);
    } finally {
      running = false;
    }
  };
}

/** Says something briefly, aloud for screen readers. @param {string} text */
export function toast(text) {
  const element = find("#toast");
  element.textContent = text;
  element.classList.add("on");
  clearTimeout(Number(element.dataset.timer));
  element.dataset.timer = String(setTimeout(() => element.classList.remove("on"), 2500));
}

/** Copies `text`, and says so. @param {string} text @param {string} what */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    // Clipboards need a secure context: over plain http from another machine there is none.
    window.prompt(`Copy ${what.toLowerCase()}:`, text);
  }
}
