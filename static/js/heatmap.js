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
  const [below, zero, above] = [rgb("--below"), rgb("--surface"), rgb(`--${canvas.dataset.hue}`)];
  const [fault, soft] = [packed(rgb("--fault")), packed(rgb("--fault-soft"))];
  const colours = Array.from({ length: 256 }, (_, cell) => packed(mix(zero, cell < ZERO ? below : above, Math.abs(cell - ZERO) / LEVELS)));
  for (let y = 0; y < canvas.height; y++)
    for (let x = 0; x < canvas.width; x++) {
      const cell = cells[Math.floor(y / SIZE) * columns + Math.floor(x / SIZE)];
      const hatched = (x + y) % 4 < 2 ? fault : soft;
      pixels[y * canvas.width + x] = cell === NAN ? hatched : cell === INF ? fault : colours[cell];
    }
  context.putImageData(image, 0, 0);
}

/** As ImageData holds a pixel, on the machines that browsers run on. @param {number[]} colour */
const packed = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** @param {number[]} a @param {number[]} b @param {number} share */
const mix = (a, b, share) => a.map((value, i) => Math.round(value + (b[i] - value) * Math.min(1, share)));
