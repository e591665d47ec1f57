/** Puts a cell onto a canvas. Buffers and layers are kept from one frame to the next. */

import { lookupTable, pack } from "./colormaps.ts";
import { outside, placeOnCanvas, type Box, type Size, type Viewport } from "../core/geometry.ts";
import { isoLine } from "./contour.ts";
import { traceOutline, type Outline } from "./outline.ts";
import { boxBlur, heat, keepAbove, keepRegions, markBorder, onlyRegion, shade, type Field } from "./pixels.ts";
import { keepPicked } from "../core/picked.ts";
import { cutOf, explainedOf, fieldShown, imageOf, regionCount, regionsOf, signOf } from "../core/select.ts";
import type { Cell, Explained, State } from "../core/state.ts";
import { same } from "../core/store.ts";
import type { Grounds } from "./pictures.ts";

export interface Painter {
  /**
   * Paint a cell at a size in device pixels; `scale` of them make one CSS pixel. `part` is the share of the width that is painted,
   * from where to where. Returns the share of the map that is kept (1 in a heat map).
   */
  readonly paint: (state: State, cell: Cell, frame: Frame, part?: readonly [from: number, to: number]) => number;
}

export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly scale: number;
  readonly view: Viewport;
  /** The picture alone. */
  readonly plain: boolean;
  /** Whether there are other canvases beside this one. */
  readonly many: boolean;
}

/** An outline that would go so many times across the map hides what it encloses: it fades out on the way there. */
const LONGEST_OUTLINE = 40;
export const LINE_WIDTH = 1.5;
/** Points of an outline that are nearer than this on the screen are drawn as one. */
const NEAR = 0.7;
/** Chromium's software strokes take time by the square of a path's length: many short ones are several times faster. */
const POINTS_A_STROKE = 200;
/** `SHADE` of the kernels, for what lies beside the map. */
export const SHADE_CSS = "rgb(17 18 22)";
const WHITE = "#ffffff";
const WHITE_WORD = pack(255, 255, 255, 255);
const WARM_WORD = pack(255, 160, 46, 255);
/** CSS pixels of a cell below which its own pixels are as good an outline as a line, and far quicker. */
const FINE = 1.6;
/** The same where there are many pictures. */
const COARSE = 5;
/** Of an outline that is drawn as a line in every frame. */
const MOST_SIDES = 6000;
/** Contours below zero. */
const COLD = "#8fd0ff";
/** A map is this many grains wide when its contours are drawn. */
const GRAIN = 75;
/** Under a contour and of it; null is its own colour. */
export const HALO = [["#00000073", 2.6], [null, 1.2]] as const;
/** On the shaded ground, whatever the theme. */
const WARM = "#ffa02e";

export interface Layer {
  readonly canvas: HTMLCanvasElement;
  readonly context: CanvasRenderingContext2D;
}

interface Sheet {
  readonly layer: Layer;
  readonly image: ImageData;
  readonly words: Uint32Array;
}

interface Cells extends Sheet {
  readonly shape: Size;
  readonly border: Sheet;
  readonly kept: Uint8Array;
  readonly one: Uint8Array;
}

/** Paints cells onto one canvas; a painter for each cell, as it keeps what it painted last. */
export function createPainter(screen: Layer, grounds: Grounds): Painter {
  const map = createMap();
  return {
    paint(state, cell, frame, part) {
      const { context } = screen;
      const { width, height, view, plain } = frame;
      const explained = plain ? undefined : explainedOf(state, cell);
      const heatMap = state.shown.mode === "heat";
      const picture = grounds.at(cell.image, width, height, view, explained !== undefined && heatMap);
      if (!picture) return 1;
      context.save();
      if (part) {
        context.beginPath();
        context.rect(part[0] * width, 0, (part[1] - part[0]) * width, height);
        context.clip();
      }
      // what the picture leaves transparent must not keep the last frame
      context.clearRect(0, 0, width, height);
      context.drawImage(picture, 0, 0);
      const share = explained ? overlay(context, state, cell, explained, frame, map) : 1;
      context.restore();
      return share;
    },
  };
}

