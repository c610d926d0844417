import assert from "node:assert/strict";
import test from "node:test";

const none = /** @type {any} */ ({ addEventListener() {}, querySelector: () => null });
Object.assign(globalThis, { document: none, window: none });
const { band } = await import("../../static/js/lab/charts.js");

test("a band goes there along its upper edge and back along its lower one", () => {
  assert.deepEqual(band([1, 2, 3], [0.1, 0.2, 0.3], [1, 2, 3]), {
    x: [1, 2, 3, 3, 2, 1],
    y: [1, 2, 3, 0.3, 0.2, 0.1],
    visible: true,
    meta: { x: [1, 2, 3, 3, 2, 1], y: [1, 2, 3, 0.3, 0.2, 0.1] },
  });
});

test("where layers have no band nothing is drawn, and a layer alone has one of some width", () => {
  const { x, y, meta } = /** @type {any} */ (band([1, 2, 3, 4], [0.1, 0.2, null, 0.4], [1, 2, null, 4]));
  assert.deepEqual(x, [1, 2, 2, 1, null, 3.75, 4.25, 4.25, 3.75]);
  assert.deepEqual(y, [1, 2, 0.2, 0.1, null, 4, 4, 0.4, 0.4]);
  assert.deepEqual(meta.x, [1, 2, 2, 1]);
  assert.equal(band([1], [null], [null]).visible, false);
});
