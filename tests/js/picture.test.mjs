import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.document = /** @type {any} */ ({ addEventListener: () => {} });
const { Picture, short, stepAxis } = await import("../../static/js/runs/picture.js");

const DISPLAYS = {
  std: { scale: [], span: 4, log: true, centre: 1 },
  gradient_std: { scale: [], span: 4, log: true, centre: null },
  dead_share: { scale: [], span: 1, log: false, centre: null },
};
const picture = (quantity = "std") =>
  new Picture(
    /** @type {any} */ ({
      quantity,
      modules: ["a", "b"],
      steps: [1, 2],
      loss: [3, 2],
      lost: [false, false],
      columns: [
        [1, 10],
        [0.1, null],
      ],
      faults: [[], [1]],
      marks: [],
    }),
    /** @type {any} */ (DISPLAYS),
  );

test("columns that are there already are not added again", () => {
  const some = picture();
  some.add({ steps: [2, 3], loss: [9, 1], lost: [false, true], columns: [[7, 7], [5, 6]], faults: [[], [0]] }); // prettier-ignore
  assert.deepEqual(some.steps, [1, 2, 3]);
  assert.deepEqual(some.loss, [3, 2, 1]);
  assert.deepEqual(some.columns[2], [5, 6]);
});

test("a module's name is text to Plotly too, and its label leads back to it", () => {
  const some = picture();
  some.rename(['<a href="https://example.org">a</a>', "b &lt;"]);
  const { traces, layout } = some.map({ step: null, row: null });
  const labels = /** @type {any} */ (traces[0]).y;
  assert.deepEqual(labels, ['&lt;a href="https://example.org">a&lt;/a>', "b &amp;lt;"]);
  assert.deepEqual(layout.yaxis.tickvals, labels);
  assert.ok(layout.yaxis.ticktext.every((/** @type {string} */ text) => !text.includes("<")));
  assert.equal(some.labelled(labels[1], 1), "b &lt;");
  assert.equal(some.labelled("c", 1), null);
});

test("a value is coloured by its power of ten around the centre, within the scale", () => {
  const some = picture();
  assert.equal(some.shade(1), 0);
  assert.equal(some.shade(-100), 2);
  assert.equal(some.shade(1e9), 4);
  assert.equal(some.shade(0), -4);
  assert.equal(some.shade(null), null);
  assert.equal(picture("dead_share").shade(0.25), 0.25);
});

test("the middle of the scale follows what is shown", () => {
  const some = picture("gradient_std");
  const before = some.mapped().shades; // of 0.1, 1 and 10
  assert.deepEqual(before, [
    [0, -1],
    [1, null],
  ]);
  assert.equal(some.mapped().shades, before);
  some.add({ steps: [3], loss: [1], lost: [false], columns: [[10, 10]], faults: [[0]] });
  assert.deepEqual(some.mapped().shades, [
    [-1, -2, 0],
    [0, null, 0],
  ]);
  assert.deepEqual(some.mapped().faults, [
    [null, null, 1],
    [null, 1, null],
  ]);
});

test("arrows move within the picture", () => {
  const some = picture();
  assert.deepEqual(some.beside("a", 1, 1, 1), { module: "b", step: 2 });
  assert.deepEqual(some.beside("b", 2, 1, 1), { module: "b", step: 2 });
  assert.deepEqual(some.beside(null, null, 0, -1), { module: "a", step: 1 });
});

test("what is not finite is said, and a missing value is a dash", () => {
  const some = picture();
  assert.equal(some.readout("b", 2), "b at step 2: –, with entries that are not finite");
  assert.equal(some.readout("a", 1), "a at step 1: 1.00");
  assert.equal(some.readout("c", 1), "");
});

test("long names keep their end", () => {
  assert.equal(short("encoder.layers.11.attention.query"), "…1.attention.query");
  assert.equal(short("fc"), "fc");
});

const LAYERS = Array.from({ length: 6 }, (_, i) => [`h.${i}.a`, `h.${i}.b`, ...Array.from({ length: 8 }, (_, j) => `h.${i}.m.${j}`)]).flat();

function deep() {
  const some = picture();
  some.rename(LAYERS);
  some.columns = [LAYERS.map(() => 1), LAYERS.map((name) => (name === "h.2.m.3" ? 1e-3 : name === "h.2.a" ? 10 : 1))];
  some.faults = [[LAYERS.indexOf("h.4.b")], []];
  return some;
}

test("closed blocks show the worst of their modules, and what is not finite before all", () => {
  const some = deep();
  some.arrange(null, true);
  assert.deepEqual(some.rows.map(({ name }) => name), ["h.0", "h.1", "h.2", "h.3", "h.4", "h.5"]); // prettier-ignore
  const { values, faults } = some.mapped();
  assert.deepEqual(values[2], [1, 1e-3]);
  assert.deepEqual(faults.map((row) => row[0]), [null, null, null, null, 1, null]); // prettier-ignore
  const { traces } = some.map(some.cursor(null, null));
  const labels = /** @type {any} */ (traces[0]).y;
  assert.equal(labels[2], "h.2 · 10");
  assert.equal(some.labelled(labels[2], 2), "h.2.m.3");
  assert.equal(some.labelled(labels[4], 1), "h.4.b");
});

