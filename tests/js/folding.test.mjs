import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST_MODULES, blockOf, foldable, folded, unfolded } from "../../static/js/runs/folding.js";

const names = (/** @type {{name: string}[]} */ rows) => rows.map(({ name }) => name);
const transformer = (/** @type {number} */ layers) => [
  "wte", "wpe",
  ...Array.from({ length: layers }, (_, i) => ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.0", "mlp.1"].map((part) => `h.${i}.${part}`)).flat(),
  "ln_f",
]; // prettier-ignore

test("a block is a name up to its first number that something follows", () => {
  assert.equal(blockOf("transformer.h.0.attn.c_attn"), "transformer.h.0");
  assert.equal(blockOf("layer1.0.conv1"), "layer1.0");
  assert.equal(blockOf("0.1"), "0");
  for (const alone of ["fc", "net.0", "7", "", "encoder.attn.q", "conv2d"]) assert.equal(blockOf(alone), alone);
});

test("every module is in one row, in forward order, whatever is open", () => {
  for (const layers of [1, 10, 100, 500])
    for (const at of [null, 0, 5, layers * 3, layers * 6 + 2]) {
      const modules = transformer(layers);
      const rows = folded(modules, at);
      assert.deepEqual(rows.flatMap(({ members }) => members), modules.map((_, i) => i)); // prettier-ignore
      if (at !== null) assert.deepEqual(rows.find(({ members }) => members.includes(at)), { name: modules[at], members: [at] }); // prettier-ignore
      assert.equal(new Set(names(rows)).size, rows.length, "no name twice");
    }
});

test("five hundred layers stay few rows, also where one is open", () => {
  const modules = transformer(500);
  assert.ok(folded(modules, null).length <= MOST_MODULES);
  assert.ok(folded(modules, 1500).length <= 2 * MOST_MODULES);
  assert.match(names(folded(modules, null))[1], /^h\.\d+ … \d+$/);
});

test("few modules, or those without blocks, are rows of their own", () => {
  assert.equal(foldable(transformer(2)), false);
  assert.equal(foldable(transformer(12)), true);
  assert.deepEqual(names(unfolded(["a", "b.0.c"])), ["a", "b.0.c"]);
});

test("a block that comes again is another row", () => {
  const modules = [...transformer(8), "h.0.again.x", "h.0.again.y"];
  const rows = folded(modules, null);
  assert.deepEqual(rows[rows.length - 1].members, [modules.length - 2, modules.length - 1]);
  assert.equal(new Set(names(rows)).size, rows.length);
});

test("an opened block has no more rows than all have, and the module that is looked at is one of them", () => {
  const experts = Array.from({ length: 3 }, (_, i) => Array.from({ length: 700 }, (_, j) => `h.${i}.experts.${j}.w`)).flat();
  for (const modules of [experts, [...experts, "h.1", "h.1.b", ...transformer(2000)]])
    for (const at of [0, 700, 701, 1399, 1400, 2099]) {
      const rows = folded(modules, at);
      assert.ok(rows.length <= 3 * MOST_MODULES, `${rows.length} rows`);
      assert.deepEqual(rows.flatMap(({ members }) => members), modules.map((_, i) => i)); // prettier-ignore
      assert.ok(rows.some(({ name, members }) => name === modules[at] && members.length === 1 && members[0] === at));
      assert.equal(new Set(names(rows)).size, rows.length, "no name twice");
    }
});

test("a block of one module goes by the module's name, also beside a block that comes again", () => {
  const modules = ["h.0.a", "x", "h.0", "h.0.b", ...transformer(8).slice(8)];
  for (const at of [null, 0, 2, 3]) {
    const rows = folded(modules, at);
    assert.equal(rows[0].name, "h.0.a");
    assert.equal(new Set(names(rows)).size, rows.length, "no name twice");
  }
});
