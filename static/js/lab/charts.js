/** The Lab's four charts: from a profile to traces, in the order of the forms that app/figures/lab.py made. */
import { number, percent } from "../format.js";
import { Plot } from "../plot.js";
import { token } from "../tokens.js";
import { forecastWords } from "./forecast.js";
import { chosenLine, faults, logRange } from "./marks.js";

/** @typedef {import("./profile.js").Profile} Profile */
/** @typedef {{profile: Profile, pinned: Profile|null, side: "after"|"before", tensor: "activations"|"gradients"|"weights", chosen: number}} View */

const POINTED_MS = 1600;
const MOST_DOTS = 40;
const GONE = { visible: false, x: [], y: [] };
const curve = (/** @type {number[]} */ x, /** @type {(number|null)[]} */ y) => ({ x, y, visible: true });
/** With a dot a block where they are few: each dot costs as much time as a whole line.
 * @param {number[]} x @param {(number|null)[]} y */
const dotted = (x, y) => ({ ...curve(x, y), mode: y.filter((v) => v !== null).length > MOST_DOTS ? "lines" : "lines+markers" });
const positive = (/** @type {number|null|undefined} */ value) => (value ? Math.abs(value) : null);
const norm = (/** @type {import("./profile.js").Statistics|null|undefined} */ s) => (s?.rms ? s.rms * Math.sqrt(s.finite) : null);

