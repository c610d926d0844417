import assert from "node:assert/strict";
import { test } from "node:test";

import { css, magnitude, step, words } from "../../static/js/lab/magnitude.js";

/** Statistics of ten entries around 1, with some figures changed. @param {object} [changed] @returns {any} */
const of = (changed = {}) => ({ count: 10, finite: 10, mean: 0, std: 1, rms: 1, zeros: 0, subnormal: 0, nan: 0, posinf: 0, neginf: 0, ...changed });

test("half decades, and one colour for all that lies beyond", () => assert.deepEqual([1, 10, 1e-9, 1e38].map(step), [16, 18, 0, 32]));

test("the worst is shown: NaN before Inf before zero before a colour", () => {
  assert.equal(css(undefined), "s-none");
  assert.equal(css(of({ nan: 1, posinf: 1 })), "s-nan");
  assert.equal(css(of({ neginf: 1 })), "s-inf");
  assert.equal(css(of({ std: 0, rms: 0, zeros: 10 })), "s-zero");
  assert.equal(css(of()), "q16");
  assert.equal(css(of({ std: 1e-40, rms: 1e-40, zeros: 4, subnormal: 4 })), "q0 s-tiny");
  assert.equal(css(of({ std: 1e-40, rms: 1e-40, zeros: 4, subnormal: 3 })), "q0");
});

test("a tensor of one value has the colour of its rms", () => assert.equal(magnitude(of({ std: 0, rms: 2 })), 2));

test("words say what was lost, and how much of it", () => {
  assert.equal(words(null), "not computed yet");
  assert.equal(words(of()), "std 1.00, mean 0");
  assert.equal(words(of({ zeros: 10 })), "all zero");
  assert.equal(words(of({ nan: 2, posinf: 1, finite: 7 })), "std 1.00, mean 0, 2 NaN, 1 Inf");
  assert.equal(words(of({ nan: 10, finite: 0 })), "all NaN");
});