test("the block of the module that is looked at is open, and arrows pass every module", () => {
  const some = deep();
  some.arrange("h.1.m.7", true);
  assert.equal(some.rows.length, 15);
  assert.deepEqual(some.cursor("h.1.m.7", 1), { step: 1, row: 10 });
  assert.equal(some.beside("h.1.m.7", 1, 1, 0)?.module, "h.2.a");
  some.arrange("h.2.a", true);
  assert.equal(some.rows[2].name, "h.2.a");
  assert.equal(some.beside("h.2.a", 1, -1, 0)?.module, "h.1.m.7");
  some.arrange("h.2.a", false);
  assert.equal(some.rows.length, LAYERS.length);
  assert.equal(some.mapped().values.length, LAYERS.length);
});

test("a module without a value is never the worst of its block", () => {
  const some = deep();
  some.columns = [LAYERS.map((name) => (name.startsWith("h.1") ? null : name.endsWith(".b") ? 1 : null)), LAYERS.map((_, i) => (i % 10 === 9 ? 0.01 : null))];
  some.arrange(null, true);
  const { values, names } = some.mapped();
  assert.deepEqual(values.map((row) => row[0]), [1, null, 1, 1, 1, 1]); // prettier-ignore
  assert.deepEqual(values.map((row) => row[1]), LAYERS.filter((_, i) => i % 10 === 9).map(() => 0.01)); // prettier-ignore
  assert.equal(names[0][0], "<br>the worst: h.0.b");
});

/** What a picture of the same, made anew, shows. @param {InstanceType<typeof Picture>} some @param {string|null} module @param {boolean} fold */
function anew({ display, modules, steps, loss, lost, columns, faults, marks }, module, fold) {
  const other = new Picture(/** @type {any} */ ({ quantity: "its", modules, steps, loss, lost, columns, faults, marks }), { its: display });
  other.arrange(module, fold);
  return other;
}

test("cells that are kept are those worked out anew, whatever is looked at and comes in between", () => {
  for (const quantity of ["std", "gradient_std", "dead_share"]) {
    const some = picture(quantity);
    some.rename(LAYERS);
    some.columns = [LAYERS.map((_, i) => i / 60), LAYERS.map((_, i) => 1 - i / 60)];
    const looks = /** @type {[string|null, boolean][]} */ ([[null, true], ["h.2.a", true], ["h.2.b", true], ["h.4.m.1", true], [null, false], ["h.2.a", true]]); // prettier-ignore
    looks.forEach(([module, fold], round) => {
      some.arrange(module, fold);
      const step = some.steps[some.steps.length - 1] + 1;
      for (const more of [0, 1]) {
        const other = anew(some, module, fold);
        assert.deepEqual(some.rows, other.rows);
        assert.deepEqual(some.mapped(), other.mapped());
        assert.equal(some.centre, other.centre);
        const came = LAYERS.map((_, i) => (i % 7 === round ? null : Math.abs(Math.sin(step + more + i)) * 10 ** more));
        some.add({ steps: [step + more], loss: [1], lost: [false], columns: [came], faults: [round % 2 ? [round, 30] : []] });
      }
    });
    some.rename(LAYERS.map((name) => `net.${name}`));
    assert.deepEqual(some.mapped(), anew(some, null, false).mapped());
  }
});

test("the middle of the sizes is worked out once for as long as no column comes", () => {
  const some = deep();
  some.display = { ...some.display, centre: null };
  let asked = 0;
  some.columns = some.columns.map((column) => new Proxy(column, { get: (of, name) => (name === Symbol.iterator && asked++, Reflect.get(of, name)) }));
  for (const module of [null, "h.1.a", "h.2.a"]) {
    some.arrange(module, true);
    some.mapped();
  }
  assert.equal(asked, 2);
  some.add({ steps: [9], loss: [1], lost: [false], columns: [LAYERS.map(() => 5)], faults: [[]] });
  some.mapped();
  assert.equal(asked, 4);
});

test("steps are whole: of few each has a tick, of many as many as there is room for", () => {
  assert.deepEqual(stepAxis([0.5, 4.5]), { range: [0.5, 4.5], tickmode: "linear", tick0: 0, dtick: 1 });
  assert.equal(stepAxis([0.5, 300.5]).tickmode, "auto");
});

test("a loss that is one number has an axis around it as wide as it is large", () => {
  globalThis.getComputedStyle = /** @type {any} */ (() => ({ getPropertyValue: (/** @type {string} */ name) => name }));
  const some = picture();
  some.loss = [177000, null];
  assert.deepEqual(some.lossChart(/** @type {any} */ ({ step: null })).layout.yaxis.range.map(Math.round), [159300, 194700]);
  some.loss = [0, 0];
  assert.deepEqual(some.lossChart(/** @type {any} */ ({ step: null })).layout.yaxis.range, [-0.5, 0.5]);
});
