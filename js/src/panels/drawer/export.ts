/** Taking it away: the picture, the numbers, and Python that gives both again. */

import { failureOf } from "../../kernel/asking.ts";
import { cssColours, lookupTable } from "../../paint/colormaps.ts";
import { outside, placeOnCanvas, WHOLE } from "../../core/geometry.ts";
import { formatAlike } from "../../core/format.ts";
import { grey } from "../../paint/pixels.ts";
import { fieldShown, imageOf, shownExplained, signOf } from "../../core/select.ts";
import { shownCell, type Explained, type State } from "../../core/state.ts";
import { BAR_HEIGHT, npzOf, pathOf, svgOf, type Sheet } from "../../paint/svg.ts";
import { titleOf } from "../stage/cell.ts";
import { button, copied, h, setText, type Context } from "../ui/dom.ts";
import type { Grounds } from "../../paint/pictures.ts";
import { failureBox } from "../ui/message.ts";
import { blobOf, createMap, createPainter, HALO, LINE_WIDTH, newLayer, SHADE_CSS, type Layer } from "../../paint/painter.ts";
import { selected } from "./selection.ts";

export function savePanel(context: Context): HTMLElement {
  const { store, commands, watch } = context;
  const said = h("span", { class: "slw-muted", role: "status" });
  const withBar = h("input", { type: "checkbox" });
  const code = h("textarea", { class: "slw-code", readonly: true, rows: 10, hidden: true, "aria-label": "Python", spellcheck: "false" });
  const trouble = failureBox(context, "That failed");
  const say = (text: string): void => setText(said, text);
  const run = (work: (state: State, explained: Explained) => Promise<string>) => (): void => {
    const explained = shownExplained(store.state);
    trouble.show(null);
    say(explained ? "…" : "There is nothing to save yet.");
    if (!explained) return;
    work(store.state, explained).then(say, (reason: unknown) => {
      say("");
      trouble.show(failureOf(reason));
    });
  };
  const actions: readonly (readonly [string, string, () => void])[] = [
    ["Copy picture", "To the clipboard, at the picture's resolution", run(async (state) => {
      const blob = blobOf(await drawn(state, withBar.checked), "image/png");
      try {
        await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        return "The picture is in the clipboard.";
      } catch {
        save(await blob, fileName(state, "png"));
        return "The clipboard is closed here: saved as a file instead.";
      }
    })],
    ["PNG", "At the picture's resolution", run(async (state) =>
      save(await blobOf(await drawn(state, withBar.checked), "image/png"), fileName(state, "png")))],
    ["SVG", "Outlines, colour bar and words stay sharp at any size", run(async (state, explained) =>
      save(new Blob([svgOf(await sheetOf(state, explained, withBar.checked))], { type: "image/svg+xml" }), fileName(state, "svg")))],
    ["NPZ", "The values, for NumPy", run((state, explained) => {
      const kept = new Uint8Array(explained.values.length);
      selected(state, explained, kept);
      return Promise.resolve(save(new Blob([npzOf(explained, kept).slice()], { type: "application/zip" }), fileName(state, "npz")));
    })],
    ["Copy as Python", "A script that needs no widget, and gives exactly this", run(async (state) => {
      if (state.link !== "live") return "The script is written by a running kernel.";
      const raw = await commands.request("code", { ...shownCell(state) }).answer;
      code.value = String(raw["text"]);
      code.hidden = false;
      if (await copied(code.value)) return "The script is in the clipboard.";
      code.select();
      return "The clipboard is closed here: copy it from below.";
    })],
  ];
  const buttons = actions.map(([name, title, act]) => button(context, { title }, name, act));
  watch((state) => [shownExplained(state), state.shown], () => {
    code.hidden = true;
    trouble.show(null);
    say("");
  });
  const bar = h("label", { class: "slw-check" }, withBar, "with the colour bar");
  return h("div", { class: "slw-drawer-body slw-save" }, h("div", { class: "slw-row" }, ...buttons, bar), said, trouble.element, code);
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

/** The shown cell as it is looked at, at the picture's own resolution. */
async function drawn(state: State, withBar: boolean): Promise<HTMLCanvasElement> {
  const cell = shownCell(state);
  const [height, width] = imageOf(state, cell).size;
  const screen = newLayer(width, height);
  createPainter(screen, await groundOf(state)).paint(state, cell, { width, height, scale: Math.max(1, width / 500), view: WHOLE, plain: false, many: false });
  const bar = withBar ? barOf(state) : null;
  if (!bar) return screen.canvas;
  const whole = newLayer(width, height + BAR_HEIGHT);
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
      const { canvas, context } = newLayer(width, height);
      context.drawImage(bitmap, 0, 0, width, height);
      if (!greyed) return canvas;
      const image = context.getImageData(0, 0, width, height);
      grey(image.data);
      context.putImageData(image, 0, 0);
      return canvas;
    },
  };
}

/** The same picture in parts: what the painter makes of the map, as it lies over the picture. */
async function sheetOf(state: State, explained: Explained, withBar: boolean): Promise<Sheet> {
  const cell = shownCell(state);
  const size = imageOf(state, cell).size;
  const [height, width] = size;
  const { mode, opacity, smooth } = state.shown;
  const { shape, place } = explained.result;
  const heatMap = mode === "heat";
  const ground = (await groundOf(state)).at(cell.image, width, height, WHOLE, heatMap);
  const { layer, border, outlines, contours } = createMap().of(state, cell, explained, false);
  const box = placeOnCanvas(place, size, width, height, WHOLE);
  const scale = Math.max(1, width / 500);
  const over = ({ canvas }: Layer, alpha: number, soft: boolean): Sheet["overlays"][number] =>
    ({ href: canvas.toDataURL("image/png"), ...box, opacity: alpha, smooth: soft });
  const piecewise = (pieces: Float32Array): string =>
    pathOf({ points: pieces, ends: Array.from({ length: pieces.length / 4 }, (_, i) => 4 * i + 4) }, place, shape);
  return {
    width, height,
    picture: ground?.toDataURL("image/png") ?? "",
    overlays: [over(layer, opacity, heatMap && smooth), ...(border ? [over(border.layer, border.alpha, true)] : [])],
    shades: { colour: SHADE_CSS, opacity, boxes: outside(box, width, height) },
    lines: [
      ...contours.flatMap(({ pieces, colour }) => HALO.map(([dark, wide]) => ({ path: piecewise(pieces), colour: dark ?? colour, alpha: 1, width: wide * scale }))),
      ...outlines.map(({ outline, colour, alpha }) => ({ path: pathOf(outline, place, shape), colour, alpha, width: LINE_WIDTH * scale })),
    ],
    title: titleOf(state, cell),
    bar: withBar ? barOf(state) : null,
  };
}
