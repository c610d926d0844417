import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { asWritten, literal, number, raised } from "../../static/js/format.js";

// tests/app/test_figures.py holds app/figures/text.py against the same table.
const table = JSON.parse(await readFile(new URL("numbers.json", import.meta.url), "utf8"));

for (const [value, text] of table) test(`${value} reads ${text}`, () => assert.equal(number(value), text));

test("what is not there reads as a dash, whichever way it is missing", () => assert.equal(number(undefined), "–"));

test("exponents are raised digit by digit, with their sign", () => {
  assert.equal(raised(-120), "⁻¹²⁰");
  assert.equal(raised(7), "⁷");
});

test("what is written literally reads as it was, a less-than sign's name too", () => {
  const text = "&lt;<&";
  assert.equal(literal(text), "&amp;lt;&lt;&amp;");
  assert.equal(asWritten(literal(text)), text);
});
