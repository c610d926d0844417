/** A map: its form, the plane as the stream fills it in, a cell to the Lab, marked cells to a new map. */
import { copy, find, json, make, oncePerFrame } from "../dom.js";
import { number } from "../format.js";
import { Plot, plotly } from "../plot.js";
import { listen, whenWired } from "../stream.js";
import { rem, token } from "../tokens.js";
import { Plane } from "./plane.js";

/** @typedef {import("./plane.js").Place} Place */

const MOVES = new Map([["ArrowLeft", [0, -1]], ["ArrowRight", [0, 1]], ["ArrowUp", [1, 0]], ["ArrowDown", [-1, 0]]]); // prettier-ignore
const LEAST_LABEL = 4.2; // rem from one label to the next
const LEAST_SLANTED = 1.3;
const STILL = 5; // pixels: a press that moved less is a click

const square = (/** @type {Place} */ a, /** @type {Place} */ b) => ({
  type: "rect", xref: "x", yref: "y",
  x0: Math.min(a.column, b.column) - 0.5, x1: Math.max(a.column, b.column) + 0.5,
  y0: Math.min(a.row, b.row) - 0.5, y1: Math.max(a.row, b.row) + 0.5,
}); // prettier-ignore

let mounted = new AbortController();

/** Wires the page as it stands now; again after each swap. */
function mount() {
  mounted.abort();
  mounted = new AbortController();
  const { signal } = mounted;
  const listenAll = (/** @type {string} */ name, /** @type {(event: PointerEvent) => void} */ act) =>
    addEventListener(name, /** @type {any} */ (act), { signal });
  wireForm();
  const drawing = json("drawing");
  if (!drawing || drawing.state === null) return;
  const plane = new Plane(drawing);
  const figure = json("figure");
  const plot = new Plot(find("#chart-map"), figure);
  const readout = find("#map-readout");
  /** @type {any[]} */
  let theory = [];
  /** @type {Place|null} */
  let at = null;
  /** The other corner of what is marked. @type {Place|null} */
  let mark = null;

  const draw = oncePerFrame(() => {
    const { low, high, shades, faults, words } = plane.layers();
    const colorscale = plane.display.scale.map(([place, name]) => [place, token(name)]);
    const lines = Object.keys(plane.display.lines).flatMap((name) => {
      const paths = theory.filter((line) => line.name === name).flatMap((line) => line.paths);
      const points = paths.flatMap((path) => [...path, [null, null]]);
      const line = { x: points.map(([x]) => x), y: points.map(([, y]) => y), visible: points.length > 0 };
      return [line, line]; // a halo under each
    });
    const shapes = [];
    if (at && mark) shapes.push({ ...square(at, mark), line: { color: token("--select"), width: 1.5, dash: "dot" } });
    // In two colours, so that it is seen on every one.
    for (const [name, width] of /** @type {[string, number][]} */ ([["--on-ink", 5], ["--ink", 2]]))
      if (at) shapes.push({ ...square(at, at), line: { color: token(name), width } }); // prettier-ignore
    plot.show(
      [
        { z: shades, zmin: low, zmax: high, colorscale, customdata: words },
        { z: faults, customdata: words, visible: faults.some((row) => row.some(Boolean)) },
        ...lines,
      ],
      { shapes, xaxis: thinned(figure.layout.xaxis, plot.size[0]) },
    );
    plot.draw();
    key(plane, low, high, theory);
  });

  /** @param {Place|null} place @param {Place|null} [other] */
  function choose(place, other = null) {
    [at, mark] = [place, other];
    readout.textContent = place ? plane.words(place) : "\u00a0";
    if (place && !other) readout.append(" ", make("a", { href: plane.lab(place) }, "Open in the Lab"));
    if (place && other) readout.append(" ", make("button", { type: "button", class: "button small", click: () => zoom(place, other) }, "Map these cells"));
    draw();
  }

  /** @param {Place} a @param {Place} b */
  function zoom(a, b) {
    const form = /** @type {HTMLFormElement} */ (find("#plane"));
    for (const [name, text] of Object.entries(plane.zoomed(a, b))) /** @type {any} */ (form.elements.namedItem(name)).value = text;
    form.requestSubmit();
  }

  const open = (/** @type {Place} */ place) => location.assign(plane.lab(place));

  const picture = find("#picture");
  picture.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.target !== picture || event.ctrlKey || event.metaKey || event.altKey) return;
    const move = MOVES.get(event.key);
    if (move) {
      const place = at ? plane.beside(at, move[0], move[1]) : { row: 0, column: 0 };
      choose(place, event.shiftKey ? (mark ?? at ?? place) : null);
    } else if (event.key === "Enter" && at) {
      if (mark) zoom(at, mark);
      else open(at);
    } else if (event.key === "Escape") choose(null);
    else return;
    event.preventDefault();
  });

  const box = plot.box;
  /** @type {{place: Place, x: number, y: number}|null} */
  let begun = null;
  /** The cell below a pointer. @param {PointerEvent} event @returns {Place|null} */
  const under = (event) => {
    const layout = /** @type {any} */ (box)._fullLayout;
    if (!layout?.xaxis) return null;
    const frame = box.getBoundingClientRect();
    const column = Math.round(layout.xaxis.p2d(event.clientX - frame.left - layout.xaxis._offset));
    const row = Math.round(layout.yaxis.p2d(event.clientY - frame.top - layout.yaxis._offset));
    return plane.cells[row]?.[column] === undefined ? null : { row, column };
  };
  box.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    const place = event.button === 0 ? under(event) : null;
    begun = place && { place, x: event.clientX, y: event.clientY };
  });
  // On the window: while a button is down, Plotly covers the page.
  listenAll("pointermove", (event) => {
    if (!begun || event.pointerType === "touch" || Math.hypot(event.clientX - begun.x, event.clientY - begun.y) < STILL) return;
    const place = under(event);
    if (place) choose(place, begun.place);
  });
  listenAll("pointerup", (event) => {
    const [from, to] = [begun, under(event)];
    begun = null;
    if (!from) return;
    if (Math.hypot(event.clientX - from.x, event.clientY - from.y) < STILL) {
      choose(from.place);
      if (event.pointerType !== "touch") open(from.place);
    } else if (to && event.pointerType !== "touch" && (to.row !== from.place.row || to.column !== from.place.column)) zoom(from.place, to);
  });
  listenAll("pointercancel", () => (begun = null));

  document.querySelector("[data-copy-link]")?.addEventListener("click", () => copy(location.href, "Link"));
  document.querySelector("[data-png]")?.addEventListener("click", async () => {
    const size = { width: Math.round(plot.size[0]), height: Math.round(plot.size[1]), scale: 2 };
    const url = await /** @type {any} */ (window.Plotly).toImage(box, { format: "png", ...size });
    make("a", { href: url, download: `map-${drawing.id}.png` }).click();
  });

  if (drawing.state !== null) {
    const follow = find("#follow");
    if (drawing.state === "running") {
      listen(follow, {
        on: {
          cells(data) {
            plane.add(JSON.parse(data));
            draw();
          },
        },
        refused: ({ detail }) => (readout.textContent = detail),
        failed: ({ detail }) => (readout.textContent = `${detail} Load the page again to follow the map.`),
      });
      whenWired(follow, () => window.htmx.trigger(follow, "look"));
    }
    fetch(drawing.theory, { signal })
      .then((answer) => (answer.ok ? answer.json() : { lines: [] }))
      .then(({ lines }) => {
        theory = lines;
        find("#map-key").dataset.theory = String(lines.length);
        draw();
      })
      .catch(() => {});
  }
  plotly.then(draw);
  addEventListener("resize", draw, { signal });
}

