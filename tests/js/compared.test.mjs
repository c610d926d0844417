import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.document = /** @type {any} */ ({ addEventListener: () => {}, documentElement: {} });
globalThis.getComputedStyle = /** @type {any} */ (() => ({ getPropertyValue: (/** @type {string} */ name) => name }));
const { apart, charts, scale } = await import("../../static/js/compare/lines.js");
const { logTicks } = await import("../../static/js/lab/axes.js");

const run = (/** @type {string} */ letter, /** @type {(number|null)[]} */ loss, /** @type {number[]} */ lost = []) => ({
  letter, steps: loss.map((_, i) => i + 1), loss, lost, values: loss.map(() => null), faulty: [],
}); // prettier-ignore

test("a scale goes by powers of ten where they tell more, and leaves room for what has not exploded", () => {
  assert.equal(scale([1, 2, 3], null).log, false);
  assert.deepEqual(scale([0.01, 1], null), { log: true, range: [-2.1, 0.1] });
  const exploding = scale([1, 1, 1, 1e30], null);
  assert.deepEqual(exploding, { log: true, range: [-0.1, 3.1] });
  assert.equal(scale([-1, 1], null).log, false);
  assert.deepEqual(scale([], true), { log: false, range: [-0.06, 1.06] });
});

test("each run has its line, its marks above it, and its letter where it ends", () => {
  const { loss, quantity } = charts({ runs: [run("A", [1, 0.5]), run("B", [1, null, null], [2, 3])], log: true }, 2);
  assert.equal(loss.traces.length, 4);
  assert.deepEqual(/** @type {any} */ (loss.traces[3]).x, [2, 3]);
  assert.deepEqual(loss.layout.annotations.map((/** @type {any} */ a) => [a.text, a.x]), [["A", 2], ["B", 1]]); // prettier-ignore
  assert.equal(loss.layout.shapes[0].x0, 2);
  assert.deepEqual(quantity.layout.annotations, []);
});

test("letters that would cover one another are moved apart, and stay inside", () => {
  const moved = apart([{ share: 1 }, { share: 1 }, { share: 0.2 }]);
  assert.deepEqual(moved.map(({ share }) => Math.round(100 * share)), [15, 95, 100]); // prettier-ignore
});

test("a log axis has ticks at powers; over few of them at others too, each written out", () => {
  assert.deepEqual(logTicks([-2.1, 3.1]).ticktext, ["10⁻²", "10⁻¹", "1", "10", "10²", "10³"]);
  assert.deepEqual(logTicks([-0.4, 1.2]).ticktext, ["0.5", "1", "2", "5", "10"]);
  assert.deepEqual(logTicks([5.2, 6.9]).ticktext, ["2×10⁵", "5×10⁵", "1×10⁶", "2×10⁶", "5×10⁶"]);
  assert.deepEqual(logTicks([2, 300], 3).tickvals, [1e100, 1e200, 1e300]);
});
