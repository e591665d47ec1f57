/** Taking it away: the picture, the numbers, and Python that gives both again. */

import { cssColours, lookupTable } from "../colormaps.ts";
import { placeOnCanvas, WHOLE } from "../geometry.ts";
import { formatAlike } from "../format.ts";
import { traceOutline } from "../outline.ts";
import { heat, shade } from "../pixels.ts";
import { cutOf, fieldShown, imageOf, shownExplained, signOf } from "../select.ts";
import { shownCell, type Explained, type State } from "../state.ts";
import { BAR_HEIGHT, npzOf, pathOf, svgOf, type Sheet } from "../still.ts";
import { titleOf } from "./cell.ts";
import { button, h, setText, type Context } from "./dom.ts";
import type { Grounds } from "./ground.ts";
import { createPainter, layerOf, resize } from "./painter.ts";
import { selected } from "./selection.ts";

export function savePanel(context: Context): HTMLElement {
  const { store, commands, watch } = context;
  const said = h("span", { class: "slw-muted", role: "status" });
  const withBar = h("input", { type: "checkbox" });
  const code = h("textarea", { class: "slw-code", readonly: true, rows: 10, hidden: true, "aria-label": "Python", spellcheck: "false" });
  const say = (text: string): void => setText(said, text);
  const run = (work: (state: State, explained: Explained) => Promise<string>) => (): void => {
    const explained = shownExplained(store.state);
    say(explained ? "…" : "There is nothing to save yet.");
    if (explained) work(store.state, explained).then(say, (reason: unknown) => say(reason instanceof Error ? reason.message : String(reason)));
  };
  const actions: readonly (readonly [string, string, () => void])[] = [
    ["Copy picture", "To the clipboard, at the picture's resolution", run(async (state) => {
      const blob = pngOf(await drawn(state, withBar.checked));
      try {
        await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        return "The picture is in the clipboard.";
      } catch {
        save(await blob, fileName(state, "png"));
        return "The clipboard is closed here: saved as a file instead.";
      }
    })],
    ["PNG", "At the picture's resolution", run(async (state) => save(await pngOf(await drawn(state, withBar.checked)), fileName(state, "png")))],
    ["SVG", "Outlines, colour bar and words stay sharp at any size", run(async (state, explained) =>
      save(new Blob([svgOf(await sheetOf(state, explained, withBar.checked))], { type: "image/svg+xml" }), fileName(state, "svg")))],
    ["NPZ", "The values, for NumPy", run((state, explained) => {
      const kept = new Uint8Array(explained.values.length);
      selected(state, explained, kept);
      return Promise.resolve(save(new Blob([npzOf(explained, kept).slice()], { type: "application/zip" }), fileName(state, "npz")));
    })],
    ["Copy as Python", "A script that needs no widget, and gives exactly this", run(async (state) => {
      if (state.link !== "live") throw new Error("The script is written by a running kernel.");
      const raw = await commands.request("code", { ...shownCell(state) }).answer;
      code.value = String(raw["text"]);
      code.hidden = false;
      return navigator.clipboard.writeText(code.value).then(() => "The script is in the clipboard.", () => {
        code.select();
        return "The clipboard is closed here: copy it from below.";
      });
    })],
  ];
  const buttons = actions.map(([name, title, act]) => button(context, { title }, name, act));
  watch((state) => [shownExplained(state), state.shown], () => {
    code.hidden = true;
    say("");
  });
  const bar = h("label", { class: "slw-check" }, withBar, "with the colour bar");
  return h("div", { class: "slw-drawer-body slw-save" }, h("div", { class: "slw-row" }, ...buttons, bar), said, code);
}

function fileName(state: State, ending: string): string {
  const plain = titleOf(state, shownCell(state)).normalize("NFKD").replaceAll(/[^\w]+/g, "-").replaceAll(/^-+|-+$/g, "").toLowerCase();
  return `${plain.slice(0, 80) || "saliency"}.${ending}`;
}

function save(blob: Blob, name: string): string {
  const href = URL.createObjectURL(blob);
  h("a", { href, download: name }).click();
  // not at once: the download reads it
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
  return `Saved as ${name}.`;
}

function pngOf(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("This browser made no picture."))), "image/png"));
}

