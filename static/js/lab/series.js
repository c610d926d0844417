/** What is drawn of an experiment, by block: fed by the rows that app/pages/lab/drawing.py writes. */

/** `cell` are the classes of its cell on the strip, `lost` is 1 for Inf in it plus 2 for NaN, `counts` are over powers of two from `exponent` on.
 * @typedef {{cell: string, spread: number|null, lost: number, zeros: number, count: number, exponent: number, counts: number[]}} Tensor */
/** @typedef {{activation: Tensor|null, mean: number|null, dead: number|null, flat: number|null, weight: Tensor|null, gradient: Tensor|null, norm: number|null}} Layer */
/** @typedef {"after"|"before"} Side of the activation function */
/** Indices of layers; `silent` is the one whose units can fall silent. @typedef {{linear: number, before: number, after: number, silent: number}} Block */
/** By side and block: std, and the bounds of 95 of 100 seeds.
 * @typedef {Record<"activation"|"gradient", Record<Side, (number|null)[][]>>} Theory */
/** @typedef {[string, number|null, number, number, number, number, number[]]} TensorRow */

const NOTHING = { activation: null, mean: null, dead: null, flat: null, weight: null, gradient: null, norm: null };

export const INF = 1;
export const NAN = 2;

export class Series {
  /** @param {{experiment: Record<string, any>, blocks: [number, number, number, number][]}} start @param {string} [asked] the query that asked for it */
  constructor({ experiment, blocks }, asked = "") {
    this.experiment = experiment;
    this.asked = asked;
    /** @type {Block[]} */
    this.blocks = blocks.map(([linear, before, after, silent]) => ({ linear, before, after, silent }));
    /** @type {number[]} by layer, from 1 */
    this.blockOf = this.blocks.flatMap(({ after }, i) => new Array(after - (this.blocks[i - 1]?.after ?? -1)).fill(i + 1));
    /** @type {Layer[]} */
    this.layers = this.blockOf.map(() => NOTHING);
    /** Null until the result is complete. @type {Partial<Theory>|null} */
    this.theory = null;
    /** As the server has put it into words. */
    this.verdict = "";
  }

  /** @param {any} drawing everything at once @param {string} [asked] the query that asked for it */
  static of(drawing, asked = "") {
    const series = new Series(drawing.start, asked);
    series.forward(drawing.forward);
    series.backward(drawing.backward);
    series.theory = drawing.theory;
    series.verdict = drawing.verdict;
    return series;
  }

  /** @param {[number, TensorRow, number|null, number|null, TensorRow|null, number|null][]} rows @returns {Set<number>} the blocks that they belong to */
  forward(rows) {
    return this.take(
      rows.map(([index, activation, mean, dead, weight, flat]) => [index, { activation: tensor(activation), mean, dead, weight: tensor(weight), flat }]),
    );
  }

  /** @param {[number, TensorRow|null, number|null][]} rows @returns {Set<number>} the blocks that they belong to */
  backward(rows) {
    return this.take(rows.map(([index, gradient, norm]) => [index, { gradient: tensor(gradient), norm }]));
  }

  /** @param {[number, Partial<Layer>][]} found */
  take(found) {
    for (const [index, part] of found) this.layers[index] = { ...this.layers[index], ...part };
    return new Set(found.map(([index]) => this.blockOf[index]));
  }

  /** Whether every row has come: the backward pass ends with the first layer. */
  get complete() {
    return this.layers[0].gradient !== null;
  }

  /** From 1 to the last. @returns {number[]} */
  get numbers() {
    return this.blocks.map((_, i) => i + 1);
  }

  /** Share of each block's signal at which φ is flat; null where there is no φ, or nowhere flat. @returns {(number|null)[]} */
  get flat() {
    const phi = (/** @type {Block} */ { linear, before, silent }) => (silent < linear ? silent : before + 1);
    return this.blocks.map((block) => (block.after > block.before ? this.layers[phi(block)].flat : null));
  }

  /** One value of each block, read from the layer that stands for it on a side of φ.
   * @template T @param {(layer: Layer) => T} read @param {Side|"linear"|"silent"} side @returns {T[]} */
  each(read, side) {
    return this.blocks.map((block) => read(this.layers[block[side]]));
  }
}

/** @param {TensorRow|null} row @returns {Tensor|null} */
function tensor(row) {
  if (!row) return null;
  const [cell, spread, lost, zeros, count, exponent, counts] = row;
  return { cell, spread, lost, zeros, count, exponent, counts };
}
