/** Draws a map at its own resolution: colours, or a shade over what is not kept; and the lines that belong to it. */

import type { Cell } from "../core/cell.ts";
import { areaField, type Field } from "../core/field.ts";
import type { Size } from "../core/geometry.ts";
import { keepPicked } from "../core/picked.ts";
import { regionCount, regionsOf } from "../core/regions.ts";
import type { Explained } from "../core/result.ts";
import { colormapOf, cutOf, fieldShown, selecting, signOf } from "../core/scale.ts";
import { keepAbove, keepRegions } from "../core/selection.ts";
import type { State } from "../core/state.ts";
import { remembered, same } from "../core/store.ts";
import { lookupTable, pack } from "./colormaps.ts";
import { isoLine } from "./contour.ts";
import { newLayer, type Layer } from "./layer.ts";
import { traceOutline } from "./outline.ts";
import { boxBlur, heat, markBorder, onlyRegion, shade } from "./pixels.ts";
import type { Border, Contour } from "./stroke.ts";

/** An outline longer than this many times the map's mean side hides what it encloses: it fades out on the way there. */
const LONGEST_OUTLINE = 40;
/** Sides of cells in an outline that is drawn as lines in every frame, at most. */
const MOST_SIDES = 6000;
const WHITE = "#ffffff";
const WHITE_WORD = pack(255, 255, 255, 255);
/** Outline of the last region: it is seen on the shade in any theme. */
const WARM = "#ffa02e";
const WARM_WORD = pack(255, 160, 46, 255);
/** Contours below zero. */
const COLD = "#8fd0ff";
/** Contours are those of the map blurred over 1/75 of its side: around every speck they would show nothing. */
const GRAIN = 75;

export interface Drawn {
  readonly layer: Layer;
  readonly outlines: readonly Border[];
  /** The outlines as coloured cells, where these are too small or too many for lines. */
  readonly border: { readonly layer: Layer; readonly alpha: number } | null;
  readonly contours: readonly Contour[];
  /** Share of the cells that is kept. */
  readonly share: number;
}

/** Draws a cell's map. `fine`: its cells are so small on the screen that outlines are drawn as cells. */
export type DrawMap = (state: State, cell: Cell, explained: Explained, fine: boolean) => Drawn;

/** Buffers are kept from one map to the next, and a map that would be the same is not drawn again. */
export function mapDrawer(): DrawMap {
  const table = remembered(lookupTable);
  const blur = remembered((values: Float32Array, rows: number, columns: number) =>
    boxBlur(values, columns, rows, Math.round(Math.max(rows, columns) / GRAIN)));
  let buffers: Buffers | null = null;
  let last: readonly unknown[] = [];
  let drawn: Drawn | null = null;
  return (state, cell, explained, fine) => {
    const { mode, gamma, contours, picked } = state.shown;
    const field = fieldShown(state, explained);
    const cut = cutOf(state, field);
    const area = areaField(explained, signOf(state, explained));
    const least = selecting(state) ? cutOf(state, area, false) : null;
    const colours = mode === "area" ? "" : colormapOf(state, explained);
    const count = regionCount(state, cell);
    const now = [explained, field.values, field.strength, field.low, field.high, colours, gamma, contours, cut, least, count, picked, fine];
    if (drawn && same(now, last)) return drawn;
    last = now;
    const { shape } = explained.result;
    buffers = buffersFor(shape, buffers);
    const { layer, image, words, kept } = buffers;
    const byHand = least === null ? null : keepPicked(explained, picked, kept);
    const share = least === null ? 1 : (byHand ?? keep(explained, area, least, count, kept)) / kept.length;
    const outlines = least === null ? { outlines: [], border: null } : outlinesOf(explained, byHand === null ? count : 0, buffers, fine);
    if (mode === "heat") {
      heat(field, cut, table(colours, gamma), words);
      const lines = contours ? contourLines(blur(field.values, ...shape), field, shape) : [];
      drawn = { layer, ...outlines, contours: lines, share: 1 };
    } else {
      shade(kept, words);
      drawn = { layer, ...outlines, contours: [], share };
    }
    layer.context.putImageData(image, 0, 0);
    return drawn;
  };
}

function keep(explained: Explained, { strength }: Field, cut: number, count: number, kept: Uint8Array): number {
  const { step } = explained;
  return step && regionsOf(explained) ? keepRegions(step, count, kept) : keepAbove(strength, cut, kept);
}

/** White around all that is kept, and warm around the last region: as lines, or as coloured cells. */
function outlinesOf(explained: Explained, count: number, { kept, one, shape, border }: Buffers, fine: boolean): Pick<Drawn, "outlines" | "border"> {
  const last = explained.step && regionsOf(explained) && count > 0;
  if (last) onlyRegion(explained.step, count - 1, one);
  const words = border.words.fill(0);
  const sides = markBorder(kept, shape[1], shape[0], WHITE_WORD, words);
  const limit = (LONGEST_OUTLINE * (shape[0] + shape[1])) / 2;
  if (!fine && sides <= MOST_SIDES) {
    const lines = [outlineOf(kept, shape, WHITE, limit), ...(last ? [outlineOf(one, shape, WARM, limit)] : [])];
    return { outlines: lines.filter((each) => each !== null), border: null };
  }
  const alpha = fading(sides, limit);
  if (alpha <= 0) return { outlines: [], border: null };
  if (last) markBorder(one, shape[1], shape[0], WARM_WORD, words);
  border.layer.context.putImageData(border.image, 0, 0);
  return { outlines: [], border: { layer: border.layer, alpha } };
}

function outlineOf(inside: Uint8Array, [rows, columns]: Size, colour: string, limit: number): Border | null {
  const outline = traceOutline(inside, columns, rows, limit);
  return outline && { outline, colour, alpha: fading(outline.edges, limit) };
}

/** Opacity of an outline: it decreases from half of the limit on. */
function fading(length: number, limit: number): number {
  return Math.min(1, 2 * (1 - length / limit));
}

/** Lines at quarters of the colour scale. */
function contourLines(blurred: Float32Array, { low, high }: Field, [rows, columns]: Size): Contour[] {
  const shares = low < 0 ? [-0.75, -0.5, -0.25, 0.25, 0.5, 0.75] : [0.25, 0.5, 0.75];
  return shares.flatMap((share) => {
    const level = low < 0 ? share * high : low + share * (high - low);
    const pieces = isoLine(blurred, columns, rows, level, LONGEST_OUTLINE * (rows + columns));
    return pieces ? [{ pieces, colour: share < 0 ? COLD : WHITE }] : [];
  });
}

interface Pixels {
  readonly layer: Layer;
  readonly image: ImageData;
  readonly words: Uint32Array;
}

interface Buffers extends Pixels {
  readonly shape: Size;
  readonly border: Pixels;
  readonly kept: Uint8Array;
  readonly one: Uint8Array;
}

function buffersFor(shape: Size, before: Buffers | null): Buffers {
  const [height, width] = shape;
  if (before?.shape[0] === height && before.shape[1] === width) return before;
  const pixels = (): Pixels => {
    const layer = newLayer(width, height);
    const image = layer.context.createImageData(width, height);
    return { layer, image, words: new Uint32Array(image.data.buffer) };
  };
  const count = width * height;
  return { shape, ...pixels(), border: pixels(), kept: new Uint8Array(count), one: new Uint8Array(count) };
}
