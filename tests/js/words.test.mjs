import assert from "node:assert/strict";
import { test } from "node:test";
import { placeOf } from "../../static/js/words.js";

const DRAWN = {
  _size: { l: 50, t: 10, w: 200, h: 100 },
  xaxis: { range: [0.5, 50.5] },
  yaxis: { range: [-2, 2] },
  font: { family: "mono", size: 12, color: "#000" },
};
const said = (/** @type {any} */ more) => ({ text: "std", x: 0.5, y: 2, xref: "x", yref: "y", ...more });

test("words stand where Plotly would write them: in the axes' own units, or in shares of the paper", () => {
  assert.deepEqual(placeOf(said({}), DRAWN), [50, 10]);
  assert.deepEqual(placeOf(said({ x: 50.5, y: -2 }), DRAWN), [250, 110]);
  assert.deepEqual(placeOf(said({ x: 25.5, y: 0 }), DRAWN), [150, 60]);
  assert.deepEqual(placeOf(said({ x: 0.25, xref: "paper", y: 0.25, yref: "paper" }), DRAWN), [100, 85]);
});

test("a shift is in pixels", () => assert.deepEqual(placeOf(said({ xshift: 4 }), DRAWN), [54, 10]));

test("an axis that runs the other way is followed", () => {
  assert.deepEqual(placeOf(said({ y: -2 }), { ...DRAWN, yaxis: { range: [2, -2] } }), [50, 10]);
});
