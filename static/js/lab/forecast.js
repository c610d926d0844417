/** Theory's forecast for each number format, in words. */

/** @typedef {{dtype: string, direction: string, event: "overflow"|"subnormal"|"zero", block: number, extrapolated: boolean}} Event */

/** "float16 overflows at layer 5; float32 and bfloat16 hold": what happens inside the network first, then what holds, and
 * until which depth where that is known.
 * @param {Event[]} forecast @param {string[]} formats that were judged @param {"forward"|"backward"} direction */
export function forecastWords(forecast, formats, direction) {
  /** @type {Map<string, string[]>} */
  const said = new Map();
  for (const format of formats) {
    const words = ofFormat(
      forecast.filter((e) => e.dtype === format && e.direction === direction),
      direction,
    );
    said.set(words, [...(said.get(words) ?? []), format]);
  }
  return [...said]
    .sort(([a], [b]) => Number(a.startsWith("hold")) - Number(b.startsWith("hold")))
    .map(([words, names]) => `${names.join(", ")} ${conjugated(words, names.length)}`)
    .join("; ");
}

/** @param {Event[]} events of one format @param {"forward"|"backward"} direction */
function ofFormat(events, direction) {
  const back = direction === "backward" ? " back" : "";
  const inside = events.filter((e) => !e.extrapolated);
  const at = (/** @type {string} */ kind) => inside.find((e) => e.event === kind)?.block;
  const [overflow, subnormal, zero] = [at("overflow"), at("subnormal"), at("zero")];
  if (overflow) return `overflow at layer ${overflow}`;
  if (zero && (!subnormal || subnormal === zero)) return `vanish at layer ${zero}`;
  if (zero) return `turn subnormal at layer ${subnormal}, vanish at ${zero}`;
  if (subnormal) return `turn subnormal from layer ${subnormal}${back}`;
  const later = events.filter((e) => e.event !== "subnormal").sort((a, b) => a.block - b.block)[0];
  return later && direction === "forward" ? `hold, to ${later.event === "zero" ? "vanish" : "overflow"} at depth ${later.block}` : "hold";
}

/** "float16 overflows", "float16, bfloat16 overflow". @param {string} words @param {number} subjects */
function conjugated(words, subjects) {
  if (subjects > 1) return words;
  return words.replace(/^\w+/, (verb) => (verb === "vanish" ? "vanishes" : `${verb}s`)).replace(/, vanish /, ", vanishes ");
}