export class Charts {
  /** @param {HTMLElement} root @param {any} forms @param {(block: number) => void} select */
  constructor(root, forms, select) {
    this.formats = forms.formats;
    this.scales = forms.scales;
    this.judged = forms.forecast;
    this.silentDrawn = "";
    /** @type {Record<string, Plot>} */
    this.plots = {};
    for (const figure of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-chart]"))) {
      const plot = new Plot(figure, forms.charts[figure.dataset.chart ?? ""]);
      plot.onClick = (x) => select(Math.round(x));
      this.plots[figure.dataset.chart ?? ""] = plot;
    }
  }

  /** @returns {string[]} */
  get names() {
    return Object.keys(this.plots);
  }

  /** Works out and draws the named charts, as far as they are visible, now. @param {View} view @param {Set<string>} names */
  draw(view, names) {
    const x = view.profile.blocks.map(({ block }) => block);
    const xaxis = { range: [0.5, x.length + 0.5], dtick: tick(x.length) };
    /** @type {Record<string, (view: View, x: number[]) => {traces: object[], layout: any, words: string|null}>} */
    const parts = { activations: this.activations, gradients: this.gradients, magnitudes: this.magnitudes, silent: this.silent };
    for (const [name, part] of Object.entries(parts)) {
      if (!names.has(name)) continue;
      const { traces, layout, words } = part.call(this, view, x);
      const drawn = { ...layout, shapes: [...(layout.shapes ?? []), ...chosenLine(view.chosen)], xaxis };
      // Often the same for every init scale: a comparison costs a hundredth of a draw.
      const written = name === "silent" ? JSON.stringify([traces, drawn]) : null;
      if (written && written === this.silentDrawn && !this.plots[name].stale) continue;
      if (written) this.silentDrawn = written;
      this.plots[name].say(words);
      this.plots[name].show(traces, drawn);
      this.plots[name].draw();
    }
  }

  /** @param {View} view @param {number[]} x */
  activations({ profile, pinned, side }, x) {
    const tensors = profile.each((layer) => layer.activation, side);
    const std = tensors.map((s) => positive(s?.std));
    const mean = tensors.map((s) => positive(s?.mean));
    const theory = predicted(profile, side, "activation", this.formats);
    const before = pinned?.each((layer) => positive(layer.activation?.std), side) ?? [];
    const marks = this.marks(profile, tensors, [std, mean, before, theory.std], false);
    return {
      traces: [ghost(pinned, before), band(x, theory), curve(x, theory.std), curve(x, mean), dotted(x, std)],
      ...marks,
      words: std.some((v) => v !== null) ? null : nothing(tensors, "activation"),
    };
  }

  /** @param {View} view @param {number[]} x */
  gradients({ profile, pinned, side }, x) {
    const tensors = profile.each((layer) => layer.gradient, side);
    const std = tensors.map((s) => positive(s?.std ?? s?.rms));
    const norms = profile.each((_, block) => norm(profile.layers[block.linear].parameters?.weight?.gradient), side);
    const theory = predicted(profile, side, "gradient", this.formats);
    const before = pinned?.each((layer) => positive(layer.gradient?.std ?? layer.gradient?.rms), side) ?? [];
    const marks = this.marks(profile, tensors, [std, norms, before, theory.std], true);
    return {
      traces: [ghost(pinned, before), band(x, theory), curve(x, theory.std), curve(x, norms), dotted(x, std)],
      ...marks,
      words: std.some((v) => v !== null) ? null : nothing(tensors, "gradient"),
    };
  }

  /** @param {Profile} profile @param {any[]} tensors @param {(number|null)[][]} values @param {boolean} backward */
  marks(profile, tensors, values, backward) {
    const fault = faults(tensors, backward);
    const format = this.formats[profile.experiment.dtype];
    const axis = logRange(values, format, tensors.some((s) => s && s.posinf + s.neginf + s.nan > 0) && !backward);
    return {
      layout: {
        yaxis: { range: axis.range, dtick: axis.dtick },
        shapes: [...axis.shapes, ...fault.shapes],
        annotations: [...axis.annotations, ...fault.annotations],
      },
    };
  }

  /** @param {View} view @param {number[]} x */
  magnitudes({ profile, side, tensor }, x) {
    const read = {
      activations: (/** @type {any} */ layer) => layer.activation,
      gradients: (/** @type {any} */ layer) => layer.gradient,
      weights: (/** @type {any} */ _, /** @type {any} */ block) => profile.layers[block.linear].parameters?.weight?.value,
    }[tensor];
    const tensors = profile.each(read, side);
    const { rows, z, top } = shares(tensors);
    const fault = faults(tensors, tensor === "gradients");
    return {
      traces: [{ x, y: rows, z, zmin: 0, zmax: top, colorscale: this.scales[tensor].map((/** @type {any} */ [at, name]) => [at, token(name)]) }],
      layout: { yaxis: { range: [rows[0] - 0.5, rows[rows.length - 1] + 0.5] }, ...fault },
      words: rows.length ? null : nothing(tensors, tensor.slice(0, -1)),
    };
  }

  /** @param {View} view @param {number[]} x */
  silent({ profile, pinned }, x) {
    const dead = silentShares(profile);
    const zeros = profile.each((layer) => (layer.activation?.count ? layer.activation.zeros / layer.activation.count : null), "after");
    const before = pinned ? silentShares(pinned) : [];
    return {
      traces: [ghost(pinned, before), curve(x, dead), curve(x, zeros)],
      layout: { ...faults(profile.each((layer) => layer.activation, "after")) },
      words: null,
    };
  }

  /** What the charts show, in a sentence each, for those who don't see them. @param {View} view */
  describe(view) {
    const { profile, side } = view;
    const last = profile.blocks.length;
    const range = (/** @type {(number|null)[]} */ values) => {
      const known = values.filter((v) => v !== null);
      return known.length
        ? `from ${number(Math.min(...known))} to ${number(Math.max(...known))}, ${number(values[0])} at layer 1, ${number(values[last - 1])} at layer ${last}`
        : "not finite in any layer";
    };
    const std = (/** @type {string} */ of) => range(profile.each((layer) => layer[of]?.std ?? null, side));
    const dead = silentShares(profile);
    const texts = {
      activations: `Standard deviation of the activations by layer: ${std("activation")}.`,
      gradients: `Standard deviation of the gradients by layer: ${std("gradient")}.`,
      magnitudes: `Share of the ${view.tensor} per power of two by layer.`,
      silent: `Units that are zero for every sample: at most ${percent(Math.max(0, ...dead.map((d) => d ?? 0)), 1)} of a layer.`,
    };
    for (const [name, plot] of Object.entries(this.plots)) {
      const caption = plot.figure.querySelector("figcaption");
      if (caption) caption.textContent = texts[/** @type {keyof typeof texts} */ (name)];
    }
  }

  /** Theory's forecast under the charts that have room for it. @param {Profile} profile */
  forecast({ experiment, summary }) {
    for (const [name, direction] of /** @type {["activations"|"gradients", "forward"|"backward"][]} */ ([
      ["activations", "forward"],
      ["gradients", "backward"],
    ])) {
      const place = /** @type {HTMLElement|null} */ (this.plots[name].figure.querySelector(".forecast"));
      const { theory } = summary;
      if (!place) continue;
      const missing = theory.reason ?? (direction === "backward" ? theory.gradient_reason : null);
      const all = this.judged[experiment.dtype];
      const main = all.filter((/** @type {string} */ format) => !format.startsWith("float8"));
      place.textContent = missing ?? `theory: ${forecastWords(theory.forecast, main, direction)}`;
      place.title = missing ?? `theory: ${forecastWords(theory.forecast, all, direction)}`;
    }
  }

  /** Brings a chart into view and lets it glow for a moment. @param {string} name */
  point(name) {
    const figure = this.plots[name]?.figure;
    if (!figure) return;
    figure.scrollIntoView({ block: "nearest", behavior: "smooth" });
    figure.classList.add("pointed");
    setTimeout(() => figure.classList.remove("pointed"), POINTED_MS);
  }

  /** Words in place of every chart. @param {string} words */
  say(words) {
    for (const plot of Object.values(this.plots)) plot.say(words);
  }

  purge() {
    for (const plot of Object.values(this.plots)) plot.purge();
  }
}

