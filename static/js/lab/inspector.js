/** One block under the glass: its tensors as pictures, all their figures, the rule that made the gradient. */
import { make } from "../dom.js";
import { number, whole } from "../format.js";
import { drawHeatmap } from "../heatmap.js";

/** @typedef {import("./profile.js").Profile} Profile */

export class Inspector {
  /** @param {HTMLElement} root @param {Record<string, string>} rules gradient formulas by kind of layer @param {(block: number) => void} select */
  constructor(root, rules, select) {
    this.root = root;
    this.rules = rules;
    this.select = select;
    this.shown = "";
    /** @type {AbortController|null} */
    this.request = null;
    /** @type {[HTMLCanvasElement, any][]} */
    this.canvases = [];
    document.addEventListener("look", () => this.canvases.forEach(([canvas, map]) => drawHeatmap(canvas, map)));
    this.invite();
  }

  invite() {
    this.shown = "";
    this.root.replaceChildren(make("p", { class: "quiet invite" }, "Choose a layer on the strip or in a chart to see its tensors."));
  }

  /** Loads and shows a block; the last call wins. @param {Profile} profile @param {number} number block @param {"after"|"before"} side @param {string} query */
  async show(profile, number, side, query) {
    const block = profile.blocks[number - 1];
    if (!block) return this.close();
    const key = `${query}#${number}${side}`;
    if (key === this.shown) return;
    this.shown = key;
    this.request?.abort();
    this.request = new AbortController();
    try {
      const indices = [...new Set([block[side], block.linear])];
      const [outer, linear] = await Promise.all(indices.map((index) => this.load(query, index)));
      if (this.shown === key) this.render(profile, number, side, outer, linear ?? outer);
    } catch (error) {
      if (/** @type {Error} */ (error).name === "AbortError") return;
      this.shown = "";
      this.root.replaceChildren(make("p", { class: "quiet invite", role: "alert" }, `The layer could not be loaded: ${/** @type {Error} */ (error).message}`));
    }
  }

  close() {
    this.request?.abort();
    this.invite();
  }

  /** @param {string} query @param {number} index */
  async load(query, index) {
    const response = await fetch(`/api/v1/experiment/layer?${query}${query && "&"}layer=${index}`, { signal: this.request?.signal });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.detail ?? response.statusText);
    return answer;
  }

  /** @param {Profile} profile @param {number} number @param {"after"|"before"} side @param {any} outer @param {any} linear */
  render(profile, number, side, outer, linear) {
    const last = profile.blocks.length;
    const step = (/** @type {number} */ to, /** @type {string} */ text, /** @type {string} */ title) =>
      make("button", { class: "button small", type: "button", title, "aria-label": title, disabled: to < 1 || to > last, click: () => this.select(to) }, text);
    const block = profile.blocks[number - 1];
    const kinds = profile.layers
      .slice(block.linear, block.after + 1)
      .map((layer) => layer.kind)
      .join(" + ");
    const tensors = [
      ["activation", outer.tensors.activation, outer],
      ["its gradient", outer.tensors["activation.grad"], outer],
      ["weight", linear.tensors.weight, linear],
      ["weight gradient", linear.tensors["weight.grad"], linear],
    ].filter(([, tensor]) => tensor);
    this.canvases = [];
    this.root.replaceChildren(
      make(
        "header",
        {},
        make("h2", {}, number === last ? `Output layer ${number}` : `Layer ${number}`),
        make("span", { class: "quiet" }, `${kinds} · ${outer.layer.name} · ${side} φ`),
        make(
          "span",
          { class: "actions" },
          step(number - 1, "‹", "Layer before ([)"),
          step(number + 1, "›", "Layer after (])"),
          make("button", { class: "button small", type: "button", "aria-label": "Close the inspector", click: () => this.select(0) }, "✕"),
        ),
      ),
      make("div", { class: "tensors" }, ...tensors.map(([name, tensor, of]) => this.tensor(name, tensor, of.layer.name))),
      make("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Figures of each tensor" }, figures(tensors)),
      this.rule(profile, block),
    );
  }

  /** @param {string} name @param {any} tensor @param {string} layer */
  tensor(name, tensor, layer) {
    const { heatmap, statistics, shape } = tensor;
    const canvas = make("canvas", {
      role: "img",
      "aria-label": `${name} of ${layer}, ${shape.join(" by ")}: ${lost(statistics) || `from ${number(statistics.min)} to ${number(statistics.max)}`}`,
    });
    drawHeatmap(canvas, heatmap);
    this.canvases.push([canvas, heatmap]);
    return make(
      "figure",
      { class: "tensor" },
      make(
        "figcaption",
        {},
        make("b", {}, name),
        " ",
        make("span", { class: "num quiet" }, shape.join("×")),
        make("a", { class: "npy", href: tensor.npy, download: `${layer}-${name.replaceAll(" ", "-")}.npy`, title: "Exact entries, NumPy's format" }, ".npy"),
      ),
      make("div", { class: "picture" }, canvas, statistics.finite ? "" : make("span", { class: "all" }, lost(statistics))),
      histogram(statistics, name),
      make(
        "p",
        { class: "pooling quiet" },
        `${heatmap.pooling === "none: one cell an entry" ? "one pixel an entry" : heatmap.pooling}${heatmap.limit ? `; colour ∝ √|x|, ±${number(heatmap.limit)}` : ""}`,
      ),
    );
  }

  /** How the gradients of a block came about, from its output to its weights. @param {Profile} profile @param {import("./profile.js").Block} block */
  rule(profile, block) {
    const kinds = profile.layers.slice(block.linear, block.after + 1).reverse();
    return make(
      "dl",
      { class: "rules" },
      ...kinds.flatMap((layer) => [make("dt", {}, layer.name), make("dd", { class: "num" }, this.rules[layer.kind] ?? "")]),
    );
  }
}

