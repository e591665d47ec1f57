/** Puts a state onto a canvas. Buffers and layers are kept from one frame to the next. */

import { lookupTable } from "../colormaps.ts";
import { outside, placeOnCanvas, type Box, type Size } from "../geometry.ts";
import { traceOutline, type Outline } from "../outline.ts";
import { grey, heat, keepAbove, keepRegions, onlyRegion, shade } from "../pixels.ts";
import { cutOf, regionCount, shownExplained, shownField, shownRegions, shownSign } from "../select.ts";
import type { Explained, State } from "../state.ts";

export interface Painter {
  /** The decoded picture; null before it is there. */
  readonly setPicture: (bitmap: ImageBitmap | null) => void;
  /** Paint at a size in device pixels; `scale` of them make one CSS pixel. Returns the share that is kept (1 in a heat map). */
  readonly paint: (state: State, plain: boolean, width: number, height: number, scale: number) => number;
}

/** An outline that would go so many times across the map hides what it encloses: it fades out on the way there. */
const LONGEST_OUTLINE = 40;
const LINE_WIDTH = 1.5;
/** Points of an outline that are nearer than this on the screen are drawn as one. */
const NEAR = 0.7;
/** Chromium's software strokes take time by the square of a path's length: many short ones are several times faster. */
const POINTS_A_STROKE = 200;
/** `SHADE` of the kernels, for what lies beside the map. */
const SHADE_CSS = "rgb(17 18 22)";
const WHITE = "#ffffff";
/** On the shaded ground, whatever the theme. */
const WARM = "#ffa02e";

interface Layer {
  readonly canvas: HTMLCanvasElement;
  readonly context: CanvasRenderingContext2D;
}

interface Cells {
  readonly shape: Size;
  readonly layer: Layer;
  readonly image: ImageData;
  readonly words: Uint32Array;
  readonly kept: Uint8Array;
  readonly one: Uint8Array;
}

export function createPainter(canvas: HTMLCanvasElement): Painter {
  const screen = layerOf(canvas);
  const ground = createGround();
  const map = createMap();
  return {
    setPicture: ground.setPicture,
    paint(state, plain, width, height, scale) {
      resize(screen, width, height);
      const { context } = screen;
      const explained = plain ? undefined : shownExplained(state);
      const heatMap = state.shown.mode === "heat";
      const picture = ground.at(width, height, explained !== undefined && heatMap);
      context.globalAlpha = 1;
      if (picture) context.drawImage(picture, 0, 0);
      if (!picture || !explained) return 1;
      const { layer, outlines, share } = map.of(state, explained);
      const place = placeOnCanvas(state.spec.place, state.spec.size, width, height);
      context.globalAlpha = state.shown.opacity;
      context.imageSmoothingEnabled = heatMap;
      context.imageSmoothingQuality = "high";
      context.drawImage(layer.canvas, place.x, place.y, place.width, place.height);
      context.fillStyle = SHADE_CSS;
      for (const part of outside(place, width, height)) context.fillRect(part.x, part.y, part.width, part.height);
      for (const line of outlines) stroke(context, line, place, explained.result.shape, LINE_WIDTH * scale);
      return share;
    },
  };
}

interface Ground {
  readonly setPicture: (bitmap: ImageBitmap | null) => void;
  readonly at: (width: number, height: number, greyed: boolean) => HTMLCanvasElement | null;
}

/** The picture at the size of the screen, with and without its colours: scaled once, not in every frame. */
function createGround(): Ground {
  const colour = layerOf(document.createElement("canvas"));
  const greyed = layerOf(document.createElement("canvas"));
  let bitmap: ImageBitmap | null = null;
  let laid = "";
  const lay = (picture: ImageBitmap, width: number, height: number): void => {
    resize(colour, width, height);
    colour.context.imageSmoothingQuality = "high";
    // a picture may be transparent in places
    colour.context.clearRect(0, 0, width, height);
    colour.context.drawImage(picture, 0, 0, width, height);
    resize(greyed, width, height);
    const image = colour.context.getImageData(0, 0, width, height);
    grey(image.data);
    greyed.context.putImageData(image, 0, 0);
  };
  return {
    setPicture(next) {
      bitmap = next;
      laid = "";
    },
    at(width, height, wantsGrey) {
      if (!bitmap) return null;
      const wanted = `${width}x${height}`;
      if (laid !== wanted) lay(bitmap, width, height);
      laid = wanted;
      return wantsGrey ? greyed.canvas : colour.canvas;
    },
  };
}

