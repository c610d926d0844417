/** The Lab's four charts: from a profile to traces, in the order of the forms that app/figures/lab.py made. */
import { Plot } from "../plot.js";
import { token } from "../tokens.js";
import { named, powers } from "./axes.js";
import { chosenLine, faults, logRange } from "./marks.js";

/** @typedef {import("./series.js").Series} Series */
/** @typedef {import("./series.js").Tensor} Tensor */
/** @typedef {{series: Series, pinned: Series|null, side: import("./series.js").Side, tensor: "activations"|"gradients"|"weights", of: "outputs"|"weights", chosen: number}} View */
/** `empty`: there is nothing to draw, and the words that say so are shown. @typedef {{traces: object[], layout: any, empty: boolean}} Content */

const POINTED_MS = 1600;
const MOST_DOTS = 40;
const APART = 0.1;
/** Of the band of a layer that has none beside it: to each side. */
const ALONE = 0.25;
const GONE = { visible: false, x: [], y: [] };
const curve = (/** @type {number[]} */ x, /** @type {(number|null)[]} */ y) => ({ x, y, visible: true });
/** With a dot a block where they are few: each dot costs as much time as a whole line.
 * @param {number[]} x @param {(number|null)[]} y */
const dotted = (x, y) => ({ ...curve(x, y), mode: y.filter((v) => v !== null).length > MOST_DOTS ? "lines" : "lines+markers" });
const positive = (/** @type {number|null|undefined} */ value) => (value ? Math.abs(value) : null);
const spread = (/** @type {Tensor|null} */ tensor) => positive(tensor?.spread);

export class Charts {
  /** @param {HTMLElement} root @param {any} forms @param {(block: number) => void} select */
  constructor(root, forms, select) {
    this.formats = forms.formats;
    this.scales = forms.scales;
    /** What the curves are called, and where. @type {Record<string, {trace: number, at: number, side: string, color: string, name: string}[]>} */
    this.labels = Object.fromEntries(
      Object.entries(forms.charts).map(([name, form]) => [name, (form.labels ?? []).map((/** @type {any} */ l) => ({ ...l, name: form.data[l.trace].name }))]),
    );
    this.silentDrawn = "";
    /** @type {Record<string, Plot>} */
    this.plots = {};
    for (const figure of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-chart]"))) {
      const plot = new Plot(figure, forms.charts[figure.dataset.chart ?? ""]);
      plot.onClick = (x) => select(Math.round(x));
      const labels = this.labels[figure.dataset.chart ?? ""];
      plot.finish = (traces, layout) => (labels.length ? named(labels, traces, layout) : layout);
      this.plots[figure.dataset.chart ?? ""] = plot;
    }
  }

  /** Works out and draws the named charts, as far as they are visible, now. @param {View} view @param {Set<string>} names */
  draw(view, names) {
    const x = view.series.numbers;
    const xaxis = { range: [0.5, x.length + 0.5], dtick: tick(x.length) };
    /** @type {Record<string, (view: View, x: number[]) => Content>} */
    const parts = { activations: this.activations, gradients: this.gradients, magnitudes: this.magnitudes, silent: this.silent };
    for (const [name, part] of Object.entries(parts)) {
      if (!names.has(name)) continue;
      const { traces, layout, empty } = part.call(this, view, x);
      const drawn = {
        ...layout,
        shapes: [...(layout.shapes ?? []), ...chosenLine(view.chosen)],
        xaxis,
      };
      // Often the same for every init scale: a comparison costs a hundredth of a draw.
      const written = name === "silent" ? JSON.stringify([traces, drawn]) : null;
      if (written && written === this.silentDrawn && !this.plots[name].stale) continue;
      if (written) this.silentDrawn = written;
      this.plots[name].figure.toggleAttribute("data-empty", empty);
      this.plots[name].show(traces, drawn);
      this.plots[name].draw();
    }
  }

  /** @param {View} view @param {number[]} x @returns {Content} */
  activations(view, x) {
    const mean = view.series.each((layer) => positive(layer.mean), view.side);
    return this.byLayer(view, x, "activation", mean);
  }

  /** @param {View} view @param {number[]} x @returns {Content} */
  gradients(view, x) {
    if (view.of === "outputs") return this.byLayer(view, x, "gradient", []);
    const read = (/** @type {Series} */ series) => series.each((layer) => positive(layer.norm), "linear");
    const [norms, before] = [read(view.series), view.pinned ? read(view.pinned) : []];
    const axis = logRange([norms, before], this.formats[view.series.experiment.dtype], false);
    return {
      traces: [ghost(view.pinned, before), GONE, GONE, curve(x, norms), GONE],
      layout: { yaxis: { range: axis.range, ...powers(10, axis.range, axis.dtick) }, shapes: axis.shapes, annotations: axis.annotations },
      empty: norms.every((value) => value === null),
    };
  }

  /** @param {View} view @param {number[]} x @param {"activation"|"gradient"} name @param {(number|null)[]} second @returns {Content} */
  byLayer({ series, pinned, side }, x, name, second) {
    const tensors = series.each((layer) => layer[name], side);
    const std = tensors.map(spread);
    const before = pinned?.each((layer) => spread(layer[name]), side) ?? [];
    const [expected, low, high] = [0, 1, 2].map((i) => series.theory?.[name]?.[side].map((row) => row[i]) ?? []);
    const backward = name === "gradient";
    const fault = faults(tensors, backward);
    const overflows = !backward && tensors.some((t) => t?.lost);
    const axis = logRange([std, second, before, expected], this.formats[series.experiment.dtype], overflows);
    return {
      traces: [ghost(pinned, before), band(x, low, high), curve(x, expected), curve(x, second), dotted(x, std)],
      layout: {
        yaxis: { range: axis.range, ...powers(10, axis.range, axis.dtick) },
        shapes: [...axis.shapes, ...fault.shapes],
        annotations: [...axis.annotations, ...fault.annotations],
      },
      empty: std.every((value) => value === null),
    };
  }

  /** @param {View} view @param {number[]} x @returns {Content} */
  magnitudes({ series, side, tensor }, x) {
    const tensors = {
      activations: () => series.each((layer) => layer.activation, side),
      gradients: () => series.each((layer) => layer.gradient, side),
      weights: () => series.each((layer) => layer.weight, "linear"),
    }[tensor]();
    const { rows, z, top } = shares(tensors);
    return {
      traces: [{ x, y: rows, z, zmin: 0, zmax: top, colorscale: this.scales[tensor].map((/** @type {any} */ [at, name]) => [at, token(name)]) }],
      layout: { yaxis: twos([rows[0] - 0.5, rows[rows.length - 1] + 0.5]), ...faults(tensors, tensor === "gradients") },
      empty: !rows.length,
    };
  }

  /** @param {View} view @param {number[]} x @returns {Content} */
  silent({ series, pinned }, x) {
    const tensors = series.each((layer) => layer.activation, "silent");
    const dead = (/** @type {import("./series.js").Layer} */ layer) => layer.dead;
    const zeros = tensors.map((t) => (t?.count ? t.zeros / t.count : null));
    const bars = series.each(dead, "silent");
    // Where φ is flat at zero alone, as ReLU is, both would be one line.
    const apart = series.flat.some((flat, i) => flat !== null && Math.abs(flat - (zeros[i] ?? 0)) > APART);
    const some = bars.some(Boolean);
    return {
      traces: [
        ghost(pinned, pinned?.each(dead, "silent") ?? []),
        curve(x, bars),
        zeros.some(Boolean) ? curve(x, zeros) : GONE,
        apart ? curve(x, series.flat) : GONE,
      ],
      layout: { ...faults(tensors) },
      empty: !some && !zeros.some(Boolean) && series.flat.every((flat) => flat === null),
    };
  }

  /** Brings a chart into view and lets it glow for a moment. @param {string} name */
  point(name) {
    const figure = this.plots[name]?.figure;
    if (!figure) return;
    figure.scrollIntoView({ block: "nearest", behavior: "smooth" });
    figure.classList.add("pointed");
    setTimeout(() => figure.classList.remove("pointed"), POINTED_MS);
  }
}

