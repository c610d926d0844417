import assert from "node:assert/strict";
import { test } from "node:test";

import { Profile } from "../../static/js/lab/profile.js";

const layers = [
  [1, "linear"],
  [1, "batch_norm"],
  [1, "relu"],
  [2, "linear"],
  [2, "relu"],
  [2, "add"],
  [3, "linear"],
].map(([block, kind], index) => ({ index, block, kind }));

const profile = () => new Profile({ experiment: {}, layers });

test("each block knows its linear layer, what comes before φ and what it hands on", () => {
  assert.deepEqual(profile().blocks, [
    { block: 1, linear: 0, before: 1, after: 2 },
    { block: 2, linear: 3, before: 3, after: 5 },
    { block: 3, linear: 6, before: 6, after: 6 },
  ]);
});

test("a record adds to what is known of its layer and forgets nothing", () => {
  const some = profile();
  assert.deepEqual([...some.add([{ index: 3, activation: "A", parameters: { weight: { value: "W" } } }])], [2]);
  some.add([{ index: 3, gradient: "G", parameters: { weight: { gradient: "dW" } } }]);
  assert.deepEqual(some.layers[3], {
    index: 3,
    block: 2,
    kind: "linear",
    activation: "A",
    gradient: "G",
    parameters: { weight: { value: "W", gradient: "dW" } },
  });
  assert.deepEqual(layers[3], { index: 3, block: 2, kind: "linear" }, "what it was made from is untouched");
});

test("it is complete when the backward pass has come to the first layer", () => {
  const some = profile();
  assert.equal(some.complete, false);
  some.add([{ index: 0, gradient: "G" }]);
  assert.equal(some.complete, true);
});

test("one value a block, before or after φ", () => {
  assert.deepEqual(
    profile().each((layer) => layer.kind, "before"),
    ["batch_norm", "linear", "linear"],
  );
  assert.deepEqual(
    profile().each((layer, { block }) => `${block} ${layer.kind}`, "after"),
    ["1 relu", "2 add", "3 linear"],
  );
});
