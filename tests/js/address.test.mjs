import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { History, address, fill, fragment, plain, queryOf } from "../../static/js/lab/address.js";

/** A form, as far as its address needs one: controls with a name, a value and a default. */
const form = () =>
  /** @type {any} */ ({
    elements: [
      { name: "depth", type: "number", value: "50", dataset: { default: "50" } },
      { name: "inputs", type: "number", value: "", dataset: { default: "" } },
      { name: "activation", type: "select-one", value: "relu", dataset: { default: "relu" } },
      { name: "residual", type: "checkbox", checked: false, dataset: { default: "false" } },
      { name: "", type: "button", value: "no field", dataset: {} },
    ],
  });

/** @type {string[]} what was written, and how */
let written = [];

beforeEach(() => {
  written = [];
  const location = { pathname: "/", search: "", hash: "" };
  const write = (/** @type {string} */ how) => (/** @type {any} */ _state, /** @type {string} */ _title, /** @type {string} */ url) => {
    written.push(`${how} ${url}`);
    const { pathname, search, hash } = new URL(url, "http://page");
    Object.assign(location, { pathname, search, hash });
  };
  Object.assign(globalThis, { window: globalThis, location, history: { pushState: write("push"), replaceState: write("replace") } });
});

test("only what differs from the defaults is in the query, in the form's order", () => {
  const some = form();
  assert.equal(queryOf(some).toString(), "");
  some.elements[2].value = " tanh ";
  some.elements[0].value = "8";
  some.elements[3].checked = true;
  assert.equal(queryOf(some).toString(), "depth=8&activation=tanh&residual=true");
});

test("numbers are compared as numbers, and nothing is not zero", () => {
  const some = form();
  some.elements[0].value = "50.0";
  some.elements[1].value = "0";
  assert.equal(queryOf(some).toString(), "inputs=0");
});

test("a change stands in for the form's value", () => {
  assert.equal(queryOf(form(), { activation: "gelu", depth: 50 }).toString(), "activation=gelu");
});

test("a query fills the form, and what it does not name gets its default", () => {
  const some = form();
  some.elements[0].value = "8";
  fill(some, new URLSearchParams("activation=tanh&residual=on"));
  assert.deepEqual(
    some.elements.slice(0, 3).map((/** @type {any} */ e) => e.value),
    ["50", "", "tanh"],
  );
  assert.equal(some.elements[3].checked, true);
});

test("an address has a question mark and a hash only where something follows", () => {
  const [none, some] = [new URLSearchParams(), new URLSearchParams("a=1")];
  assert.equal(address(none, none), "/");
  assert.equal(address(some, none), "/?a=1");
  assert.equal(address(none, some), "/#a=1");
  location.hash = "#layer=3&side=before";
  assert.equal(fragment().get("layer"), "3");
});

test("a gesture is one entry in the history, however long it lasts", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const past = new History();
  for (const scale of [1.1, 1.2]) past.follow(`/?init_scale=${scale}`);
  mock.timers.tick(300);
  past.follow("/?init_scale=1.3");
  mock.timers.tick(300);
  past.settle();
  past.follow("/?depth=8");
  mock.timers.tick(300);
  mock.timers.reset();
  assert.deepEqual(written, ["push /?init_scale=1.2", "replace /?init_scale=1.3", "push /?depth=8"]);
});

test("the address changes once the hand rests, and of a gesture that another follows at once before that", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const past = new History();
  for (let i = 1; i <= 20; i++) {
    past.follow(`/?seed=${i}`);
    mock.timers.tick(100);
  }
  assert.deepEqual(written, []);
  past.settle();
  past.follow("/?depth=8");
  assert.deepEqual(written, ["push /?seed=20"]);
  mock.timers.tick(300);
  mock.timers.reset();
  assert.deepEqual(written, ["push /?seed=20", "push /?depth=8"]);
});

test("what is looked at is no entry of its own, and a forgotten gesture is never written", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const past = new History();
  past.note("/#layer=2");
  past.note("/#layer=2");
  past.follow("/?depth=8");
  past.forget();
  mock.timers.tick(300);
  mock.timers.reset();
  assert.deepEqual(written, ["replace /#layer=2"]);
});

test("a query's numbers are written one way, and what is none stays", () => {
  const one = (/** @type {string} */ query) => plain(new URLSearchParams(query)).toString();
  assert.equal(one("init_scale=2.0&bias_std=1e-05&activation=relu"), one("init_scale=2&bias_std=0.00001&activation=relu"));
  assert.notEqual(one("init_scale=2.5"), one("init_scale=2"));
  assert.equal(one("seed=9007199254740993&inputs="), "seed=9007199254740993&inputs=");
});
