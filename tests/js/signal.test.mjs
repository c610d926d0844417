import assert from "node:assert/strict";
import test from "node:test";

const none = /** @type {any} */ ({ addEventListener() {}, querySelector: () => null });
Object.assign(globalThis, { document: none, window: none });
const { distance, farthest, words } = await import("../../static/js/runs/signal.js");

/** @param {string|null} activation @param {string|null} [gradient] @returns {any} */
const pair = (activation, gradient = null) => [activation, activation && `a ${activation}`, gradient, gradient && `g ${gradient}`];

test("what is not finite is farther than any size, and nothing nearer than all", () => {
  const order = [null, "q16", "q15", "q18 s-tiny", "q0", "q32", "s-zero", "s-inf", "s-nan"];
  const found = order.map(distance);
  assert.deepEqual(
    found,
    [...found].sort((a, b) => a - b),
  );
  assert.equal(found[4], found[5]);
});

test("a row shows the farthest of its modules, of each side on its own", () => {
  const modules = [pair("q16", "s-zero"), pair("q20", "q16"), pair("q12", null), pair("s-nan")];
  assert.equal(farthest(modules, [0, 1, 2], 0), 1);
  assert.equal(farthest(modules, [0, 1, 2], 2), 0);
  assert.equal(farthest(modules, [0, 1, 2, 3], 0), 3);
  assert.equal(
    words({ name: "h.0", members: [0, 1, 2] }, modules, ["h.0.a", "h.0.b", "h.0.c"]),
    "h.0, 3 modules: activation (worst: h.0.b) a q20; gradient (worst: h.0.a) g s-zero",
  );
  assert.equal(words({ name: "", members: [2] }, modules, []), "the whole: activation a q12; gradient not recorded");
});
