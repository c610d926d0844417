import assert from "node:assert/strict";
import test from "node:test";

const none = /** @type {any} */ ({ addEventListener() {}, querySelector: () => null });
Object.assign(globalThis, { document: none, window: none });
const { bounds, cells, told } = await import("../../static/js/runs/spread.js");

/** @param {number} first @param {number[]} positive @param {number[]} negative @param {Record<string, number>} [more] */
const histogram = (first, positive, negative, more = {}) => ({
  exponents: positive.map((_, i) => first + i),
  positive,
  negative,
  zeros: 0,
  nan: 0,
  posinf: 0,
  neginf: 0,
  ...more,
  count: [...positive, ...negative, ...Object.values(more)].reduce((sum, n) => sum + n, 0),
});

test("every entry of a step is in one of its cells", () => {
  const values = [histogram(-3, [1, 0, 9], [0, 0, 91], { zeros: 7 }), null, histogram(0, [2], [0], { nan: 3, posinf: 1, neginf: 4 })];
  const { powers, zeros, lost, most } = cells(values, { low: -3, high: 0 });
  assert.equal(most, 100);
  values.forEach((h, column) => {
    const all = [...powers.z, ...zeros.z, ...lost.z].map((row) => row[column]).filter((z) => z !== null);
    assert.equal(Math.round(all.reduce((sum, z) => sum + 10 ** z, 0)), h?.count ?? 0);
  });
  assert.deepEqual(
    powers.z.map((row) => row[0] !== null),
    [true, false, true, false],
  );
  assert.equal(powers.customdata[2][0], "2⁻¹ to 2⁰: 9 positive, 91 negative");
  assert.equal(lost.customdata[0][2], "1 +Inf, 4 −Inf");
  assert.equal(lost.customdata[1][2], "3 NaN");
});

test("rows of zeros and of what is not finite are apart from the powers and from one another", () => {
  for (const size of [1, 10, 300]) {
    const { powers, zeros, lost } = cells([null], { low: 0, high: size - 1 });
    assert.equal(powers.y.length, size + 1);
    assert.ok(zeros.y[1] < powers.y[0] && powers.y[size] < lost.y[0]);
    const share = (zeros.y[1] - zeros.y[0]) / (lost.y[2] - zeros.y[0]);
    assert.ok(share > 0.04, `${share} of the height`);
  }
});

test("a format's limits are on the axis where they are near", () => {
  const float16 = { max: 65504, tiny: 2 ** -14 };
  assert.deepEqual(bounds([histogram(-3, [1, 1], [0, 0])], float16), { low: -3, high: -2 });
  assert.deepEqual(bounds([histogram(-3, [1], [0]), histogram(13, [1], [0])], float16), { low: -3, high: 16 });
  assert.deepEqual(bounds([histogram(-12, [1], [0])], float16), { low: -16, high: -12 });
  assert.deepEqual(bounds([histogram(-24, [1], [0])], float16), { low: -24, high: -24 });
  assert.deepEqual(bounds([null, histogram(0, [], [], { nan: 2 })], undefined), { low: -8, high: 1 });
});

test("a step is told in words", () => {
  assert.equal(told(histogram(-3, [1000, 1], [0, 0], { zeros: 2, nan: 1 })), "1,004 entries, from 2⁻³ to 2⁻¹; 2 zeros; 1 NaN");
  assert.equal(told(histogram(0, [], [], { zeros: 2 })), "2 entries, none but zero; 2 zeros");
  assert.equal(told(null), "not recorded");
});
