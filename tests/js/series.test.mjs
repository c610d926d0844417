import assert from "node:assert/strict";
import { test } from "node:test";

import { Series } from "../../static/js/lab/series.js";

/** Two blocks: linear, norm, relu; linear, relu, add; and the output. */
const series = () =>
  new Series({
    experiment: {},
    blocks: [
      [0, 1, 2, 2],
      [3, 3, 5, 5],
      [6, 6, 6, 6],
    ],
  });
/** @param {string} cell @returns {any} */
const row = (cell) => [cell, 1, 2, 3, 4, -5, [6, 7]];
const tensor = (/** @type {string} */ cell) => ({ cell, spread: 1, lost: 2, zeros: 3, count: 4, exponent: -5, counts: [6, 7] });

test("rows add to what is known of their layers, and say which blocks those are", () => {
  const some = series();
  assert.deepEqual(
    [
      ...some.forward([
        [3, row("q1"), 0.5, null, row("q2"), null],
        [4, row("q3"), 0, 0.25, null, 0.5],
      ]),
    ],
    [2],
  );
  assert.deepEqual(
    [
      ...some.backward([
        [6, row("q4"), 8],
        [3, row("q5"), 9],
      ]),
    ],
    [3, 2],
  );
  assert.deepEqual(some.layers[3], { activation: tensor("q1"), mean: 0.5, dead: null, flat: null, weight: tensor("q2"), gradient: tensor("q5"), norm: 9 });
  assert.deepEqual(some.layers[4], { activation: tensor("q3"), mean: 0, dead: 0.25, flat: 0.5, weight: null, gradient: null, norm: null });
  assert.equal(some.layers[0].activation, null, "the others stay unknown");
});

test("it is complete when the backward pass has come to the first layer", () => {
  const some = series();
  assert.equal(some.complete, false);
  some.backward([[0, row("q1"), null]]);
  assert.equal(some.complete, true);
});

test("one value a block, from before φ, after it, or from the linear map", () => {
  const some = series();
  some.forward([0, 1, 2, 3, 4, 5, 6].map((index) => [index, row("q1"), index, null, null, null]));
  const means = (/** @type {"before"|"after"|"linear"} */ side) => some.each((layer) => layer.mean, side);
  assert.deepEqual([means("before"), means("after"), means("linear")], [[1, 3, 6], [2, 5, 6], [0, 3, 6]]); // prettier-ignore
});

test("where the linear map ends a block its φ is flat, and its φ's units fall silent", () => {
  const some = new Series({
    experiment: {},
    blocks: [
      [1, 0, 2, 0],
      [5, 3, 6, 4],
      [7, 7, 7, 7],
    ],
  });
  some.forward([0, 1, 2, 3, 4, 5, 6, 7].map((index) => [index, row("q1"), index, null, null, index / 10]));
  assert.deepEqual(some.flat, [0, 0.4, null]);
  assert.deepEqual(some.each((layer) => layer.mean, "silent"), [0, 4, 7]); // prettier-ignore
  assert.deepEqual(some.blockOf, [1, 1, 1, 2, 2, 2, 2, 3]);
});

test("a drawing that comes at once is the same as one that comes in pieces", () => {
  const start = { experiment: { depth: 1 }, blocks: /** @type {[number, number, number, number][]} */ ([[0, 0, 1, 1]]) };
  /** @type {any} */
  const forward = [
    [0, row("q1"), 0, null, row("q2"), null],
    [1, row("q3"), 0, 0, null, 0.5],
  ];
  /** @type {any} */
  const backward = [
    [1, row("q4"), null],
    [0, row("q5"), 3],
  ];
  const whole = Series.of({ start, forward, backward, theory: {}, verdict: "holds" });
  const pieces = new Series(start);
  pieces.forward(forward.slice(0, 1));
  pieces.forward(forward.slice(1));
  pieces.backward(backward);
  assert.deepEqual(whole.layers, pieces.layers);
  assert.equal(whole.verdict, "holds");
});
