import assert from "node:assert/strict";
import { test } from "node:test";

import { Plane } from "../../static/js/maps/plane.js";

/** @param {string} parameter @param {(string|number)[]} values @returns {any} */
const axis = (parameter, values, number = true) => ({ parameter, title: parameter, number, values: values.map(String), experiment: parameter !== "steps" });
const display = { name: "loss", title: "Loss", log: true, centre: null, bounds: null, levels: [], ramp: "amount", scale: [], lines: {} };
/** @param {any} more @returns {any} */
const drawing = (more = {}) => ({
  x: axis("depth", [1, 2, 3, 4, 5]), y: axis("activation", ["relu", "tanh", "gelu"], false), cells: [], after: 0,
  display, id: "a", state: "running", lab: "/", query: "width=8", theory: "", ...more,
}); // prettier-ignore

test("a cell that is to come is shown as the nearest coarser one", () => {
  const plane = new Plane(drawing({ cells: [[0, 0, 1, null, ""], [0, 4, 9, null, ""], [2, 2, 5, null, ""]] })); // prettier-ignore
  assert.equal(plane.shown(1, 1)?.[2], 1);
  assert.equal(plane.shown(1, 4)?.[2], 9);
  assert.equal(plane.shown(2, 3)?.[2], 5);
  plane.add([[1, 1, 7, null, ""]]);
  assert.equal(plane.shown(1, 1)?.[2], 7);
  assert.equal(new Plane(drawing()).shown(2, 4), null);
});

test("a number that is none is a fault, and says why", () => {
  const plane = new Plane(drawing({ cells: [[0, 0, null, null, "nan"], [0, 1, 10, 0.5, ""]] })); // prettier-ignore
  const { faults, shades } = plane.layers();
  assert.equal(faults[0][0], 1);
  assert.equal(shades[0][0], null);
  assert.equal(shades[0][1], 1);
  assert.match(plane.words({ row: 0, column: 0 }), /nan/);
  assert.match(plane.words({ row: 0, column: 1 }), /10\.0 ± 0\.500/);
  assert.match(plane.words({ row: 2, column: 4 }), /to come/);
});

test("the scale is around its centre, within its bounds, or of its levels", () => {
  const cells = [[0, 0, 0.01, null, ""], [0, 1, 10, null, ""]]; // prettier-ignore
  assert.deepEqual(new Plane(drawing({ cells, display: { ...display, centre: 1 } })).range(), [-2, 2]);
  assert.deepEqual(new Plane(drawing({ cells, display: { ...display, bounds: [0, 1] } })).range(), [0, 1]);
  assert.deepEqual(new Plane(drawing({ cells, display: { ...display, levels: ["a", "b"] } })).range(), [-0.5, 1.5]);
  assert.deepEqual(new Plane(drawing({ cells })).range(), [-2, 1]);
  assert.deepEqual(new Plane(drawing()).range(), [0, 1]);
});

test("a cell's Lab has its values and the rest of the experiment", () => {
  assert.equal(new Plane(drawing()).lab({ row: 1, column: 2 }), "/?width=8&depth=3&activation=tanh");
  assert.equal(new Plane(drawing({ x: axis("steps", [1, 2]) })).lab({ row: 0, column: 1 }), "/?width=8&activation=relu");
});

test("marked cells are the ends of a range, or a list", () => {
  const plane = new Plane(drawing());
  assert.deepEqual(plane.zoomed({ row: 0, column: 3 }, { row: 1, column: 1 }), { x_from: "2", x_to: "4", x_values: "", y_values: "relu,tanh" });
  assert.deepEqual(plane.zoomed({ row: 2, column: 0 }, { row: 2, column: 0 }), { x_from: "1", x_to: "2", x_values: "", y_values: "gelu" });
});

test("what is shown at a cell is text to Plotly, but for its one line break", () => {
  const plane = new Plane(drawing({ cells: [[0, 0, null, null, "<b>&"]] })); // prettier-ignore
  assert.ok(plane.layers().words[0][0].endsWith("<br>Loss &lt;b>&amp;"));
});