interface Drawn {
  readonly layer: Layer;
  readonly outlines: readonly Stroke[];
  /** Of the cells that are kept. */
  readonly share: number;
}

interface MapLayer {
  /** Runs the kernels, unless the last frame asked for the same. */
  readonly of: (state: State, explained: Explained) => Drawn;
}

function createMap(): MapLayer {
  const lut = remembered(lookupTable);
  let cells: Cells | null = null;
  let asked: readonly unknown[] = [];
  let drawn: Drawn | null = null;
  return {
    of(state, explained) {
      const { mode, colormap } = state.shown;
      const sign = shownSign(state);
      const field = shownField(state, explained);
      const cut = cutOf(state, field);
      const colours = mode === "area" ? "" : sign === "signed" ? "diverging" : colormap;
      const asks = [explained, sign, colours, cut, regionCount(state)];
      if (drawn && asks.every((part, i) => Object.is(part, asked[i]))) return drawn;
      asked = asks;
      cells = cellsFor(explained.result.shape, cells);
      if (mode === "heat") {
        heat(field, cut, lut(colours), cells.words);
        drawn = { layer: cells.layer, outlines: [], share: 1 };
      } else {
        const count = keep(state, explained, cut, cells);
        shade(cells.kept, cells.words);
        drawn = { layer: cells.layer, outlines: outlinesOf(state, explained, cells), share: count / cells.kept.length };
      }
      cells.layer.context.putImageData(cells.image, 0, 0);
      return drawn;
    },
  };
}

interface Stroke {
  readonly outline: Outline;
  readonly colour: string;
  readonly alpha: number;
}

function keep(state: State, explained: Explained, cut: number, { kept }: Cells): number {
  const { step } = explained;
  if (step && shownRegions(state)) return keepRegions(step, regionCount(state), kept);
  return keepAbove(shownField(state, explained).strength, cut, kept);
}

/** White round all that is kept, warm round the region that came last. */
function outlinesOf(state: State, explained: Explained, { kept, one, shape }: Cells): Stroke[] {
  const strokes: Stroke[] = [];
  const limit = (LONGEST_OUTLINE * (shape[0] + shape[1])) / 2;
  const add = (inside: Uint8Array, colour: string): void => {
    const outline = traceOutline(inside, shape[1], shape[0], limit);
    if (outline) strokes.push({ outline, colour, alpha: Math.min(1, 2 * (1 - outline.edges / limit)) });
  };
  add(kept, WHITE);
  const regions = shownRegions(state);
  const count = regionCount(state);
  if (explained.step && regions && count > 0) {
    onlyRegion(explained.step, count - 1, one);
    add(one, WARM);
  }
  return strokes;
}

function stroke(
  context: CanvasRenderingContext2D,
  { outline, colour, alpha }: Stroke,
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

function cellsFor(shape: Size, before: Cells | null): Cells {
  const [height, width] = shape;
  if (before?.shape[0] === height && before.shape[1] === width) return before;
  const layer = layerOf(document.createElement("canvas"));
  resize(layer, width, height);
  const image = layer.context.createImageData(width, height);
  const words = new Uint32Array(image.data.buffer);
  return { shape, layer, image, words, kept: new Uint8Array(words.length), one: new Uint8Array(words.length) };
}

function layerOf(canvas: HTMLCanvasElement): Layer {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("expected a 2d canvas, got none from this browser");
  return { canvas, context };
}

/** Setting a canvas's size clears it, so only where it differs. */
function resize({ canvas }: Layer, width: number, height: number): void {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}

function remembered(make: (name: string) => Uint32Array): (name: string) => Uint32Array {
  const known = new Map<string, Uint32Array>();
  return (name) => {
    const table = known.get(name) ?? make(name);
    known.set(name, table);
    return table;
  };
}