/** @param {Profile|null} pinned @param {(number|null)[]} y */
const ghost = (pinned, y) =>
  pinned
    ? curve(
        pinned.blocks.map(({ block }) => block),
        y,
      )
    : GONE;

/** Blocks between two ticks. @param {number} blocks */
const tick = (blocks) => [1, 2, 5, 10, 20, 50, 100, 200].find((d) => blocks / d <= 7) ?? 500;

/** @param {any[]} tensors @param {string} noun */
function nothing(tensors, noun) {
  const zero = tensors.every((s) => s && s.zeros === s.count);
  return zero ? `every ${noun} is exactly zero, in all ${tensors.length} layers` : `no finite, nonzero ${noun} in any layer`;
}

/** What theory predicts for every block, as far as the number format could hold it; empty where there is no theory.
 * @param {Profile} profile @param {"after"|"before"} side @param {"activation"|"gradient"} tensor @param {any} formats
 * @returns {{std: (number|null)[], low: (number|null)[], high: (number|null)[]}} */
function predicted(profile, side, tensor, formats) {
  const layers = profile.summary?.theory?.layers ?? [];
  if (!layers.length) return { std: [], low: [], high: [] };
  const { max, smallest } = formats[profile.experiment.dtype];
  const held = (/** @type {number|null|undefined} */ value) => (value && value <= max && value >= smallest ? value : null);
  const byLayer = new Map(layers.map((/** @type {any} */ layer) => [layer.index, layer[tensor]]));
  const each = (/** @type {string} */ name) => profile.blocks.map((block) => held(byLayer.get(block[side])?.[name]));
  return { std: each("std"), low: each("low"), high: each("high") };
}

/** There along the upper edge, back along the lower one. @param {number[]} x @param {{low: (number|null)[], high: (number|null)[]}} theory */
function band(x, { low, high }) {
  const known = x.map((_, i) => i).filter((i) => low[i] && high[i]);
  if (!known.length) return GONE;
  const back = [...known].reverse();
  return curve(
    [...known, ...back].map((i) => x[i]),
    [...known.map((i) => high[i]), ...back.map((i) => low[i])],
  );
}

/** Share of units that are zero for every sample, by block. @param {Profile} profile */
function silentShares(profile) {
  return profile.each((layer) => (layer.units?.width ? layer.units.dead / layer.units.width : null), "after");
}

/** Share of each tensor's entries by power of two: z[row][block], over the powers that occur.
 * @param {(import("./profile.js").Statistics|null|undefined)[]} tensors */
export function shares(tensors) {
  let low = Infinity;
  let high = -Infinity;
  for (const s of tensors)
    if (s?.histogram.exponents.length) {
      low = Math.min(low, s.histogram.exponents[0]);
      high = Math.max(high, s.histogram.exponents[s.histogram.exponents.length - 1]);
    }
  if (high < low) return { rows: [], z: [], top: 1 };
  const rows = Array.from({ length: high - low + 1 }, (_, i) => low + i);
  /** @type {(number|null)[][]} */
  const z = rows.map(() => new Array(tensors.length).fill(null));
  let top = 0;
  tensors.forEach((s, column) => {
    if (!s) return;
    const { exponents, positive: above, negative: below } = s.histogram;
    exponents.forEach((exponent, i) => {
      const share = (above[i] + below[i]) / s.count;
      if (share) z[exponent - low][column] = share;
      top = Math.max(top, share);
    });
  });
  return { rows, z, top: top || 1 };
}
