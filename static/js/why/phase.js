/** The point in the phase diagram: dragged by mouse or finger, moved by arrow keys; letting go runs it in the Lab. */
import { find, json } from "../dom.js";
import { number } from "../format.js";
import { controls, query, queue } from "./main.js";

const STEPS = 100; // arrow presses across the whole plane

/** What one drags over: read anew at every gesture, since htmx replaces the drawing. */
function plane() {
  const data = json("phase");
  const [left, top, right, bottom] = data.box;
  const [farW, farB] = data.far;
  return {
    data,
    farW,
    farB,
    /** @param {number} w @param {number} b */
    place: (w, b) => [left + (w / farW) * (right - left), bottom - (b / farB) * (bottom - top)],
    /** σw and σb at a place in the drawing. @param {number} x @param {number} y */
    read: (x, y) => [((x - left) / (right - left)) * farW, ((bottom - y) / (bottom - top)) * farB],
  };
}

/** @type {null | {w: number, b: number}} */
let held = null;

/** Where keys have taken it: the drawing may be of a place before. @type {null | {w: number, b: number}} */
let stood = null;

/** Three significant digits are all that a hand can set. @param {number} value @param {number} far */
const rounded = (value, far) => Number(Math.min(far, Math.max(0, value)).toPrecision(3));

/** Moves the point, and says what is known there. @param {number} wantedW @param {number} wantedB */
function move(wantedW, wantedB) {
  const { data, farW, farB, place } = plane();
  const [w, b] = [rounded(wantedW, farW), rounded(wantedB, farB)];
  const handle = find("#handle");
  const [x, y] = place(w, b);
  handle.setAttribute("transform", `translate(${x} ${y})`);
  handle.setAttribute("aria-valuenow", String(w));
  const here = known(w, b);
  const words = told(w, b);
  handle.setAttribute("aria-valuetext", words);
  const [ownW, ownB] = data.own;
  find("#plane-readout").textContent = ownW === null ? words : `${words} · from ${told(ownW, ownB)}`;
  const reach =
    here.depth === null
      ? ""
      : ` Trainable to about ${number(here.depth)} layers, ${here.depth < data.layers ? "less than" : "enough for"} these ${data.layers}.`;
  find("#verdict-title").textContent = data.sides[here.phase] + reach;
  return { w, b };
}

/** What the grid has nearest to a place. @param {number} w @param {number} b */
function known(w, b) {
  const { data, farW, farB } = plane();
  const rows = data.chi1.length - 1;
  const columns = data.chi1[0].length - 1;
  const row = Math.min(rows, Math.round((b / farB) * rows));
  const column = Math.min(columns, Math.round((w / farW) * columns));
  return { phase: data.phase[row][column], chi1: data.chi1[row][column], depth: data.depth[row][column] };
}

/** The same in words. @param {number} w @param {number} b */
function told(w, b) {
  const { phase, chi1, depth } = known(w, b);
  return `σw ${number(w)}, σb ${number(b)}: ${phase}, χ₁ ≈ ${number(chi1)}, trainable to ${depth === null ? "any depth" : `≈ ${number(depth)} layers`}`;
}

/** The form follows the point: weights of variance σw²/n, whatever the scheme was. @param {{w: number, b: number}} at */
function fill({ w, b }) {
  controls.set("init", "lecun_normal");
  controls.set("init_scale", String(w));
  controls.set("bias_std", String(b));
  controls.show();
}

const runInLab = () => location.assign(`/?${query()}`);

/** Takes the point to where the pointer is. @param {PointerEvent} event */
function hold(event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(find("#plane").getScreenCTM().inverse());
  const [w, b] = plane().read(at.x, at.y);
  held = move(w, b);
}

document.addEventListener("pointerdown", (event) => {
  const target = /** @type {Element} */ (event.target);
  if (event.button !== 0 || !target.closest("#plane") || !document.getElementById("handle")) return;
  // On a finger's way through the page the plane is passed: only the point itself takes hold of it.
  if (event.pointerType !== "mouse" && !target.closest("#handle")) return;
  event.preventDefault();
  find("#handle").focus();
  find("#plane").setPointerCapture(event.pointerId);
  hold(event);
});
// A finger on the point means the point, not the page.
document.addEventListener(
  "touchstart",
  (event) => {
    if (/** @type {Element} */ (event.target).closest("#handle")) event.preventDefault();
  },
  { passive: false },
);
document.addEventListener("pointermove", (event) => held && hold(event));
document.addEventListener("pointerup", () => {
  if (!held) return;
  fill(held);
  held = null;
  runInLab();
});
document.addEventListener("pointercancel", () => {
  if (!held) return;
  held = null;
  controls.changed(); // draws the experiment's own place again
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

document.addEventListener("keydown", (event) => {
  const target = /** @type {Element} */ (event.target);
  if (target.id !== "handle" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter") {
    runInLab();
    return;
  }
  const way = ARROWS[/** @type {keyof typeof ARROWS} */ (event.key)];
  if (!way) return;
  event.preventDefault();
  const { farW, farB, read } = plane();
  const far = event.shiftKey ? 10 : 1;
  const drawn = /translate\(([-\d.e]+)[ ,]([-\d.e]+)\)/.exec(find("#handle").getAttribute("transform")) ?? [];
  const [w, b] = stood ? [stood.w, stood.b] : read(Number(drawn[1]), Number(drawn[2]));
  stood = move(w + (way[0] * far * farW) / STEPS, b + (way[1] * far * farB) / STEPS);
  fill(stood);
  controls.changed();
});

// The drawing that htmx brings holds a new handle: the keys stay on it. Under the hand nothing is drawn anew.
let focused = false;
document.addEventListener("htmx:before:swap", (event) => {
  if (held) event.preventDefault();
  focused = document.activeElement?.id === "handle";
});
document.addEventListener("htmx:after:swap", () => {
  if (!queue.waiting) stood = null;
  else if (stood && document.getElementById("handle")) move(stood.w, stood.b);
  if (focused) document.getElementById("handle")?.focus();
});
