/** What is known of an experiment so far, by block: fed by stream events or by a whole result. */

/** @typedef {{count: number, finite: number, mean: number|null, std: number|null, rms: number|null, min: number|null, max: number|null,
 *   zeros: number, subnormal: number, nan: number, posinf: number, neginf: number,
 *   histogram: {exponents: number[], positive: number[], negative: number[]}}} Statistics */
/** @typedef {{block: number, linear: number, before: number, after: number}} Block  indices into `layers` */

const isActivation = (/** @type {string} */ kind) => kind !== "linear" && kind !== "add" && !kind.endsWith("_norm");

export class Profile {
  /** @param {{experiment: Record<string, any>, layers: any[]}} start */
  constructor(start) {
    this.experiment = start.experiment;
    /** @type {any[]} */
    this.layers = start.layers.map((layer) => ({ ...layer }));
    /** @type {Block[]} */
    this.blocks = blocksOf(this.layers);
    /** @type {any} */
    this.summary = null;
  }

  /** @param {any} result the whole Result of the API */
  static of(result) {
    const profile = new Profile(result);
    profile.summary = result;
    return profile;
  }

  /** Takes records of a `forward` or `backward` event; returns the blocks that they belong to.
   * @param {any[]} records */
  add(records) {
    const touched = new Set();
    for (const record of records) {
      const layer = this.layers[record.index];
      const parameters = { ...layer.parameters };
      for (const [name, part] of Object.entries(record.parameters ?? {})) parameters[name] = { ...parameters[name], ...part };
      Object.assign(layer, record, { parameters });
      touched.add(layer.block);
    }
    return touched;
  }

  /** Whether every record has come: the backward pass ends with the first layer. */
  get complete() {
    return Boolean(this.layers[0]?.gradient);
  }

  /** The layer that stands for a block: what it hands on, or what goes into its φ.
   * @param {Block} block @param {"after"|"before"} side */
  layer(block, side) {
    return this.layers[block[side]];
  }

  /** One value of each block. @template T @param {(layer: any, block: Block) => T} read @param {"after"|"before"} side @returns {T[]} */
  each(read, side) {
    return this.blocks.map((block) => read(this.layers[block[side]], block));
  }
}

/** @param {any[]} layers @returns {Block[]} */
function blocksOf(layers) {
  /** @type {Block[]} */
  const blocks = [];
  layers.forEach((layer, index) => {
    let last = blocks.at(-1);
    if (!last || last.block !== layer.block) blocks.push((last = { block: layer.block, linear: index, before: index, after: index }));
    // Before φ is whatever comes right before the activation; without one, both sides are the same.
    if (isActivation(layer.kind)) last.before = index - 1;
    else if (layer.kind !== "add") last.before = index;
    last.after = index;
  });
  return blocks;
}