function overlay(
  context: CanvasRenderingContext2D, state: State, cell: Cell, explained: Explained, { width, height, scale, view, many }: Frame, map: MapLayer,
): number {
  const place = placeOnCanvas(explained.result.place, imageOf(state, cell).size, width, height, view);
  const fine = place.width / explained.result.shape[1] < (many ? COARSE : FINE) * scale;
  const { layer, outlines, border, contours, share } = map.of(state, cell, explained, fine);
  const heatMap = state.shown.mode === "heat";
  context.globalAlpha = state.shown.opacity;
  context.imageSmoothingEnabled = heatMap && state.shown.smooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(layer.canvas, place.x, place.y, place.width, place.height);
  context.fillStyle = SHADE_CSS;
  for (const part of outside(place, width, height)) context.fillRect(part.x, part.y, part.width, part.height);
  if (border) {
    context.globalAlpha = border.alpha;
    context.imageSmoothingEnabled = true;
    context.drawImage(border.layer.canvas, place.x, place.y, place.width, place.height);
  }
  context.globalAlpha = 1;
  for (const line of contours) strokePieces(context, line, place, explained.result.shape, scale);
  for (const line of outlines) stroke(context, line, place, explained.result.shape, LINE_WIDTH * scale);
  return share;
}

interface Drawn {
  readonly layer: Layer;
  readonly outlines: readonly Border[];
  /** The outlines as cells, where these are too small or too many for lines. */
  readonly border: { readonly layer: Layer; readonly alpha: number } | null;
  readonly contours: readonly Stroke[];
  /** Of the cells that are kept. */
  readonly share: number;
}

interface MapLayer {
  /** Runs the kernels, unless the last frame asked for the same. */
  readonly of: (state: State, cell: Cell, explained: Explained, fine: boolean) => Drawn;
}

export function createMap(): MapLayer {
  const lut = remembered(lookupTable);
  const blur = remembered((values: Float32Array, rows: number, columns: number) =>
    boxBlur(values, columns, rows, Math.round(Math.max(rows, columns) / GRAIN)));
  let cells: Cells | null = null;
  let asked: readonly unknown[] = [];
  let drawn: Drawn | null = null;
  return {
    of(state, cell, explained, fine) {
      const { mode, colormap, gamma, contours } = state.shown;
      const field = fieldShown(state, explained);
      const cut = cutOf(state, field);
      const colours = mode === "area" ? "" : signOf(state, explained) === "signed" ? "diverging" : colormap;
      const count = regionCount(state, cell);
      const { picked } = state.shown;
      const asks = [explained, field.values, field.strength, field.low, field.high, colours, gamma, contours, cut, count, picked, fine];
      if (drawn && same(asks, asked)) return drawn;
      asked = asks;
      cells = cellsFor(explained.result.shape, cells);
      if (mode === "heat") {
        heat(field, cut, lut(colours, gamma), cells.words);
        const lines = contours ? contourLines(blur(field.values, ...explained.result.shape), field, explained.result.shape) : [];
        drawn = { layer: cells.layer, outlines: [], border: null, contours: lines, share: 1 };
      } else {
        const byHand = keepPicked(explained, picked, cells.kept);
        const kept = byHand ?? keep(explained, field, cut, count, cells);
        shade(cells.kept, cells.words);
        const round = outlinesOf(explained, byHand === null ? count : 0, cells, fine);
        drawn = { layer: cells.layer, ...round, contours: [], share: kept / cells.kept.length };
      }
      cells.layer.context.putImageData(cells.image, 0, 0);
      return drawn;
    },
  };
}

interface Stroke {
  readonly pieces: Float32Array;
  readonly colour: string;
}

interface Border {
  readonly outline: Outline;
  readonly colour: string;
  readonly alpha: number;
}

function keep(explained: Explained, { strength }: Field, cut: number, count: number, { kept }: Cells): number {
  const { step } = explained;
  return step && regionsOf(explained) ? keepRegions(step, count, kept) : keepAbove(strength, cut, kept);
}

/** White round all that is kept, warm round the region that came last: as lines, or in the cells themselves. */
function outlinesOf(explained: Explained, count: number, cells: Cells, fine: boolean): Pick<Drawn, "outlines" | "border"> {
  const { kept, one, shape } = cells;
  const last = explained.step && regionsOf(explained) && count > 0;
  if (last) onlyRegion(explained.step, count - 1, one);
  const words = cells.border.words.fill(0);
  const sides = markBorder(kept, shape[1], shape[0], WHITE_WORD, words);
  const limit = (LONGEST_OUTLINE * (shape[0] + shape[1])) / 2;
  if (!fine && sides <= MOST_SIDES) {
    const lines = [outlineOf(kept, shape, WHITE), ...(last ? [outlineOf(one, shape, WARM)] : [])];
    return { outlines: lines.filter((each) => each !== null), border: null };
  }
  const alpha = Math.min(1, 2 * (1 - sides / limit));
  if (alpha <= 0) return { outlines: [], border: null };
  if (last) markBorder(one, shape[1], shape[0], WARM_WORD, words);
  cells.border.layer.context.putImageData(cells.border.image, 0, 0);
  return { outlines: [], border: { layer: cells.border.layer, alpha } };
}

