// Copies what the browser needs from node_modules to static/vendor, with .br and .gz beside each
// file, so that the server compresses nothing large itself and no page asks another host.
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const top = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(top, "static", "vendor");

/** Files of each package, by the name they are served under. */
const FILES = {
  "htmx.min.js": "htmx.org/dist/htmx.min.js",
  "hx-sse.min.js": "htmx.org/dist/ext/hx-sse.min.js",
  "plotly-cartesian.min.js": "plotly.js-cartesian-dist-min/plotly-cartesian.min.js",
  "swagger-ui-bundle.js": "swagger-ui-dist/swagger-ui-bundle.js",
  "swagger-ui.css": "swagger-ui-dist/swagger-ui.css",
};

/** Fonts by file name: the package's file, and how style sheets ask for it. */
const SANS = "@fontsource-variable/ibm-plex-sans/files/ibm-plex-sans";
const MONO = "@fontsource/ibm-plex-mono/files/ibm-plex-mono";
const FONTS = {
  "plex-sans-latin.woff2": [`${SANS}-latin-wght-normal.woff2`, "Plex Sans", "100 700", ""],
  "plex-sans-greek.woff2": [`${SANS}-greek-wght-normal.woff2`, "Plex Sans", "100 700", "U+0370-03FF"],
  "plex-mono-latin-400.woff2": [`${MONO}-latin-400-normal.woff2`, "Plex Mono", "400", ""],
  "plex-mono-latin-600.woff2": [`${MONO}-latin-600-normal.woff2`, "Plex Mono", "600", ""],
};

await rm(target, { recursive: true, force: true });
await mkdir(target, { recursive: true });

const faces = [];
for (const [name, [source, family, weight, range]] of Object.entries(FONTS)) {
  await copyFile(join(top, "node_modules", source), join(target, name)); // compressed already
  faces.push(
    `@font-face { font-family: "${family}"; font-weight: ${weight}; font-display: swap; ` +
      `src: url("${name}") format("woff2");${range && ` unicode-range: ${range};`} }\n`,
  );
}
await writeFile(join(target, "fonts.css"), faces.join(""));

for (const [name, source] of Object.entries(FILES)) await copyFile(join(top, "node_modules", source), join(target, name));
for (const name of [...Object.keys(FILES), "fonts.css"]) {
  const file = join(target, name);
  const plain = await readFile(file);
  const small = brotliCompressSync(plain, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
    },
  });
  await writeFile(`${file}.br`, small);
  await writeFile(`${file}.gz`, gzipSync(plain, { level: 9 }));
  console.log(`${name}: ${plain.length} bytes, ${small.length} as brotli`);
}
