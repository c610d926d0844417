/** How one tensor's entries spread over powers of two, step by step: the chart in a module's panel, from the series' JSON. */
import { find, oneAtATime } from "../dom.js";
import { literal, raised } from "../format.js";
import { Plot } from "../plot.js";
import { saving } from "../saving.js";
import { token } from "../tokens.js";
import { cursorLine } from "./cursor.js";
import { stepAxis } from "./picture.js";

/** @typedef {{exponents: number[], positive: number[], negative: number[], zeros: number, nan: number, posinf: number, neginf: number, count: number}} Histogram */
/** @typedef {{tensor: string, steps: number[], modules: string[], dtypes: (string|null)[], values: (Histogram|null)[][]}} Answer */
/** `hues` are colours by a tensor's side, `formats` what a number format holds.
 * @typedef {{spread: any, hues: Record<string, [number, string][]>, formats: Record<string, {max: number, tiny: number}>}} Forms */

/** How long a chart of a run that goes on may be behind. */
const BEHIND_MS = 2000;
/** Of an empty axis, where nothing but zeros was recorded. */
const [LOW, HIGH] = [-8, 1];
/** Powers of two to a format's limit, within which it is on the axis. */
const NEAR = 4;

const count = (/** @type {number} */ n) => n.toLocaleString("en");
const two = (/** @type {number} */ exponent) => `2${raised(exponent)}`;
/** What is counted beside the powers of two. @type {[string, (h: Histogram) => number, (h: Histogram) => string][]} */
const LOST = [
  ["±Inf", ({ posinf, neginf }) => posinf + neginf, ({ posinf, neginf }) => `${count(posinf)} +Inf, ${count(neginf)} −Inf`],
  ["NaN", ({ nan }) => nan, ({ nan }) => `${count(nan)} NaN`],
];

/** The exponents that occur, or what an empty axis has; with a format's limits where they are near.
 * @param {(Histogram|null)[]} values @param {{max: number, tiny: number}|undefined} format @returns {{low: number, high: number}} both inclusive */