/** Lines at quarters of the colour scale, of the map without its finest grain: round every speck they would tell nothing. */
function contourLines(blurred: Float32Array, { low, high }: Field, shape: Size): Stroke[] {
  const shares = low < 0 ? [-0.75, -0.5, -0.25, 0.25, 0.5, 0.75] : [0.25, 0.5, 0.75];
  return shares.flatMap((share) => {
    const level = low < 0 ? share * high : low + share * (high - low);
    const pieces = isoLine(blurred, shape[1], shape[0], level, LONGEST_OUTLINE * (shape[0] + shape[1]));
    return pieces ? [{ pieces, colour: share < 0 ? COLD : WHITE }] : [];
  });
}

function outlineOf(inside: Uint8Array, shape: Size, colour: string): Border | null {
  const limit = (LONGEST_OUTLINE * (shape[0] + shape[1])) / 2;
  const outline = traceOutline(inside, shape[1], shape[0], limit);
  return outline && { outline, colour, alpha: Math.min(1, 2 * (1 - outline.edges / limit)) };
}

function stroke(
  context: CanvasRenderingContext2D,
  { outline, colour, alpha }: Border,
  place: Box,
  [rows, columns]: Size,
  width: number,
): void {
  const { points, ends } = outline;
  const sx = place.width / columns;
  const sy = place.height / rows;
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.globalAlpha = alpha;
  context.beginPath();
  let start = 0;
  let drawn = 0;
  for (const end of ends) {
    let x = Infinity;
    let y = Infinity;
    // once round, and back to the first point
    for (let i = start; i <= end; i += 2) {
      const at = i === end ? start : i;
      const nextX = place.x + points[at]! * sx;
      const nextY = place.y + points[at + 1]! * sy;
      if (i === start) context.moveTo(nextX, nextY);
      else if (Math.abs(nextX - x) + Math.abs(nextY - y) < NEAR) continue;
      else context.lineTo(nextX, nextY);
      x = nextX;
      y = nextY;
      if (++drawn % POINTS_A_STROKE !== 0) continue;
      context.stroke();
      context.beginPath();
      context.moveTo(x, y);
    }
    start = end;
  }
  context.stroke();
}

/** On a dark line that is a little wider: it is seen on all colours. */
function strokePieces(context: CanvasRenderingContext2D, { pieces, colour }: Stroke, place: Box, [rows, columns]: Size, scale: number): void {
  const sx = place.width / columns;
  const sy = place.height / rows;
  for (const [dark, width] of HALO) {
    context.strokeStyle = dark ?? colour;
    context.lineWidth = width * scale;
    context.beginPath();
    for (let i = 0; i < pieces.length; i += 4) {
      context.moveTo(place.x + pieces[i]! * sx, place.y + pieces[i + 1]! * sy);
      context.lineTo(place.x + pieces[i + 2]! * sx, place.y + pieces[i + 3]! * sy);
      if (i % POINTS_A_STROKE !== 0) continue;
      context.stroke();
      context.beginPath();
    }
    context.stroke();
  }
}

function cellsFor(shape: Size, before: Cells | null): Cells {
  const [height, width] = shape;
  if (before?.shape[0] === height && before.shape[1] === width) return before;
  const sheet = (): Sheet => {
    const layer = newLayer(width, height);
    const image = layer.context.createImageData(width, height);
    return { layer, image, words: new Uint32Array(image.data.buffer) };
  };
  const count = width * height;
  return { shape, ...sheet(), border: sheet(), kept: new Uint8Array(count), one: new Uint8Array(count) };
}

export function layerOf(canvas: HTMLCanvasElement): Layer {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("expected a 2d canvas, got none from this browser");
  return { canvas, context };
}

/** A canvas that is on no page. */
export function newLayer(width: number, height: number): Layer {
  return layerOf(Object.assign(document.createElement("canvas"), { width, height }));
}

/** A canvas as a file. */
export function blobOf(canvas: HTMLCanvasElement, type: string): Promise<Blob> {
  return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("This browser made no picture."))), type, 0.95));
}

/** Setting a canvas's size clears it, so only where it differs. */
export function resize({ canvas }: Layer, width: number, height: number): void {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}

/** Made anew only of other things than the last time. */
function remembered<A extends readonly unknown[], T>(make: (...of: A) => T): (...of: A) => T {
  let last: { readonly of: A; readonly made: T } | null = null;
  return (...of) => {
    if (!last || !same(of, last.of)) last = { of, made: make(...of) };
    return last.made;
  };
}
