// Builds the front end into saliency_widget/static: widget.js, which anywidget loads, widget.css, and more.js, which the widget
// loads when something in js/src/more.ts is first opened. Code that both need is in widget.js only, which passes it to more.js.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { minify } from "terser";

const STATIC = "saliency_widget/static";
const options = { bundle: true, format: "esm", minify: true, target: "es2022", charset: "utf8", logLevel: "warning" };
/** esbuild's import of the shared chunk, the names in braces. */
const IMPORT = /import\s*\{([^}]*)\}\s*from\s*"\.\/shared\.js";?/;
/** Its default export, at the end. */
const EXPORT = /export\s*\{\s*([\w$]+) as default\s*\};?\s*$/;

/** Return the text with what `pattern` matches, which it must, replaced. */
function replaced(text, pattern, replacement) {
  if (!pattern.test(text)) throw new Error(`expected esbuild's output to match ${pattern}, got ${text.slice(0, 200)} … ${text.slice(-200)}`);
  return text.replace(pattern, replacement);
}

async function terse(code) {
  const { code: smaller } = await minify(code, { module: true, compress: { ecma: 2020, passes: 3, unsafe_arrows: true }, mangle: true });
  return smaller;
}

const folder = await mkdtemp(join(tmpdir(), "saliency-"));
try {
  // 1. split: widget.js and more.js import what both need from shared.js
  const entryPoints = { widget: "js/src/widget.ts", more: "js/src/more.ts" };
  const split = await build({ ...options, entryPoints, splitting: true, chunkNames: "shared", outdir: folder, write: false });
  for (const { path, contents } of split.outputFiles) await writeFile(path, contents);
  const more = split.outputFiles.find(({ path }) => path.endsWith("more.js")).text;

  // 2. join widget.js and shared.js; the names that more.js imports become the fields of SHARED
  const names = IMPORT.exec(more)?.[1].split(",").map((name) => name.trim().split(" as ")[0]) ?? [];
  const shared = join(folder, "names.js");
  await writeFile(shared, `import { ${names.join()} } from "./shared.js";\nexport const SHARED = { ${names.join()} };\n`);
  const joined = await build({ ...options, entryPoints: [join(folder, "widget.js")], inject: [shared], write: false });

  // 3. more.js becomes a function of SHARED
  const locals = replaced(more, IMPORT, (_, list) => `const {${list.replaceAll(" as ", ":")}} = SHARED;`);
  const called = `export default (SHARED) => {${replaced(locals, EXPORT, "return $1;")}};`;

  await mkdir(STATIC, { recursive: true });
  await writeFile(join(STATIC, "widget.js"), await terse(joined.outputFiles[0].text));
  await writeFile(join(STATIC, "more.js"), await terse(called));
  await build({ ...options, entryPoints: ["js/src/widget.css"], outdir: STATIC });
} finally {
  await rm(folder, { recursive: true, force: true });
}
