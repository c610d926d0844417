/** Which rows a run's map has: its modules, or blocks of them that open where one is looked at. */

/** @typedef {{name: string, members: number[]}} Row a row's name, and the modules in it by their places in forward order */

/** With more modules than this, blocks are closed. */
export const MOST_MODULES = 40;
/** Into so many rows a long run of blocks is gathered. */
const RANGES = 30;

/** The block that a module belongs to: its name up to the first number that something follows, `h.0` of `h.0.attn`. @param {string} name */
export const blockOf = (name) => /^(?:.*?\.)?\d+(?=\.)/.exec(name)?.[0] ?? name;

/** The modules in blocks, as they follow one another. @param {string[]} modules @returns {Row[]} */
function blocks(modules) {
  /** @type {Row[]} */
  const found = [];
  /** @type {Map<string, number>} */
  const seen = new Map();
  let last = null;
  for (const [place, module] of modules.entries()) {
    const block = blockOf(module);
    if (block !== last) {
      const times = (seen.get(block) ?? 0) + 1;
      seen.set(block, times);
      found.push({ name: times > 1 ? `${block} (${times})` : block, members: [] });
    }
    last = block;
    found[found.length - 1].members.push(place);
  }
  // A block of one module is that module: it goes by the name that it has where the block is open.
  return found.map((row) => (row.members.length > 1 ? row : { ...row, name: modules[row.members[0]] }));
}

/** Rows, where there are too many, in ranges of as many each. @param {Row[]} rows @returns {Row[][]} */
function ranges(rows) {
  const size = rows.length > MOST_MODULES ? Math.ceil(rows.length / RANGES) : 1;
  return Array.from({ length: Math.ceil(rows.length / size) }, (_, i) => rows.slice(i * size, (i + 1) * size));
}

/** What a range is called: `h.17 … 33`, or both names where they differ before their last part. @param {string} first @param {string} last */
function between(first, last) {
  const stem = first.slice(0, first.lastIndexOf(".") + 1);
  return `${first} … ${stem && last.startsWith(stem) ? last.slice(stem.length) : last}`;
}

/** A row of its own for each of these. @param {string[]} modules @param {number[]} places @returns {Row[]} */
const alone = (modules, places) => places.map((place) => ({ name: modules[place], members: [place] }));

/** A row of its own for every module. @param {string[]} modules @returns {Row[]} */
export const unfolded = (modules) => alone(modules, [...modules.keys()]);

/** Closed blocks, but for the one of the module that is looked at; of that too no more rows than of all, if it has many modules.
 * @param {string[]} modules @param {number|null} at its place @returns {Row[]} */
export const folded = (modules, at) => gathered(blocks(modules), modules, at);

/** @param {Row[]} rows in forward order @param {string[]} modules @param {number|null} at a module's place @returns {Row[]} */
function gathered(rows, modules, at) {
  const open = (/** @type {Row} */ { members }) => at !== null && members.length > 1 && members.includes(at);
  return ranges(rows).flatMap((some) => {
    if (some.length === 1) return open(some[0]) ? gathered(alone(modules, some[0].members), modules, at) : some;
    const members = some.flatMap((row) => row.members);
    const name = between(some[0].name, some[some.length - 1].name);
    return open({ name, members }) ? gathered(some, modules, at) : [{ name, members }];
  });
}

/** Whether folding makes fewer rows of them. @param {string[]} modules */
export const foldable = (modules) => modules.length > MOST_MODULES && folded(modules, null).length < modules.length;
