/** Buttons that save a chart as it is drawn now, as PNG or SVG. */
import { make } from "./dom.js";
import { token } from "./tokens.js";

/** @typedef {import("./plot.js").Plot} Plot */

const FORMATS = /** @type {const} */ (["png", "svg"]);

/** A name that every file system takes. @param {string} text */
export const fileName = (text) =>
  text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 80) || "chart";

/** Puts a button for each chart and format into `place`. @param {HTMLElement} place @param {Record<string, Plot>} plots by what they are called
 * @param {string} title what they are of */
export function saving(place, plots, title) {
  for (const [name, plot] of Object.entries(plots))
    for (const format of FORMATS)
      place.append(
        make(
          "button",
          { type: "button", class: "button small", title: `Save the ${name} as ${format.toUpperCase()}`, click: () => save(plot, format, `${title} ${name}`) },
          `${name} ${format.toUpperCase()}`,
        ),
      );
}

/** @param {Plot} plot @param {"png"|"svg"} format @param {string} title */
async function save(plot, format, title) {
  const { data, layout } = plot.box;
  // Charts are drawn on the page's own ground, which the file must bring along.
  const figure = { data, layout: { ...layout, paper_bgcolor: token("--surface") } };
  const size = { width: Math.round(plot.size[0]), height: Math.round(plot.size[1]), scale: format === "png" ? 2 : 1 };
  const href = await /** @type {any} */ (window.Plotly).toImage(figure, { format, ...size });
  make("a", { href, download: `${fileName(title)}.${format}` }).click();
}
