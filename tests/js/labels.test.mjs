import assert from "node:assert/strict";
import { test } from "node:test";
import { boxOf, meet, placed } from "../../static/js/lab/labels.js";

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
