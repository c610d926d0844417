import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { beforeNextFrame } from "../../static/js/dom.js";

const known = { ...pick(globalThis) };
/** @type {Map<number, () => void>} */
let frames = new Map();
/** @type {(() => void)[]} */
let tasks = [];

/** @param {any} from */
function pick(from) {
  return {
    MessageChannel: from.MessageChannel,
    requestAnimationFrame: from.requestAnimationFrame,
    cancelAnimationFrame: from.cancelAnimationFrame,
    document: from.document,
  };
}

beforeEach(() => {
  [frames, tasks] = [new Map(), []];
  let number = 0;
  Object.assign(globalThis, {
    requestAnimationFrame: (/** @type {() => void} */ act) => {
      frames.set(++number, act);
      return number;
    },
    cancelAnimationFrame: (/** @type {number} */ asked) => frames.delete(asked),
    MessageChannel: class {
      port1 = { onmessage: () => {} };
      port2 = { postMessage: () => tasks.push(() => this.port1.onmessage()) };
    },
    document: { hidden: false },
  });
});
afterEach(() => void Object.assign(globalThis, known));

const frame = () => {
  for (const [asked, act] of [...frames]) {
    frames.delete(asked);
    act();
  }
};
const task = () => tasks.shift()?.();

test("what is asked for several times in a task is done once, after it", () => {
  let done = 0;
  const ask = beforeNextFrame(() => done++);
  ask();
  ask();
  assert.equal(done, 0);
  task();
  assert.equal(done, 1);
  frame();
  assert.equal(done, 1);
  ask();
  task();
  assert.equal(done, 2);
});

test("a frame that comes before the next task has it", () => {
  let done = 0;
  const ask = beforeNextFrame(() => done++);
  ask();
  frame();
  assert.equal(done, 1);
  task();
  assert.equal(done, 1);
});

test("in a hidden page it waits for the frame in which it would be seen", () => {
  let done = 0;
  const ask = beforeNextFrame(() => done++);
  /** @type {any} */ (globalThis).document.hidden = true;
  ask();
  task();
  assert.equal(done, 0);
  frame();
  assert.equal(done, 1);
});
