/** A picture's two charts and the cursor over them, as a run's page and a run's file have them. */
import { find, oncePerFrame } from "../dom.js";
import { Plot } from "../plot.js";

/** @typedef {import("./picture.js").Picture} Picture */

const MOVES = new Map([["ArrowLeft", [0, -1]], ["ArrowRight", [0, 1]], ["ArrowUp", [-1, 0]], ["ArrowDown", [1, 0]]]); // prettier-ignore
const ROW_REM = 0.9;
const [FEWEST_ROWS, MOST_ROWS] = [8, 48];

export class View {
  /** @param {{loss: any, map: any}} figures @param {Picture} picture @param {{module: string|null, step: number|null}} at
   * what the cursor is at @param {(module: string|null, step: number|null) => void} chosen hears what was clicked or gone to */
  constructor(figures, picture, at, chosen) {
    this.picture = picture;
    this.at = at;
    this.chosen = chosen;
    /** Whether blocks of modules are closed, where there are many. */
    this.fold = true;
    /** What else has the cursor, drawn after the two. @type {() => void} */
    this.beside = () => {};
    this.loss = new Plot(find("#chart-loss"), figures.loss);
    this.map = new Plot(find("#chart-map"), figures.map);
    this.draw = oncePerFrame(() => this.drawNow());
    this.loss.onClick = (step) => this.choose(at.module ?? this.picture.modules[0] ?? null, Number(step));
    this.map.onClick = (step, label) => this.choose(this.picture.labelled(label, Number(step)), Number(step));
    // Cursors and marks have the colours that there were when they were made.
    document.addEventListener("look", () => this.draw());
    // Only where the picture has the focus: elsewhere arrows scroll.
    find("#picture").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.move(event));
  }

  /** @param {string|null} module @param {number|null} step */
  choose(module, step) {
    Object.assign(this.at, { module, step });
    this.draw();
    this.chosen(module, step);
  }

  /** @param {KeyboardEvent} event */
  move(event) {
    const by = MOVES.get(event.key);
    const typing = /** @type {Element} */ (event.target).closest("input, select");
    if (!by || typing || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const next = this.picture.beside(this.at.module, this.at.step, by[0], by[1]);
    if (next) this.choose(next.module, next.step);
  }

  drawNow() {
    const { picture, at } = this;
    picture.arrange(at.module, this.fold);
    const rows = Math.min(MOST_ROWS, Math.max(FEWEST_ROWS, picture.rows.length)) * ROW_REM + 2;
    find("#chart-map").style.setProperty("--map", `${rows}rem`);
    const cursor = picture.cursor(at.module, at.step);
    const both = /** @type {[Plot, any][]} */ ([[this.loss, picture.lossChart(cursor)], [this.map, picture.map(cursor)]]); // prettier-ignore
    for (const [plot, { traces, layout }] of both) {
      plot.show(traces, layout);
      plot.draw();
    }
    this.beside();
    find("#run-readout").textContent = picture.readout(at.module, at.step) || "\u00a0";
  }
}