/** @param {any} s */
const lost = (s) =>
  [
    s.nan && (s.nan === s.count ? "all NaN" : `${s.nan} NaN`),
    s.posinf + s.neginf && (s.posinf + s.neginf === s.count ? "all Inf" : `${s.posinf + s.neginf} Inf`),
  ]
    .filter(Boolean)
    .join(", ");

/** @type {[string, (s: any) => string][]} */
const ROWS = [
  ["entries", (s) => whole(s.count)],
  ["finite", (s) => whole(s.finite)],
  ["mean", (s) => number(s.mean)],
  ["std", (s) => number(s.std)],
  ["rms", (s) => number(s.rms)],
  ["min", (s) => number(s.min)],
  ["max", (s) => number(s.max)],
  ["zeros", (s) => whole(s.zeros)],
  ["subnormal", (s) => whole(s.subnormal)],
  ["NaN", (s) => whole(s.nan)],
  ["+Inf", (s) => whole(s.posinf)],
  ["−Inf", (s) => whole(s.neginf)],
];

/** @param {any[]} tensors */
const figures = (tensors) =>
  make(
    "table",
    { class: "figures" },
    make("thead", {}, make("tr", {}, make("td"), ...ROWS.map(([name]) => make("th", { scope: "col", class: "num" }, name)))),
    make(
      "tbody",
      {},
      ...tensors.map(([name, tensor]) =>
        make("tr", {}, make("th", { scope: "row" }, name), ...ROWS.map(([, read]) => make("td", { class: "num" }, read(tensor.statistics)))),
      ),
    ),
  );

const SVG = "http://www.w3.org/2000/svg";

/** Counts over powers of two: below the line negative, above it positive. @param {any} s @param {string} name */
function histogram(s, name) {
  const { exponents, positive, negative } = s.histogram;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "histogram");
  svg.setAttribute("viewBox", "0 0 200 44");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute(
    "aria-label",
    exponents.length
      ? `histogram of ${name} over powers of two, from 2^${exponents[0]} to 2^${exponents.at(-1)}`
      : `histogram of ${name}: no finite nonzero entry`,
  );
  const top = Math.max(1, ...positive, ...negative);
  const width = 200 / Math.max(1, exponents.length);
  const bar = (/** @type {number} */ i, /** @type {number} */ count, /** @type {boolean} */ up) => {
    const height = (20 * count) / top;
    return `M${(i * width + 0.3).toFixed(2)} ${up ? 22 - height : 22}h${(width - 0.6).toFixed(2)}v${height}h-${(width - 0.6).toFixed(2)}z`;
  };
  for (const [counts, up, kind] of [
    [positive, true, "above"],
    [negative, false, "below"],
  ]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", kind);
    path.setAttribute("d", counts.map((/** @type {number} */ count, /** @type {number} */ i) => (count ? bar(i, count, up) : "")).join(""));
    svg.append(path);
  }
  const ends = exponents.length
    ? [
        make("span", {}, "2", make("sup", {}, String(exponents[0]))),
        make("span", {}, "counts per power of two, ±"),
        make("span", {}, "2", make("sup", {}, String(exponents.at(-1)))),
      ]
    : [make("span", {}, "nothing finite but zeros")];
  return make("div", { class: "spread" }, svg, make("div", { class: "ends num" }, ...ends));
}
