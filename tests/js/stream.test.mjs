import assert from "node:assert/strict";
import { test } from "node:test";

import { listen, whenWired } from "../../static/js/stream.js";

/** An element that a stream's events are dispatched on, and what its listener heard. */
function stage() {
  const element = /** @type {any} */ (new EventTarget());
  /** @type {any[]} */
  const heard = [];
  listen(element, {
    on: { point: (data) => heard.push(["point", data]) },
    began: () => heard.push(["began"]),
    refused: (problem) => heard.push(["refused", problem.detail]),
    ended: (finished) => heard.push(["ended", finished]),
  });
  const send = (/** @type {string} */ name, detail = {}) => element.dispatchEvent(new CustomEvent(name, { detail, cancelable: true }));
  return { element, heard, send };
}

test("a stream that comes to its end is finished; one that is cut is not", () => {
  for (const finished of [true, false]) {
    const { heard, send } = stage();
    send("htmx:sse:after:connection", { connection: 1 });
    send("point", { data: "7" });
    if (finished) send("end");
    send("htmx:sse:close", { connection: 1 });
    assert.deepEqual(heard, [["began"], ["point", "7"], ["ended", finished]]);
  }
});

test("events and the end of a stream that was replaced are not heard", () => {
  const { heard, send } = stage();
  send("htmx:sse:after:connection", { connection: 1 });
  send("htmx:sse:after:connection", { connection: 2 });
  assert.equal(send("htmx:sse:before:message", { connection: 1 }), false, "stopped");
  assert.equal(send("htmx:sse:before:message", { connection: 2 }), true, "let through");
  send("htmx:sse:close", { connection: 1 });
  assert.deepEqual(heard, [["began"], ["began"]]);
});

test("a failed computation is a problem, and no end", () => {
  const { heard, send } = stage();
  send("htmx:sse:after:connection", { connection: 1 });
  send("problem", { data: '{"detail": "over the limit"}' });
  send("htmx:sse:close", { connection: 1 });
  assert.deepEqual(heard, [["began"], ["refused", "over the limit"]]);
});

test("an answer that is no problem of ours is told by its status", () => {
  const { heard, send } = stage();
  send("htmx:response:error", { ctx: { text: "<html>", response: { status: 502 } } });
  send("htmx:response:error", { ctx: { text: '{"detail": "too many at once"}', response: { status: 503 } } });
  assert.deepEqual(heard, [
    ["refused", "The server answered 502."],
    ["refused", "too many at once"],
  ]);
});

test("a server out of reach is told; a request that was given up is not", () => {
  const { heard, send } = stage();
  send("htmx:error", { error: { name: "AbortError" } });
  send("htmx:error", { error: { name: "TypeError" } });
  assert.deepEqual(heard, [["refused", "The server can't be reached."]]);
});

test("wired already or later, the act happens once", () => {
  const wired = /** @type {any} */ (new EventTarget());
  let count = 0;
  wired.hasAttribute = () => false;
  whenWired(wired, () => count++);
  assert.equal(count, 0);
  wired.dispatchEvent(new Event("htmx:after:init"));
  wired.dispatchEvent(new Event("htmx:after:init"));
  assert.equal(count, 1);
  wired.hasAttribute = () => true;
  whenWired(wired, () => count++);
  assert.equal(count, 2);
});
