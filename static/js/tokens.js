/** The design tokens of css/tokens.css, for what CSS can't reach: charts and canvases. */

/** @type {Map<string, string>} */
const known = new Map();
document.addEventListener("look", () => known.clear(), { capture: true });

/** The value of a custom property, for example `token("--forward")`. @param {string} name */
export function token(name) {
  let value = known.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    known.set(name, value);
  }
  return value;
}

/** Pixels of one rem. */
export const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

/** A copy of `value` with every "var(--name)" replaced by the token's value, and every {"rem": n} and token in rem by pixels.
 * @param {any} value @returns {any} */
export function resolve(value) {
  if (typeof value === "string") {
    if (!value.startsWith("var(--")) return value;
    const told = token(value.slice(4, -1));
    return told.endsWith("rem") ? parseFloat(told) * rem() : told;
  }
  if (Array.isArray(value)) return value.map(resolve);
  if (value && typeof value === "object") {
    if (Object.keys(value).length === 1 && "rem" in value) return value.rem * rem();
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolve(inner)]));
  }
  return value;
}

/** Red, green, blue (0 to 255) of a token that is written as #rrggbb. @param {string} name */
export function rgb(name) {
  const hex = token(name);
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}
