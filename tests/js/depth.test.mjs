import assert from "node:assert/strict";
import test from "node:test";

const none = /** @type {any} */ ({ addEventListener() {}, querySelector: () => null });
Object.assign(globalThis, { document: none, window: none });
const { along, decades, ending, missing, ticks, within } = await import("../../static/js/runs/depth.js");

/** @type {import("../../static/js/runs/depth.js").Figures[]} */
const FIGURES = [
  [1, 0.5, 0, 2, 0],
  [0.1, null, 0, null, 0],
  [null, null, 3, 1e-9, 1],
];
const rows = [
  { name: "a", members: [0] },
  { name: "h.0", members: [1, 2] },
  { name: "new", members: [7] },
];

test("a row has its module's figures, a closed block its worst module's, of each side on its own", () => {
  const moment = { step: 1, figures: FIGURES, worst: (/** @type {number[]} */ members, /** @type {string} */ side) => members[side === "activations" ? 1 : 0] };
  assert.deepEqual(along(moment, rows, "activations"), { whose: [0, 2, 7], spread: [1, null, null], mean: [0.5, null, null], lost: [0, 3, 0] });
  assert.deepEqual(along(moment, rows, "gradients"), { whose: [0, 1, 7], spread: [2, null, null], mean: [], lost: [0, 0, 0] });
});

test("what has no place on a logarithmic axis is said", () => {
  assert.equal(missing(0, 0.5), null);
  assert.equal(missing(0, null), null);
  assert.equal(missing(0, 0), "std 0");
  assert.equal(missing(2, null), "NaN, nothing finite");
  assert.equal(missing(3, 0), "Inf and NaN among its entries");
});

test("what stands at an axis' end is drawn, however a power of ten is rounded", () => {
  for (let low = -30; low < 30; low += 0.37) {
    const range = /** @type {[number, number]} */ ([low, low + 2.28]);
    const [bottom, top] = within(range).map((end) => Math.log10(10 ** end));
    assert.ok(bottom > range[0] && top < range[1]);
    assert.ok(range[1] - top < 0.01);
  }
});

test("the axis goes over whole decades, and so stands still where a curve moves within them", () => {
  assert.deepEqual(decades([0.2, -3, null, 0]), [0.1, 10]);
  assert.deepEqual(decades([0.11, 9.9]), decades([0.9, 1.01, 0.5]));
  assert.deepEqual(decades([null, 0]), []);
  for (const value of [5e-324, 1.7e308]) assert.ok(decades([value]).every((end) => end > 0 && Number.isFinite(end)));
});

test("of many names as many are written as there is room for, whole", () => {
  const names = Array.from({ length: 30 }, (_, i) => `linear${i + 1}`);
  for (const width of [200, 400, 900]) {
    const places = ticks(names, width, 6, 10);
    assert.ok(places.length > 1);
    const boxes = places.map((place) => {
      const [middle, half] = [((place - 0.5) * width) / names.length, 3 * names[place - 1].length];
      return [middle - half, middle + half];
    });
    boxes.forEach(([left, right], i) => assert.ok(left >= -10 && right <= width + 10 && (i === 0 || left > boxes[i - 1][1])));
  }
  assert.deepEqual(ticks(["a", "b"], 300, 6, 10), [1, 2]);
  assert.deepEqual(ticks([], 300, 6, 10), []);
});

test("a long name is its last parts", () => {
  assert.equal(ending("transformer.h.3"), "…h.3");
  assert.equal(ending("transformer.h.11.attn.c_attn"), "…c_attn");
  assert.equal(ending("transformer.aggregation_of_all"), "transformer.aggregation_of_all");
  for (const whole of ["linear1", "", "h.0.attn"]) assert.equal(ending(whole), whole);
});
