/** The URL: the experiment in its query (the API's own names), what only this page knows in its fragment. */

/** What differs from the defaults, in the form's order: the canonical query.
 * @param {HTMLFormElement} form @param {Record<string, any>} [change] values in place of the form's */
export function queryOf(form, change = {}) {
  const query = new URLSearchParams();
  for (const field of fields(form)) {
    const value = String(change[field.name] ?? (field.type === "checkbox" ? field.checked : field.value.trim()));
    if (!same(value, field.dataset.default ?? "")) query.append(field.name, value);
  }
  return query;
}

/** Sets every control from a query; what it does not name gets its default.
 * @param {HTMLFormElement} form @param {URLSearchParams} query */
export function fill(form, query) {
  for (const field of fields(form)) {
    const value = query.get(field.name) ?? field.dataset.default ?? "";
    if (field.type === "checkbox") field.checked = ["true", "on", "1"].includes(value);
    else field.value = value;
  }
}

/** @param {HTMLFormElement} form @returns {HTMLInputElement[]} */
const fields = (form) => /** @type {any} */ ([...form.elements].filter((element) => /** @type {any} */ (element).name));

/** @param {string} a @param {string} b */
const same = (a, b) => a === b || (a !== "" && b !== "" && Number(a) === Number(b));

/** A query with its numbers written one way: of one experiment the server writes 2.0, and a box has 2. Whole numbers stay, which may
 * be longer than a number is exact. @param {URLSearchParams} query */
export function plain(query) {
  const number = (/** @type {string} */ text) => (text === "" || /^\d+$/.test(text) || Number.isNaN(Number(text)) ? text : String(Number(text)));
  return new URLSearchParams([...query].map(([name, value]) => [name, number(value)]));
}

/** The fragment's values: layer, side, tensor, pin, present. @returns {URLSearchParams} */
export const fragment = () => new URLSearchParams(location.hash.slice(1));

/** The address of this page with a query and a fragment. @param {URLSearchParams} query @param {URLSearchParams} more */
export function address(query, more) {
  const [q, f] = [query.toString(), more.toString()];
  return `${location.pathname}${q && `?${q}`}${f && `#${f}`}`;
}

const REST_MS = 250; // longer than an experiment takes

/** Lets the address follow: one entry in the history per gesture, so that "back" returns to the setting before a drag and
 * not into the middle of it. Written once the hand rests: it takes the browser 4 to 16 milliseconds, and it looks at the
 * page's icon anew each time. */
export class History {
  constructor() {
    this.moving = false;
    this.pushed = false;
    this.timer = 0;
    this.wanted = "";
  }

  /** While a gesture lasts. @param {string} url */
  follow(url) {
    if (!this.moving) {
      this.write();
      this.pushed = false;
    }
    this.moving = true;
    this.wanted = url;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.write(), REST_MS);
  }

  /** The gesture has ended. */
  settle() {
    this.moving = false;
  }

  /** What is looked at, not what is run: no entry of its own. @param {string} url */
  note(url) {
    this.write();
    if (url !== here()) history.replaceState(null, "", url);
  }

  /** Forgets a gesture: the address was changed from outside. */
  forget() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.moving = false;
    this.wanted = "";
  }

  write() {
    clearTimeout(this.timer);
    this.timer = 0;
    if (!this.wanted) return;
    if (this.wanted !== here()) history[this.pushed ? "replaceState" : "pushState"](null, "", this.wanted);
    this.pushed = true;
    this.wanted = "";
  }
}

const here = () => location.pathname + location.search + location.hash;