/** @param {Series|null} pinned @param {(number|null)[]} y */
const ghost = (pinned, y) => (pinned ? curve(pinned.numbers, y) : GONE);

/** An axis of powers of two. @param {[number, number]} range */
const twos = (range) => ({ range, ...powers(2, range, [1, 2, 5, 10, 20, 50, 100].find((step) => (range[1] - range[0]) / step <= 6) ?? 500) });

/** Blocks between two ticks. @param {number} blocks */
const tick = (blocks) => [1, 2, 5, 10, 20, 50, 100, 200].find((d) => blocks / d <= 7) ?? 500;

/** There along the upper edge, back along the lower one; a piece for every row of layers that have a band, and nothing between.
 * `meta` is the longest piece, within which its name is written. @param {number[]} x @param {(number|null)[]} low @param {(number|null)[]} high */
export function band(x, low, high) {
  const pieces = runs(x.map((_, i) => Boolean(low[i] && high[i]))).map(([from, to]) => {
    const there = Array.from({ length: to - from }, (_, i) => from + i);
    const back = [...there].reverse();
    return {
      x: to - from > 1 ? [...there, ...back].map((i) => x[i]) : [x[from] - ALONE, x[from] + ALONE, x[from] + ALONE, x[from] - ALONE],
      y: to - from > 1 ? [...there.map((i) => high[i]), ...back.map((i) => low[i])] : [high[from], high[from], low[from], low[from]],
    };
  });
  if (!pieces.length) return GONE;
  const longest = pieces.reduce((a, b) => (b.x.length > a.x.length ? b : a));
  const joined = (/** @type {"x"|"y"} */ axis) => pieces.flatMap((piece, i) => (i ? [null, ...piece[axis]] : piece[axis]));
  return { x: joined("x"), y: joined("y"), visible: true, meta: longest };
}

/** Where a row of true ones begins, and where it has ended. @param {boolean[]} flags @returns {[number, number][]} */
function runs(flags) {
  /** @type {[number, number][]} */
  const found = [];
  flags.forEach((flag, i) => {
    if (!flag) return;
    if (i && flags[i - 1]) found[found.length - 1][1] = i + 1;
    else found.push([i, i + 1]);
  });
  return found;
}

/** Share of each tensor's entries by power of two: z[row][block], over the powers that occur. @param {(Tensor|null)[]} tensors */
export function shares(tensors) {
  const known = tensors.filter((tensor) => tensor !== null).filter(({ counts }) => counts.length);
  if (!known.length) return { rows: [], z: [], top: 1 };
  const low = Math.min(...known.map(({ exponent }) => exponent));
  const end = Math.max(...known.map(({ exponent, counts }) => exponent + counts.length));
  const rows = Array.from({ length: end - low }, (_, i) => low + i);
  /** @type {(number|null)[][]} */
  const z = rows.map(() => new Array(tensors.length).fill(null));
  let top = 0;
  tensors.forEach((tensor, column) =>
    tensor?.counts.forEach((count, i) => {
      if (!count) return;
      const share = count / tensor.count;
      z[tensor.exponent - low + i][column] = share;
      top = Math.max(top, share);
    }),
  );
  return { rows, z, top: top || 1 };
}
