/** Draws outlines and contours, given in cells of a map, onto a canvas. */

import type { Box, Size } from "../core/geometry.ts";
import type { Outline } from "./outline.ts";

export const LINE_WIDTH = 1.5;
/** The dark line under a contour, and the contour; null is its own colour. */
export const HALO = [["#00000073", 2.6], [null, 1.2]] as const;

/** Points of an outline that are nearer than this on the screen are drawn as one. */
const NEAR = 0.7;
/** Chromium's software strokes take time by the square of a path's length: many short ones are several times faster. */
const POINTS_PER_STROKE = 200;

/** A closed line around cells that are kept. */
export interface Border {
  readonly outline: Outline;
  readonly colour: string;
  readonly alpha: number;
}

/** A line of equal value, in pieces. */
export interface Contour {
  readonly pieces: Float32Array;
  readonly colour: string;
}

export function strokeBorder(context: CanvasRenderingContext2D, { outline, colour, alpha }: Border, place: Box, shape: Size, scale: number): void {
  const { points, ends } = outline;
  const [sx, sy] = [place.width / shape[1], place.height / shape[0]];
  context.lineWidth = LINE_WIDTH * scale;
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
      if (++drawn % POINTS_PER_STROKE !== 0) continue;
      context.stroke();
      context.beginPath();
      context.moveTo(x, y);
    }
    start = end;
  }
  context.stroke();
}

/** The dark line under it makes it visible on all colours. */
export function strokeContour(context: CanvasRenderingContext2D, { pieces, colour }: Contour, place: Box, shape: Size, scale: number): void {
  const [sx, sy] = [place.width / shape[1], place.height / shape[0]];
  for (const [dark, width] of HALO) {
    context.strokeStyle = dark ?? colour;
    context.lineWidth = width * scale;
    context.beginPath();
    for (let i = 0; i < pieces.length; i += 4) {
      context.moveTo(place.x + pieces[i]! * sx, place.y + pieces[i + 1]! * sy);
      context.lineTo(place.x + pieces[i + 2]! * sx, place.y + pieces[i + 3]! * sy);
      if (i % POINTS_PER_STROKE !== 0) continue;
      context.stroke();
      context.beginPath();
    }
    context.stroke();
  }
}
