// widget.js is copied into every notebook that holds a widget, and more.js into most: their weight is part of the product.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMITS = { "widget.js": 38_000, "more.js": 28_500 };
for (const [name, limit] of Object.entries(LIMITS)) {
  const bundle = readFileSync(new URL(`../saliency_widget/static/${name}`, import.meta.url));
  const gzipped = gzipSync(bundle, { level: 9 }).length;
  console.log(`${name}: ${bundle.length} bytes, ${gzipped} gzipped (at most ${limit})`);
  if (gzipped > limit) {
    console.error(`${name}: expected at most ${limit} gzipped bytes, got ${gzipped}: find what was added, or argue for a new limit here`);
    process.exitCode = 1;
  }
}