/** The shown cell as it is looked at, at the picture's own resolution. */
async function drawn(state: State, withBar: boolean): Promise<HTMLCanvasElement> {
  const cell = shownCell(state);
  const [height, width] = imageOf(state, cell).size;
  const screen = layerOf(document.createElement("canvas"));
  resize(screen, width, height);
  createPainter(screen, await groundOf(state)).paint(state, cell, { width, height, scale: Math.max(1, width / 500), view: WHOLE, plain: false, many: false });
  const bar = withBar ? barOf(state) : null;
  if (!bar) return screen.canvas;
  const whole = layerOf(document.createElement("canvas"));
  resize(whole, width, height + BAR_HEIGHT);
  const { context } = whole;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height + BAR_HEIGHT);
  context.drawImage(screen.canvas, 0, 0);
  const ramp = context.createLinearGradient(4, 0, width - 4, 0);
  for (const [i, colour] of bar.colours.entries()) ramp.addColorStop(i / (bar.colours.length - 1), colour);
  context.fillStyle = ramp;
  context.fillRect(4, height + 5, width - 8, 10);
  context.fillStyle = "#1b1d21";
  context.font = "11px sans-serif";
  const words = formatAlike([bar.field.low, (bar.field.low + bar.field.high) / 2, bar.field.high]);
  for (const [i, [align, x]] of ([["left", 4], ["center", width / 2], ["right", width - 4]] as const).entries()) {
    context.textAlign = align;
    context.fillText(words[i] ?? "", x, height + 28);
  }
  return whole.canvas;
}

function barOf(state: State): Sheet["bar"] {
  const explained = shownExplained(state);
  if (!explained || state.shown.mode === "area") return null;
  const { colormap, gamma } = state.shown;
  const table = lookupTable(signOf(state, explained) === "signed" ? "diverging" : colormap, gamma);
  return { colours: cssColours(table, 33), field: fieldShown(state, explained) };
}

async function groundOf(state: State): Promise<Grounds> {
  const blob = state.pictures.get(shownCell(state).image);
  if (!blob) throw new Error("The picture has not come yet.");
  const bitmap = await createImageBitmap(blob);
  return {
    has: () => true,
    at(_image, width, height, _view, greyed) {
      const layer = layerOf(document.createElement("canvas"));
      resize(layer, width, height);
      layer.context.filter = greyed ? "grayscale(1)" : "none";
      layer.context.drawImage(bitmap, 0, 0, width, height);
      return layer.canvas;
    },
  };
}

async function sheetOf(state: State, explained: Explained, withBar: boolean): Promise<Sheet> {
  const cell = shownCell(state);
  const size = imageOf(state, cell).size;
  const [height, width] = size;
  const { mode, opacity, colormap, gamma, smooth } = state.shown;
  const { shape, place } = explained.result;
  const heatMap = mode === "heat";
  const ground = (await groundOf(state)).at(cell.image, width, height, WHOLE, heatMap);
  const layer = layerOf(document.createElement("canvas"));
  resize(layer, shape[1], shape[0]);
  const image = layer.context.createImageData(shape[1], shape[0]);
  const words = new Uint32Array(image.data.buffer);
  const kept = new Uint8Array(words.length);
  const field = fieldShown(state, explained);
  let lines: Sheet["lines"] = [];
  if (heatMap) {
    const colours = signOf(state, explained) === "signed" ? "diverging" : colormap;
    heat(field, cutOf(state, field), lookupTable(colours, gamma), words);
  } else {
    selected(state, explained, kept);
    shade(kept, words);
    const outline = traceOutline(kept, shape[1], shape[0], 20 * (shape[0] + shape[1]));
    if (outline) lines = [{ path: pathOf(outline, place, shape), colour: "#ffffff", alpha: 1 }];
  }
  layer.context.putImageData(image, 0, 0);
  const box = placeOnCanvas(place, size, width, height, WHOLE);
  return {
    width, height, lines,
    picture: ground?.toDataURL("image/png") ?? "",
    overlay: { href: layer.canvas.toDataURL("image/png"), ...box, opacity, smooth: heatMap && smooth },
    title: titleOf(state, cell),
    bar: withBar ? barOf(state) : null,
  };
}
