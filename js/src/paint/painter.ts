/** Paints a cell onto a canvas: the image, the map over it, outlines and contours. */

import type { Cell } from "../core/cell.ts";
import { outside, placeOnCanvas, type Viewport } from "../core/geometry.ts";
import { explainedOf, imageOf } from "../core/lookup.ts";
import type { Explained } from "../core/result.ts";
import type { State } from "../core/state.ts";
import type { Layer } from "./layer.ts";
import { mapDrawer, type DrawMap } from "./map.ts";
import type { Pictures } from "./pictures.ts";
import { SHADE_CSS } from "./pixels.ts";
import { strokeBorder, strokeContour } from "./stroke.ts";

/**
 * Paints a cell; `part` is the share of the width that is painted, from where to where. Returns the share of the map that is kept
 * (1 in a heat map).
 */
export type Paint = (state: State, cell: Cell, frame: Frame, part?: readonly [from: number, to: number]) => number;

/** A size in device pixels, of which `scale` make one CSS pixel. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly scale: number;
  readonly view: Viewport;
  /** Only the image, without its map. */
  readonly plain: boolean;
  /** Whether there are other canvases beside this one. */
  readonly many: boolean;
}

/** Below this many CSS pixels a cell of the map is as good an outline as a line, and far quicker; of one canvas, and of many. */
const [FINE, COARSE] = [1.6, 5];

/** One painter for each cell: it keeps the map that it drew last. */
export function createPainter(screen: Layer, pictures: Pictures): Paint {
  const draw = mapDrawer();
  return (state, cell, frame, part) => {
    const { context } = screen;
    const { width, height, view, plain } = frame;
    const explained = plain ? undefined : explainedOf(state, cell);
    const heatMap = state.shown.mode === "heat";
    const picture = pictures(cell.image, width, height, view, explained !== undefined && heatMap);
    if (!picture) return 1;
    context.save();
    if (part) {
      context.beginPath();
      context.rect(part[0] * width, 0, (part[1] - part[0]) * width, height);
      context.clip();
    }
    // what the image leaves transparent must not keep the last frame
    context.clearRect(0, 0, width, height);
    context.drawImage(picture, 0, 0);
    const share = explained ? overlay(context, state, cell, explained, frame, draw) : 1;
    context.restore();
    return share;
  };
}

function overlay(
  context: CanvasRenderingContext2D, state: State, cell: Cell, explained: Explained, { width, height, scale, view, many }: Frame, draw: DrawMap,
): number {
  const { shape, place: placement } = explained.result;
  const place = placeOnCanvas(placement, imageOf(state, cell).size, width, height, view);
  const fine = place.width / shape[1] < (many ? COARSE : FINE) * scale;
  const { layer, outlines, border, contours, share } = draw(state, cell, explained, fine);
  context.globalAlpha = state.shown.opacity;
  context.imageSmoothingEnabled = state.shown.mode === "heat" && state.shown.smooth;
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
  for (const line of contours) strokeContour(context, line, place, shape, scale);
  for (const line of outlines) strokeBorder(context, line, place, shape, scale);
  return share;
}
