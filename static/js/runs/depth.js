/** A step's activations and gradients against the modules, as the Lab's charts show a network's: what the slider replays as curves. */
import { find } from "../dom.js";
import { literal } from "../format.js";
import { named, powers } from "../lab/axes.js";
import { faults, logRange } from "../lab/marks.js";
import { INF } from "../lab/series.js";
import { Plot } from "../plot.js";
import { token } from "../tokens.js";
import { cursorLine } from "./cursor.js";
import { tick } from "./picture.js";

/** A module's, as app/figures/signal.py has them: std and mean of its output, what is lost of it (1 for Inf, 2 for NaN); spread of the
 * gradient there, what is lost of that. @typedef {[number|null, number|null, number, number|null, number]} Figures */
/** @typedef {"activations"|"gradients"} Side */
/** A step: which, its figures by module, and of several modules the worst of a side.
 * @typedef {{step: number|null, figures: Figures[], worst: (members: number[], side: Side) => number}} Moment */
/** `first` is what it is compared with. @typedef {{now: Moment, first: Moment|null, dtype: string|null}} Source */
/** @typedef {import("./folding.js").Row} Row */
/** What a side's curves have, by row. @typedef {{whose: number[], spread: (number|null)[], mean: (number|null)[], lost: number[]}} Curves */

const SIDES = /** @type {Side[]} */ (["activations", "gradients"]);
/** Beyond this many rows, dots hide the line. */
const MOST_DOTS = 40;
/** Characters of a module's name below a chart. */
const NAME = 12;
/** Of a number format that nobody knows: it ends nowhere. */
const ENDLESS = { name: "", max: Infinity, tiny: 0 };
const GONE = { visible: false, x: [], y: [] };

/** A power of ten within what a double holds. @param {number} exponent */
const raise = (exponent) => 10 ** Math.min(308, Math.max(-323, exponent));

/** A range's ends, so far inside that no rounding puts what stands there outside, where Plotly draws nothing.
 * @param {[number, number]} range @returns {[number, number]} */
export const within = ([low, high]) => [low + (high - low) / 1000, high - (high - low) / 1000];

/** What a logarithmic axis can show. @param {number|null} value */
const size = (value) => (value ? Math.abs(value) : null);

/** A side of a step by row; of a closed block its worst module's. @param {Moment} moment @param {Row[]} rows @param {Side} side @returns {Curves} */
export function along({ figures, worst }, rows, side) {
  const whose = rows.map(({ members }) => (members.length > 1 ? worst(members, side) : members[0]));
  const own = whose.map((place) => figures[place] ?? [null, null, 0, null, 0]);
  const activations = side === "activations";
  return {
    whose,
    spread: own.map(([std, , , spread]) => (activations ? std : spread)),
    mean: activations ? own.map(([, mean]) => mean) : [],
    lost: own.map((each) => (activations ? each[2] : each[4])),
  };
}

/** The decades that hold all of these, so that the axis stands still while a run is replayed. @param {(number|null)[]} values */
export function decades(values) {
  const known = values.map(size).filter((value) => value !== null);
  return known.length ? [raise(Math.floor(Math.log10(Math.min(...known)))), raise(Math.ceil(Math.log10(Math.max(...known))))] : [];
}

/** What has no place on a curve, in words: null where all of it has. @param {number} lost @param {number|null} spread */
export function missing(lost, spread) {
  const kinds = ["Inf", "NaN"].filter((_, bit) => lost & (1 << bit)).join(" and ");
  if (kinds) return spread === null ? `${kinds}, nothing finite` : `${kinds} among its entries`;
  return spread === 0 ? "std 0" : null;
}

/** A long name's last parts. @param {string} name */
export function ending(name) {
  const parts = name.split(".");
  const from = name.length > NAME ? parts.findIndex((_, i) => i > 0 && parts.slice(i).join(".").length < NAME - 2) : 0;
  return from > 0 ? `…${parts.slice(from).join(".")}` : name;
}

/** Places of names below a chart: as many as there is room for. @param {string[]} names @param {number} width pixels of the axis
 * @param {number} char pixels of a letter @param {number} beyond pixels there are at its ends */
export function ticks(names, width, char, beyond) {
  const each = width / Math.max(1, names.length);
  const every = Math.ceil(((Math.max(0, ...names.map(({ length }) => length)) + 1.5) * char) / each);
  const inside = (/** @type {number} */ i) => Math.min((i + 0.5) * each, width - (i + 0.5) * each) + beyond >= (names[i].length * char) / 2;
  return names.flatMap((_, i) => (i % every === 0 && inside(i) ? [i + 1] : []));
}

export class Depth {
  /** @param {{depth: Record<Side, any>, formats: any}} forms @param {import("./view.js").View} view whose rows and module are these charts' too
   * @param {() => Source} source what there is to show */
  constructor(forms, view, source) {
    this.view = view;
    this.source = source;
    this.formats = forms.formats;
    /** What the rows are called below the charts. @type {string[]} */
    this.names = [];
    /** What the charts were made of. @type {any[]} */
    this.made = [];
    this.labels = /** @type {Record<Side, any[]>} */ ({});
    this.plots = /** @type {Record<Side, Plot>} */ ({});
    for (const side of SIDES) {
      const form = forms.depth[side];
      const plot = new Plot(find(`#chart-${side}`), form);
      plot.onClick = (place) => this.pick(side, Math.round(place));
      plot.finish = (traces, layout) => this.finish(this.labels[side], traces, layout);
      this.labels[side] = form.labels.map((/** @type {any} */ each) => ({ ...each, name: form.data[each.trace].name }));
      this.plots[side] = plot;
    }
    document.addEventListener("look", () => (this.made = []));
  }