export function bounds(values, format) {
  const known = values.flatMap((h) => (h?.exponents.length ? [h.exponents[0], h.exponents[h.exponents.length - 1]] : []));
  let [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [LOW, HIGH];
  const [tiny, max] = format ? [Math.floor(Math.log2(format.tiny)), Math.floor(Math.log2(format.max))] : [null, null];
  if (tiny !== null && low <= tiny + NEAR) low = Math.min(low, tiny - 2);
  if (max !== null && high >= max - NEAR) high = Math.max(high, max + 1);
  return { low, high };
}

/** The chart's cells in three parts: a row a power of two, the zeros below them, what is not finite above; apart, as zero and infinity are
 * no power's neighbours, and high enough to be seen. `z` are log10 of counts, null for none; `y` are the rows' edges.
 * @param {(Histogram|null)[]} values @param {{low: number, high: number}} range */
export function cells(values, { low, high }) {
  const size = high - low + 1;
  const height = Math.max(1, size / 16);
  const part = (/** @type {number[]} */ y) => {
    const empty = () => y.slice(1).map(() => /** @type {any[]} */ (new Array(values.length).fill(null)));
    return { y, z: empty(), customdata: empty() };
  };
  const [bottom, top] = [low - 0.5 - height / 2, high + 0.5 + height / 2];
  const powers = part(Array.from({ length: size + 1 }, (_, i) => low - 0.5 + i));
  const zeros = part([bottom - height, bottom]);
  const lost = part([top, top + height, top + 2 * height]);
  let most = 1;
  values.forEach((h, column) => {
    if (!h) return;
    const put = (/** @type {typeof powers} */ to, /** @type {number} */ row, /** @type {number} */ n, /** @type {string} */ text) => {
      if (!n) return;
      to.z[row][column] = Math.log10(n);
      to.customdata[row][column] = text;
      most = Math.max(most, n);
    };
    put(zeros, 0, h.zeros, `${count(h.zeros)} zeros`);
    h.exponents.forEach((e, i) => {
      const [above, below] = [h.positive[i], h.negative[i]];
      put(powers, e - low, above + below, `${two(e)} to ${two(e + 1)}: ${count(above)} positive, ${count(below)} negative`);
    });
    LOST.forEach(([, many, text], row) => put(lost, row, many(h), text(h)));
  });
  return { powers, zeros, lost, most };
}

/** A step's counts in words. @param {Histogram|null|undefined} h */
export function told(h) {
  if (!h) return "not recorded";
  const { exponents } = h;
  const within = exponents.length ? `from ${two(exponents[0])} to ${two(exponents[exponents.length - 1] + 1)}` : "none but zero";
  return [`${count(h.count)} entries, ${within}`, h.zeros && `${count(h.zeros)} zeros`, ...LOST.map(([, many, text]) => many(h) && text(h))]
    .filter(Boolean)
    .join("; ");
}

/** Of a tensor, by its name: the Lab's hues. @param {string} tensor */
const hue = (tensor) => (/\.(grad|unclipped)$/.test(tensor) ? "gradient" : tensor === "activation" || tensor === "input" ? "activation" : "weight");

export class Spread {
  /** @param {Forms} forms @param {import("./view.js").View} view whose steps and cursor are this chart's too @param {HTMLElement} place of the panel
   * @param {() => URLSearchParams} span which steps are looked at @param {string|null} chosen the tensor that is shown of modules that have it */
  constructor(forms, view, place, span, chosen) {
    this.forms = forms;
    this.view = view;
    this.place = place;
    this.span = span;
    this.chosen = chosen;
    /** @type {Answer|null} */
    this.answer = null;
    /** @type {Plot|null} */
    this.plot = null;
    this.timer = 0;
    this.load = oneAtATime(() => this.ask());
  }

  /** The chart's place in the panel as it is now, or null. @returns {HTMLElement|null} */
  get figure() {
    return this.place.querySelector("#chart-spread");
  }

  /** The panel came anew: of the same tensor it is there already. @param {string|null} asked the tensor chosen when the panel was asked for,
   * which may no longer be what is chosen */
  arrived(asked) {
    const { figure, answer, chosen } = this;
    if (!figure) return;
    const choice = /** @type {HTMLSelectElement} */ (find("#tensor", this.place));
    const has = chosen !== asked && [...choice.options].some(({ value }) => value === chosen);
    const tensor = (has ? chosen : figure.dataset.tensor) ?? "";
    choice.value = tensor; // a morphed panel keeps what was chosen in it
    if (answer?.modules[0] === figure.dataset.module && answer?.tensor === tensor) this.draw();
    else this.load();
  }

  /** Steps have come: they are asked for before long. */
  follow() {
    this.timer ||= window.setTimeout(() => {
      this.timer = 0;
      this.load();
    }, BEHIND_MS);
  }

  /** What was asked for, by the newest of the questions. */
  async ask() {
    const { figure } = this;
    if (!figure) return;
    const query = this.span();
    query.set("quantity", "histogram");
    query.set("modules", figure.dataset.module ?? "");
    query.set("tensor", /** @type {HTMLSelectElement} */ (find("#tensor", this.place)).value);
    const response = await fetch(`${figure.dataset.series}?${query}`).catch(() => null);
    const answer = response ? await response.json() : { detail: "The server can't be reached." };
    if (this.figure !== figure || figure.dataset.module !== query.get("modules")) return; // another module meanwhile, which is asked for next
    this.answer = response?.ok ? answer : null;
    if (!response?.ok) find("#spread-readout").textContent = answer.detail;
    this.draw();
  }

  /** With the cursor where the view has it. */
  draw() {
    const { figure, answer } = this;
    if (!figure || !answer || answer.modules[0] !== figure.dataset.module) return;
    if (this.plot?.figure !== figure) {
      this.plot = new Plot(figure, this.forms.spread);
      this.plot.onClick = (step) => this.view.choose(this.view.at.module, Number(step));
      saving(find(".saves", this.place), { histogram: this.plot }, () => `${find("#module-title", this.place).textContent} ${this.answer?.tensor}`);
    }
    const { traces, layout } = chart(answer, this.forms, this.view.at.step, this.view.picture.range());
    this.plot.show(traces, layout);
    this.plot.draw();
    const at = this.view.at.step ?? answer.steps[answer.steps.length - 1];
    const place = answer.steps.indexOf(at);
    find("#spread-readout").textContent = place < 0 ? "\u00a0" : `step ${at}: ${told(answer.values[0][place])}`;
  }
}

/** @param {Answer} answer @param {Forms} forms @param {number|null} step @param {[number, number]} range of steps */
export function chart(answer, forms, step, range) {
  const [values] = answer.values;
  const name = answer.dtypes[0];
  const format = name ? forms.formats[name] : undefined;
  const across = bounds(values, format);
  const { powers, zeros, lost, most } = cells(values, across);
  const bad = lost.z.flat().some((n) => n !== null);
  const apart = [[middle(zeros.y, 0), "0"], ...(bad ? LOST.map(([label], row) => [middle(lost.y, row), label]) : [])];
  const ticks = labelled(across);
  const limits = format && name ? edges(name, format, across) : { shapes: [], annotations: [] };
  const x = answer.steps;
  const scale = { zmin: 0, zmax: Math.max(1, Math.log10(most)), colorscale: forms.hues[hue(answer.tensor)].map(([at, colour]) => [at, token(colour)]) };
  return {
    traces: [
      { x, ...powers, ...scale },
      { x, ...zeros, ...scale },
      { x, ...lost, visible: bad },
    ],
    layout: {
      xaxis: stepAxis(range),
      yaxis: {
        range: [zeros.y[0], bad ? lost.y[2] : across.high + 0.5],
        tickmode: "array",
        tickvals: [...apart.map(([at]) => at), ...ticks],
        ticktext: [...apart.map(([, label]) => label), ...ticks.map(two)],
      },
      shapes: [...limits.shapes, ...cursorLine(step)],
      annotations: limits.annotations,
    },
  };
}

/** Of a row between its edges. @param {number[]} y @param {number} row */
const middle = (y, row) => (y[row] + y[row + 1]) / 2;

/** Exponents with a label, about six. @param {{low: number, high: number}} range */
function labelled({ low, high }) {
  const step = [1, 2, 5, 10, 20, 50, 100, 200].find((each) => (high - low) / each <= 6) ?? 500;
  const first = Math.ceil(low / step) * step;
  return Array.from({ length: Math.max(0, Math.floor((high - first) / step) + 1) }, (_, i) => first + i * step);
}

/** A format's limits, where the axis reaches them: beyond its largest number, and below its smallest normal one.
 * @param {string} name @param {{max: number, tiny: number}} format @param {{low: number, high: number}} range */
function edges(name, { max, tiny }, { low, high }) {
  const [least, most] = [Math.floor(Math.log2(tiny)) - 0.5, Math.floor(Math.log2(max)) + 0.5];
  const shapes = [];
  const annotations = [];
  const band = (/** @type {number} */ y0, /** @type {number} */ y1, /** @type {string} */ colour) => ({
    type: "rect", layer: "below", xref: "paper", x0: 0, x1: 1, y0, y1, fillcolor: token(colour), line: { width: 0 },
  }); // prettier-ignore
  const note = (/** @type {string} */ text, /** @type {number} */ y, /** @type {string} */ yanchor) => ({
    text: literal(text), xref: "paper", x: 0.005, xanchor: "left", y, yanchor, showarrow: false, font: { color: "var(--ink-2)" }, bgcolor: "var(--surface)", borderpad: 1,
  }); // prettier-ignore
  if (least >= low - 0.5) {
    shapes.push(band(low - 0.5, least, "--zero-tint"));
    annotations.push(note(`${name} subnormal below ${two(least + 0.5)}`, least, "top"));
  }
  if (most <= high + 0.5) {
    shapes.push(band(most, high + 0.5, "--fault-line"));
    annotations.push(note(`${name} ends at ${two(most + 0.5)}`, most, "bottom"));
  }
  return { shapes, annotations };
}
