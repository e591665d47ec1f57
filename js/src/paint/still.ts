/** The shown cell as a file: as pixels at the image's own resolution, or as SVG. */

import { titleOf } from "../core/captions.ts";
import type { Cell } from "../core/cell.ts";
import { formatScale } from "../core/format.ts";
import { outside, placeOnCanvas, WHOLE } from "../core/geometry.ts";
import { explainedOf, imageOf } from "../core/lookup.ts";
import type { Explained } from "../core/result.ts";
import { colormapOf, fieldShown } from "../core/scale.ts";
import type { State } from "../core/state.ts";
import { cssColours, lookupTable } from "./colormaps.ts";
import { newLayer, type Layer } from "./layer.ts";
import { mapDrawer } from "./map.ts";
import { createPainter } from "./painter.ts";
import { scaler, type Pictures } from "./pictures.ts";
import { SHADE_CSS } from "./pixels.ts";
import { HALO, LINE_WIDTH } from "./stroke.ts";
import { BAR_HEIGHT, pathOf, svgOf, type Sheet } from "./svg.ts";

export async function canvasOf(state: State, cell: Cell, withBar: boolean): Promise<HTMLCanvasElement> {
  const [height, width] = imageOf(state, cell).size;
  const bar = withBar ? barOf(state, cell) : null;
  const screen = newLayer(width, height + (bar ? BAR_HEIGHT : 0));
  const frame = { width, height, scale: Math.max(1, width / 500), view: WHOLE, plain: false, many: false };
  createPainter(screen, await pictureOf(state, cell))(state, cell, frame);
  if (bar) drawBar(screen, width, height, bar);
  return screen.canvas;
}

export async function svgTextOf(state: State, cell: Cell, explained: Explained, withBar: boolean): Promise<string> {
  const { size } = imageOf(state, cell);
  const [height, width] = size;
  const { mode, opacity, smooth } = state.shown;
  const { shape, place } = explained.result;
  const heatMap = mode === "heat";
  const picture = (await pictureOf(state, cell))(cell.image, width, height, WHOLE, heatMap);
  const { layer, border, outlines, contours } = mapDrawer()(state, cell, explained, false);
  const box = placeOnCanvas(place, size, width, height, WHOLE);
  const scale = Math.max(1, width / 500);
  const over = ({ canvas }: Layer, alpha: number, soft: boolean): Sheet["overlays"][number] =>
    ({ href: canvas.toDataURL("image/png"), ...box, opacity: alpha, smooth: soft });
  const piecewise = (pieces: Float32Array): string =>
    pathOf({ points: pieces, ends: Array.from({ length: pieces.length / 4 }, (_, i) => 4 * i + 4) }, place, shape);
  return svgOf({
    width, height,
    picture: picture?.toDataURL("image/png") ?? "",
    overlays: [over(layer, opacity, heatMap && smooth), ...(border ? [over(border.layer, border.alpha, true)] : [])],
    shades: { colour: SHADE_CSS, opacity, boxes: outside(box, width, height) },
    lines: [
      ...contours.flatMap(({ pieces, colour }) => HALO.map(([dark, wide]) => ({ path: piecewise(pieces), colour: dark ?? colour, alpha: 1, width: wide * scale }))),
      ...outlines.map(({ outline, colour, alpha }) => ({ path: pathOf(outline, place, shape), colour, alpha, width: LINE_WIDTH * scale })),
    ],
    title: titleOf(state, cell),
    bar: withBar ? barOf(state, cell) : null,
  });
}

async function pictureOf(state: State, cell: Cell): Promise<Pictures> {
  const blob = state.pictures.get(cell.image);
  if (!blob) throw new Error("The picture has not come yet.");
  const scale = scaler(await createImageBitmap(blob));
  return (_image, ...size) => scale(...size);
}

function barOf(state: State, cell: Cell): Sheet["bar"] {
  const explained = explainedOf(state, cell);
  if (!explained || state.shown.mode === "area") return null;
  return { colours: cssColours(lookupTable(colormapOf(state, explained), state.shown.gamma), 33), field: fieldShown(state, explained) };
}

/** The colour bar under the picture, as svg.ts has it. */
function drawBar({ context }: Layer, width: number, height: number, { colours, field }: NonNullable<Sheet["bar"]>): void {
  context.fillStyle = "#fff";
  context.fillRect(0, height, width, BAR_HEIGHT);
  // white also under an image that is transparent
  context.globalCompositeOperation = "destination-over";
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = "source-over";
  const ramp = context.createLinearGradient(4, 0, width - 4, 0);
  for (const [i, colour] of colours.entries()) ramp.addColorStop(i / (colours.length - 1), colour);
  context.fillStyle = ramp;
  context.fillRect(4, height + 5, width - 8, 10);
  context.fillStyle = "#1b1d21";
  context.font = "11px sans-serif";
  const words = formatScale(field);
  for (const [i, [align, x]] of ([["left", 4], ["center", width / 2], ["right", width - 4]] as const).entries()) {
    context.textAlign = align;
    context.fillText(words[i] ?? "", x, height + 28);
  }
}
