/** Numbers as a person reads them; the same text as app/figures/text.py writes, but for an exact tie, which is rounded up here. */

const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** A whole number in superscript. @param {number} exponent */
export const raised = (exponent) => (exponent < 0 ? "⁻" : "") + [...String(Math.abs(exponent))].map((d) => SUPERSCRIPT[Number(d)]).join("");

/** Text as Plotly is to show it: it takes tags and character references of its own. @param {string} text */
export const literal = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/** The same the other way, for what is written as text. @param {string} text */
export const asWritten = (text) => text.replaceAll("&lt;", "<").replaceAll("&amp;", "&");

/** Three significant digits: 0.831, 12.5, 3.20×10¹²; "-" for a missing one.
 * @param {number|null|undefined} value */
export function number(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 0.001 && size < 100_000) {
    const digits = Math.min(5, Math.max(0, 2 - Math.floor(Math.log10(size))));
    return value.toFixed(digits).replace("-", "−");
  }
  const [mantissa, exponent] = value.toExponential(2).split("e");
  return `${mantissa.replace("-", "−")}×10${raised(Number(exponent))}`;
}
