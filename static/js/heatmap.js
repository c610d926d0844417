/** A pooled tensor as pixels (app/figures/pixels.py): the hue of its direction above zero, slate below, NaN hatched, Inf solid; neither can hide. */
import { rgb } from "./tokens.js";

const [NAN, INF, ZERO, LEVELS] = [0, 1, 128, 126];
const SIZE = 3; // pixels a cell, so that a hatch fits into one

/** Draws what the canvas' data attributes say, enlarged without smoothing. @param {HTMLCanvasElement} canvas */
export function drawHeatmap(canvas) {
  const [rows, columns] = [Number(canvas.dataset.rows), Number(canvas.dataset.columns)];
  const cells = Uint8Array.from(atob(canvas.dataset.cells ?? ""), (letter) => letter.charCodeAt(0));
  canvas.width = columns * SIZE;
  canvas.height = rows * SIZE;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const [fault, soft] = [packed(rgb("--fault")), packed(rgb("--fault-soft"))];
  const colours = scale(`--${canvas.dataset.hue}`);
  for (let row = 0; row < rows; row++) {
    const line = pixels.subarray(row * SIZE * canvas.width, (row * SIZE + 1) * canvas.width);
    let whole = true;
    for (let column = 0; column < columns; column++) {
      const cell = cells[row * columns + column];
      whole &&= cell !== NAN;
      line.fill(cell === INF ? fault : colours[cell], column * SIZE, (column + 1) * SIZE);
    }
    for (let copy = 1; copy < SIZE; copy++) pixels.copyWithin((row * SIZE + copy) * canvas.width, line.byteOffset / 4, line.byteOffset / 4 + canvas.width);
    if (whole) continue;
    for (let y = row * SIZE; y < (row + 1) * SIZE; y++)
      for (let x = 0; x < canvas.width; x++)
        if (cells[row * columns + Math.floor(x / SIZE)] === NAN) pixels[y * canvas.width + x] = (x + y) % 4 < 2 ? fault : soft;
  }
  context.putImageData(image, 0, 0);
}

/** Of each byte its colour, of the tokens as they are now. @param {string} hue */
function scale(hue) {
  const [below, zero, above] = [rgb("--below"), rgb("--surface"), rgb(hue)];
  const key = String([below, zero, above]);
  let found = scales.get(key);
  if (!found) {
    found = Uint32Array.from({ length: 256 }, (_, cell) => packed(mix(zero, cell < ZERO ? below : above, Math.abs(cell - ZERO) / LEVELS)));
    scales.set(key, found);
  }
  return found;
}

/** @type {Map<string, Uint32Array>} */
const scales = new Map();

/** As ImageData holds a pixel, on the machines that browsers run on. @param {number[]} colour */
const packed = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** @param {number[]} a @param {number[]} b @param {number} share */
const mix = (a, b, share) => a.map((value, i) => Math.round(value + (b[i] - value) * Math.min(1, share)));
