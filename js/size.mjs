// The bundle is copied into every notebook that holds a widget, so its weight is part of the product.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT = 45_000;
const bundle = readFileSync(new URL("../saliency_widget/static/widget.js", import.meta.url));
const gzipped = gzipSync(bundle, { level: 9 }).length;
console.log(`widget.js: ${bundle.length} bytes, ${gzipped} gzipped (at most ${LIMIT})`);
if (gzipped > LIMIT) {
  console.error(`expected at most ${LIMIT} gzipped bytes, got ${gzipped}: find what was added, or argue for a new limit here`);
  process.exit(1);
}
