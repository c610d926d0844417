/** A curve the size of a word; the same as app/figures/sketch.py draws. */

const [WIDTH, HEIGHT, DECADES, POINTS] = [44, 18, 10, 24];
const SVG = "http://www.w3.org/2000/svg";

/** log₁₀ of each value, 1 at half the height; a missing one leaves a gap, a zero lies on the floor.
 * @param {(number|null)[]} values @returns {{path: string, fault: number|null}} fault: the first x at which nothing is finite */
export function line(values) {
  const last = Math.max(1, values.length - 1);
  const shown = new Set(Array.from({ length: POINTS }, (_, i) => Math.round((i * (values.length - 1)) / (POINTS - 1))));
  let path = "";
  let pen = "M";
  let fault = null;
  for (const i of [...shown].sort((a, b) => a - b)) {
    const x = 1 + (i * (WIDTH - 6)) / last;
    const value = values[i] ?? null;
    if (value === null) {
      fault ??= Number(x.toFixed(1));
      pen = "M";
      continue;
    }
    const height = value ? Math.log10(value) / DECADES : -1;
    const y = HEIGHT / 2 - Math.min(1, Math.max(-1, height)) * (HEIGHT / 2 - 2);
    path += `${pen}${short(x)} ${short(y)}`;
    pen = "L";
  }
  return { path, fault };
}

const short = (/** @type {number} */ value) => String(Number(value.toPrecision(3)));

/** Activations and gradients in one picture. @param {{activation_rms: (number|null)[], gradient_rms: (number|null)[]}} curves */
export function sketch({ activation_rms: forward, gradient_rms: backward }) {
  const svg = element("svg", { class: "sketch", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" });
  const [there, back] = [line(forward), line(backward)];
  const fault = there.fault ?? back.fault;
  svg.append(element("path", { d: there.path }), element("path", { class: "back", d: back.path }));
  if (fault !== null) svg.append(element("rect", { class: "fault", x: fault, y: 6, width: 4, height: 6 }));
  return svg;
}

/** @param {string} name @param {Record<string, string|number>} attributes */
function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}
