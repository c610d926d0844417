/** Buttons that save a chart as it is drawn now, as PNG or SVG. */
import { make } from "./dom.js";
import { plotly } from "./plot.js";
import { resolve, token } from "./tokens.js";

/** @typedef {import("./plot.js").Plot} Plot */

/** Pixels, of a chart that has no place on the page. */
const [WIDTH, HEIGHT] = [800, 400];
const FORMATS = /** @type {const} */ (["png", "svg"]);

/** A name that every file system takes. @param {string} text */
export const fileName = (text) =>
  text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 80) || "chart";

/** Puts a button for each chart and format into `place`. @param {HTMLElement} place @param {Record<string, Plot>} plots by what they are called
 * @param {string | (() => string)} title what they are of */
export function saving(place, plots, title) {
  for (const [name, plot] of Object.entries(plots))
    for (const format of FORMATS)
      place.append(
        make(
          "button",
          {
            type: "button",
            class: "button small",
            title: `Save the ${name} as ${format.toUpperCase()}`,
            click: () => save(plot, format, `${typeof title === "string" ? title : title()} ${name}`),
          },
          `${name} ${format.toUpperCase()}`,
        ),
      );
}

/** The chart as its data say now: it may never have been on screen, or before there were these.
 * @param {Plot} plot @param {"png"|"svg"} format @param {string} title */
async function save(plot, format, title) {
  const Plotly = /** @type {any} */ (await plotly);
  const { data, layout } = plot.figured();
  const size = { width: Math.round(layout.width) || WIDTH, height: Math.round(layout.height) || HEIGHT };
  // Charts are drawn on the page's own ground, which the file must bring along.
  const figure = { data, layout: resolve(plot.finish(data, { ...layout, ...size, paper_bgcolor: token("--surface") })) };
  const href = await Plotly.toImage(figure, { format, ...size, scale: format === "png" ? 2 : 1 });
  make("a", { href, download: `${fileName(title)}.${format}` }).click();
}
