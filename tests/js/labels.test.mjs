import assert from "node:assert/strict";
import { test } from "node:test";
import { boxOf, inside, meet, placed } from "../../static/js/lab/labels.js";

/** @type {import("../../static/js/lab/labels.js").Area} */
const AREA = { width: 600, height: 200, blocks: 50, range: [-2, 2], log: true, char: 6, line: 14 };
const x = Array.from({ length: 50 }, (_, i) => i + 1);
const curve = (/** @type {(i: number) => number} */ of) => ({ x, y: x.map(of) });
const label = (/** @type {number} */ trace, more = {}) => ({ trace, at: 0.84, side: "top", color: "c", name: "std", ...more });
const apart = (/** @type {any[]} */ annotations) => annotations.every((a, i) => annotations.slice(i + 1).every((b) => !meet(boxOf(a, AREA), boxOf(b, AREA))));

test("a name alone stands where it is wanted, over its curve", () => {
  const [found] = placed([label(0)], [curve(() => 1)], [], AREA);
  assert.deepEqual([found.text, found.x, found.y, found.xanchor, found.yanchor], ["std", 42, 0, "right", "bottom"]);
});

test("the names of curves that are one stand apart", () => {
  const same = curve(() => 1);
  const labels = [label(0), label(1, { name: "theory" }), label(2, { name: "|mean|" })];
  const found = placed(labels, [same, same, same], [], AREA);
  assert.equal(found.length, 3);
  assert.ok(apart(found));
});

test("a name keeps clear of what is written already, and of other curves", () => {
  const other = { text: "Inf 38 · NaN 39", x: 42, y: 0, xref: "x", yref: "y", xanchor: "right", yanchor: "bottom" };
  const [beside] = placed([label(0)], [curve(() => 1)], [other], AREA);
  assert.ok(!meet(boxOf(beside, AREA), boxOf(other, AREA)));
  const [under] = placed([label(0)], [curve(() => 1), curve(() => 1.3)], [], AREA);
  assert.equal(under.yanchor, "top");
});

test("a name stays in the chart where its curve leaves it", () => {
  const [found] = placed([label(0)], [curve(() => 1e6)], [], AREA);
  const { top, bottom } = boxOf(found, AREA);
  assert.ok(top >= 0 && bottom <= AREA.height);
});

test("a band is named at its lower edge, a curve that is not known not at all", () => {
  const band = { x: [...x, ...[...x].reverse()], y: [...x.map(() => 10), ...x.map(() => 0.1)] };
  const [found] = placed([label(0, { side: "inside", at: 0.6 })], [band], [], AREA);
  assert.deepEqual([found.y, found.yanchor], [-1, "bottom"]);
  assert.deepEqual(
    placed(
      [label(0), label(1)],
      [
        { ...curve(() => 1), visible: false },
        { x, y: x.map(() => null) },
      ],
      [],
      AREA,
    ),
    [],
  );
});

test("a single layer has its names in the middle, and a linear axis is taken as it is", () => {
  /** @type {import("../../static/js/lab/labels.js").Area} */
  const area = { ...AREA, blocks: 1, range: [0, 1.02], log: false };
  const [found] = placed([label(0, { at: 0.5 })], [{ x: [1], y: [0.5] }], [], area);
  assert.deepEqual([found.x, found.y, found.xanchor], [1, 0.5, "center"]);
});

test("of places that are clear the first is taken, however far it is, before one over a curve", () => {
  const noisy = { x: Array.from({ length: 500 }, (_, i) => 1 + i / 10), y: Array.from({ length: 500 }, (_, i) => (i > 250 ? (i % 2 ? 50 : 0.02) : 0.02)) };
  const [found] = placed([label(0)], [curve(() => 1), noisy], [], AREA);
  assert.ok(boxOf(found, AREA).right < AREA.width * 0.51, "beside the part that is full");
});

test("beside a curve that rises its name is written to the left of it, over it", () => {
  const rising = curve((i) => 10 ** ((i - 25) / 14));
  const under = curve((i) => 0.6 * 10 ** ((i - 25) / 14));
  const [found] = placed([label(0, { at: 0.5, name: "95 of 100 seeds" })], [rising, under], [], AREA);
  assert.deepEqual([found.x, found.xanchor, found.yanchor], [25, "right", "bottom"]);
});

test("a band's way back is a curve that a name keeps clear of", () => {
  const band = { x: [...x, ...[...x].reverse()], y: [...x.map(() => 50), ...x.map(() => 1.3)] };
  const [found] = placed([label(0)], [curve(() => 1), band], [], AREA);
  assert.equal(found.yanchor, "top");
});

test("what would stand out of the chart stands under its line", () => {
  const limit = { text: "float32 max", x: 0.005, y: 1.9, xref: "paper", yref: "y", xanchor: "left", yanchor: "bottom" };
  const low = inside(limit, AREA);
  assert.deepEqual([low.yanchor, boxOf(low, AREA).top >= 0], ["top", true]);
  assert.equal(inside({ ...limit, y: 1 }, AREA).yanchor, "bottom");
});

test("bars are named over them", () => {
  const bars = { x, y: x.map((i) => (i % 2 ? 30 : 40)) };
  for (const at of [0.2, 0.5, 0.84]) assert.equal(placed([label(0, { at, side: "over" })], [bars], [], { ...AREA, range: [-2, 2] })[0].yanchor, "bottom");
});

test("a band in pieces is named in its longest one", () => {
  const piece = (/** @type {number[]} */ xs) => ({ x: [...xs, ...[...xs].reverse()], y: [...xs.map(() => 10), ...xs.map(() => 0.1)] });
  const [short, long] = [piece([1, 2]), piece(x.slice(9))];
  const joined = { x: /** @type {any} */ ([...short.x, null, ...long.x]), y: [...short.y, null, ...long.y], meta: long };
  const [found] = placed([label(0, { side: "inside", at: 0.6 })], [joined], [], AREA);
  assert.equal(found.y, -1);
  assert.deepEqual(found, placed([label(0, { side: "inside", at: 0.6 })], [long], [], AREA)[0]);
});

test("names of curves that are known in a part of the chart alone stand apart along it", () => {
  const late = (/** @type {number} */ factor) => curve((i) => (i < 40 ? 0 : factor * 10 ** ((45 - i) / 3)));
  const labels = [
    label(0, { at: 0.3, name: "std of ∂L/∂y" }),
    label(1, { at: 0.3, name: "theory" }),
    label(2, { at: 0.3, name: "95 of 100 seeds", side: "bottom" }),
  ];
  const found = placed(labels, [late(1), late(1.05), late(0.9)], [], AREA);
  assert.equal(found.length, 3);
  assert.ok(apart(found));
});
