import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { number, percent, raised, whole } from "../../static/js/format.js";

// tests/app/test_figures.py holds app/figures/text.py against the same table.
const table = JSON.parse(await readFile(new URL("numbers.json", import.meta.url), "utf8"));

for (const [value, text] of table) test(`${value} reads ${text}`, () => assert.equal(number(value), text));

test("what is not there reads as a dash, whichever way it is missing", () => assert.equal(number(undefined), "–"));

test("exponents are raised digit by digit, with their sign", () => {
  assert.equal(raised(-120), "⁻¹²⁰");
  assert.equal(raised(7), "⁷");
});

test("a share of nothing is no number", () => {
  assert.equal(percent(1, 8), "12.5 %");
  assert.equal(percent(0, 8), "0 %");
  assert.equal(percent(0, 0), "–");
});

test("thousands stand apart", () => {
  assert.equal(whole(999), "999");
  assert.equal(whole(1234567), "1\u2009234\u2009567");
});
