/** How a tensor's magnitude is shown in one cell; the same rules as app/figures/strip.py. */
import { number } from "../format.js";

/** Half decades from 10⁻⁸ (0) over 1 (16) to 10⁸ (32). @param {number} value */
export const step = (value) => Math.min(32, Math.max(0, Math.floor(2 * Math.log10(value) + 16.5)));

/** The figure that the colour stands for: the std, or the rms where all entries are alike.
 * @param {import("./profile.js").Statistics} s */
export const magnitude = (s) => s.std || s.rms;

/** CSS classes of a cell. @param {import("./profile.js").Statistics|null|undefined} s @returns {string} */
export function css(s) {
  if (!s) return "s-none";
  if (s.nan) return "s-nan";
  if (s.posinf + s.neginf) return "s-inf";
  const value = magnitude(s);
  if (!value) return "s-zero";
  // Most of what is not zero lies below the smallest normal number: it is about to be lost.
  const tiny = 2 * s.subnormal > s.count - s.zeros ? " s-tiny" : "";
  return `q${step(value)}${tiny}`;
}

/** The same in words. @param {import("./profile.js").Statistics|null|undefined} s */
export function words(s) {
  if (!s) return "not computed yet";
  const lost = [];
  if (s.nan) lost.push(s.nan === s.count ? "all NaN" : `${s.nan} NaN`);
  const infinite = s.posinf + s.neginf;
  if (infinite) lost.push(infinite === s.count ? "all Inf" : `${infinite} Inf`);
  if (!s.finite) return lost.join(", ");
  const main = s.zeros === s.count ? "all zero" : `std ${number(s.std)}, mean ${number(s.mean)}`;
  return [main, ...lost].join(", ");
}