/** As many of an axis's labels as there is room for. @param {any} axis @param {number} width */
function thinned({ tickvals, ticktext, tickangle }, width) {
  const room = tickangle ? LEAST_SLANTED : LEAST_LABEL;
  const every = Math.max(1, Math.ceil((tickvals.length * room * rem()) / Math.max(1, width - 7 * rem())));
  const kept = (/** @type {any[]} */ all) => all.filter((_, i) => i % every === 0);
  return { tickvals: kept(tickvals), ticktext: kept(ticktext) };
}

/** What the colours and lines mean. @param {Plane} plane @param {number} low @param {number} high @param {any[]} theory */
function key(plane, low, high, theory) {
  const { display } = plane;
  const end = (/** @type {number} */ v) => number(display.log ? 10 ** v * (display.centre ?? 1) : v);
  const ramp = display.levels.length
    ? display.levels.flatMap((name, i) => [make("i", { class: `swatch level-${i}`, "aria-hidden": "true" }), name])
    : [end(low), make("i", { class: `ramp-${display.ramp}`, "aria-hidden": "true" }), end(high)];
  const lines = theory.flatMap((line) => [
    make("i", { class: `line line-${(display.lines[line.name] ?? ["", "dash"])[1]}`, "aria-hidden": "true" }),
    make("span", { title: line.help }, `${line.title} (${line.formula})`),
  ]);
  find("#map-key").replaceChildren(
    ...ramp,
    make("i", { class: "swatch lost", "aria-hidden": "true" }),
    display.name === "first_nonfinite" ? "nowhere" : "no finite number",
    ...lines,
  );
}

/** On a phone the picture is far above what was pressed. @param {HTMLElement} picture */
function show(picture) {
  const { top } = picture.getBoundingClientRect();
  if (top < 0 || top >= innerHeight) picture.scrollIntoView();
}

/** An axis over numbers has ends, one over a choice has values. */
function wireForm() {
  for (const set of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-axis]"))) {
    const name = set.dataset.axis;
    const select = /** @type {HTMLSelectElement} */ (find(`[name="${name}"]`, set));
    const values = /** @type {HTMLInputElement} */ (find(`[name="${name}_values"]`, set));
    select.addEventListener("change", () => {
      values.value = "";
      const { low, high, scale } = select.selectedOptions[0].dataset;
      set.dataset.number = String(low !== undefined);
      for (const [field, text] of [["from", low], ["to", high], ["scale", scale]])
        if (text !== undefined) find(`[name="${name}_${field}"]`, set).value = text; // prettier-ignore
    });
  }
}

document.addEventListener("htmx:after:swap", () => {
  const maps = /** @type {HTMLElement|null} */ (document.querySelector("#maps"));
  if (!maps || maps.dataset.mounted) return;
  maps.dataset.mounted = "true";
  const address = maps.dataset.address ?? location.pathname;
  if (address !== location.pathname + location.search) history.pushState(null, "", address);
  document.title = `${find("#map-title").textContent} · Layerscope`;
  mount();
  show(find("#picture"));
});
addEventListener("popstate", () => location.reload());
find("#maps").dataset.mounted = "true";
mount();
