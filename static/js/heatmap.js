/** A pooled tensor as pixels: colours diverge around zero, NaN is hatched, Inf is solid; neither can hide. */
import { rgb } from "./tokens.js";

/** @typedef {{rows: number, columns: number, limit: number|null, values: (number|null)[][], nan: number[][], posinf: number[][], neginf: number[][]}} Heatmap */

/** Draws `map` on `canvas`, one pixel a cell, enlarged without smoothing. @param {HTMLCanvasElement} canvas @param {Heatmap} map */
export function drawHeatmap(canvas, map) {
  // Three pixels a cell, so that a hatch fits into one.
  const size = 3;
  canvas.width = map.columns * size;
  canvas.height = map.rows * size;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(canvas.width, canvas.height);
  const [low, middle, high] = [rgb("--forward"), rgb("--surface"), rgb("--backward")];
  const [fault, soft] = [rgb("--fault"), rgb("--fault-soft")];
  const paint = (/** @type {number} */ row, /** @type {number} */ column, /** @type {(x: number, y: number) => number[]} */ color) => {
    for (let y = row * size; y < (row + 1) * size; y++)
      for (let x = column * size; x < (column + 1) * size; x++) {
        const [r, g, b] = color(x, y);
        image.data.set([r, g, b, 255], 4 * (y * canvas.width + x));
      }
  };
  map.values.forEach((line, row) =>
    line.forEach((value, column) => {
      const share = value && map.limit ? value / map.limit : 0;
      // The square root shows small entries beside a large one; the sign keeps its hue.
      const mixed = mix(middle, share < 0 ? low : high, Math.sqrt(Math.abs(share)));
      paint(row, column, () => mixed);
    }),
  );
  for (const [row, column] of map.nan) paint(row, column, (x, y) => ((x + y) % 4 < 2 ? fault : soft));
  for (const [row, column] of [...map.posinf, ...map.neginf]) paint(row, column, () => fault);
  context.putImageData(image, 0, 0);
}

/** @param {number[]} a @param {number[]} b @param {number} share */
const mix = (a, b, share) => a.map((value, i) => Math.round(value + (b[i] - value) * share));