  /** A row was clicked: its module, of a closed block the worst. @param {Side} side @param {number} place from 1 */
  pick(side, place) {
    const row = this.view.picture.rows[place - 1];
    if (!row) return;
    const { whose } = along(this.source().now, [row], side);
    this.view.choose(this.view.picture.modules[whose[0]], this.view.at.step);
  }

  /** As the view has it now. */
  show() {
    const { now, first, dtype } = this.source();
    const { picture, at } = this.view;
    const { rows } = picture;
    const compared = first && first.step !== now.step ? first : null;
    const chosen = picture.cursor(at.module, null).row;
    // A cursor that moves on comes here before the step's figures do.
    const made = [now.figures, compared?.figures, rows, chosen];
    if (made.every((part, i) => part === this.made[i])) return;
    this.made = made;
    this.names = rows.map((row) => tick({ ...row, name: ending(row.name) }, NAME));
    find("#depth").hidden = now.step === null;
    find("#depth-note").textContent = said(now.step, compared?.step ?? null);
    for (const side of SIDES) {
      const curves = along(now, rows, side);
      const before = compared && along(compared, rows, side);
      for (const label of this.labels[side]) if (label.trace === 0) label.name = `step ${compared?.step ?? ""}`;
      const format = side === "activations" && dtype ? this.formats[dtype] : undefined;
      this.plots[side].figure.hidden = curves.spread.every((value) => value === null) && !curves.lost.some(Boolean);
      const { traces, layout } = chart(curves, before, side, picture, this.names, format, chosen);
      this.plots[side].show(traces, layout);
      this.plots[side].draw();
    }
  }

  /** With the curves' names, and as many modules' as there is room for. @param {any[]} labels @param {any[]} traces @param {any} layout */
  finish(labels, traces, layout) {
    const { width, margin, font } = layout;
    const tickvals = ticks(this.names, width - margin.l - margin.r, 0.6 * font.size, Math.min(margin.l, margin.r));
    const xaxis = { ...layout.xaxis, tickmode: "array", tickvals, ticktext: tickvals.map((place) => this.names[place - 1]) };
    // A name stands beside the cursor, as beside a curve.
    const [low, high] = layout.yaxis.range.map(raise);
    const lines = layout.shapes.filter((/** @type {any} */ { type }) => type === "line").map((/** @type {any} */ { x0 }) => ({ x: [x0, x0], y: [low, high] }));
    return named(labels, [...traces, ...lines], { ...layout, xaxis });
  }
}

/** Beside the charts' title. @param {number|null} step @param {number|null} first */
const said = (step, first) => `at step ${step}${first === null ? "" : `; faint: step ${first}, the first that was recorded`}`;

/** @param {Curves} curves @param {Curves|null} before @param {Side} side @param {import("./picture.js").Picture} picture @param {string[]} names
 * @param {{name: string, max: number, tiny: number}|undefined} format @param {number|null} chosen a row, from 0 */
function chart(curves, before, side, picture, names, format, chosen) {
  const { spread, mean, lost, whose } = curves;
  const x = names.map((_, i) => i + 1);
  const labels = (/** @type {number[]} */ places) => picture.rows.map((row, i) => full(row, picture.modules[places[i]]));
  const words = labels(whose);
  const tensors = lost.map((bits, i) => ({ lost: bits, zeros: Number(spread[i] === 0 && !bits), count: 1 }));
  const fault = faults(tensors, side === "gradients", { called: (row) => literal(ending(picture.rows[row - 1].name || "the whole")), zero: "" });
  const overflows = format !== undefined && lost.some((bits) => bits & INF);
  const shown = [spread, mean, before?.spread ?? []].map((values) => values.map(size));
  const axis = logRange([...shown, decades(shown.flat())], format ?? ENDLESS, overflows);
  const [bottom, top] = within(axis.range).map(raise);
  const off = x.flatMap((place, i) => {
    const why = missing(lost[i], spread[i]);
    return why === null ? [] : [{ place, why: `${words[i]}: ${why}`, bad: lost[i] > 0 }];
  });
  return {
    traces: [
      before ? { x, y: before.spread.map(size), text: labels(before.whose), visible: true } : GONE,
      mean.some((value) => value !== null) ? { x, y: mean.map(size), visible: true } : GONE,
      { x, y: spread.map(size), text: words, visible: true, mode: x.length > MOST_DOTS ? "lines" : "lines+markers" },
      {
        x: off.map(({ place }) => place),
        y: off.map(({ bad }) => (bad ? top : bottom)),
        text: off.map(({ why }) => why),
        visible: off.length > 0,
        marker: {
          size: 7,
          symbol: off.map(({ bad }) => (bad ? "x" : "circle-open")),
          color: off.map(({ bad }) => token(bad ? "--fault" : "--ink-2")),
        },
      },
    ],
    layout: {
      xaxis: { range: [0.5, x.length + 0.5] },
      yaxis: { range: axis.range, ...powers(10, axis.range, axis.dtick) },
      shapes: [...axis.shapes, ...fault.shapes, ...cursorLine(chosen === null ? null : chosen + 1)],
      annotations: [...axis.annotations, ...fault.annotations],
    },
  };
}

/** A row where it is pointed at. @param {Row} row @param {string} worst the module that stands for it */
const full = ({ name, members }, worst) => literal(members.length > 1 ? `${name}, the worst: ${worst}` : name || "the whole");
