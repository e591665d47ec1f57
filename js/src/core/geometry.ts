/** From the screen to the picture, from the picture to the cells of a map, and back. */

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export type Place = readonly [x: number, y: number, width: number, height: number];
export type Size = readonly [height: number, width: number];
/** A place in a picture of whatever size: shares of its width and height, from the top left corner. */
export type Point = readonly [u: number, v: number];

/** Placement of a map on a canvas, in whole pixels: fractions would leave a seam around it. */
export function placeOnCanvas(place: Place, size: Size, canvasWidth: number, canvasHeight: number, view: Viewport = WHOLE): Box {
  const [x, y, width, height] = place;
  const across = (at: number): number => Math.round((at / size[1] - view.u) * view.zoom * canvasWidth);
  const down = (at: number): number => Math.round((at / size[0] - view.v) * view.zoom * canvasHeight);
  const left = across(x);
  const top = down(y);
  return { x: left, y: top, width: across(x + width) - left, height: down(y + height) - top };
}

/** The parts of a canvas the model did not see: above, below, left and right of its view; empty ones left out. */
export function outside(box: Box, width: number, height: number): Box[] {
  const left = clamp(box.x, 0, width);
  const right = clamp(box.x + box.width, 0, width);
  const top = clamp(box.y, 0, height);
  const bottom = clamp(box.y + box.height, 0, height);
  return [
    { x: 0, y: 0, width, height: top },
    { x: 0, y: bottom, width, height: height - bottom },
    { x: 0, y: top, width: left, height: bottom - top },
    { x: right, y: top, width: width - right, height: bottom - top },
  ].filter((part) => part.width > 0 && part.height > 0);
}

/** The map's cell over (the middle of) a pixel of the picture, or null where the model did not look. */
export function cellAt(place: Place, shape: Size, x: number, y: number): readonly [row: number, column: number] | null {
  const column = Math.floor(((x + 0.5 - place[0]) / place[2]) * shape[1]);
  const row = Math.floor(((y + 0.5 - place[1]) / place[3]) * shape[0]);
  return row >= 0 && column >= 0 && row < shape[0] && column < shape[1] ? [row, column] : null;
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

/** The part of a picture that is on the screen: its top left corner, and how many times it is magnified. */
export interface Viewport {
  readonly u: number;
  readonly v: number;
  readonly zoom: number;
}

export const WHOLE: Viewport = { u: 0, v: 0, zoom: 1 };
/** One pixel of a 1024² picture then fills 16 of a canvas as large. */
export const CLOSEST = 16;

/** Magnified by a factor, with the same point of the picture staying under the same place of the screen (a share of the canvas). */
export function zoomAt(viewport: Viewport, factor: number, [at, down]: Point): Viewport {
  const zoom = clamp(viewport.zoom * factor, 1, CLOSEST);
  const u = viewport.u + at / viewport.zoom - at / zoom;
  const v = viewport.v + down / viewport.zoom - down / zoom;
  return inside({ u, v, zoom });
}

/** Moved by shares of the canvas. */
export function panBy(viewport: Viewport, across: number, down: number): Viewport {
  return inside({ ...viewport, u: viewport.u + across / viewport.zoom, v: viewport.v + down / viewport.zoom });
}

function inside({ u, v, zoom }: Viewport): Viewport {
  const most = 1 - 1 / zoom;
  return { u: clamp(u, 0, most), v: clamp(v, 0, most), zoom };
}

/** The point of the picture under a point of the screen, or null beside it. */
export function pointAt(box: Box, viewport: Viewport, clientX: number, clientY: number): Point | null {
  const [at, down] = shareOf(box, clientX, clientY);
  if (!(at >= 0 && down >= 0 && at < 1 && down < 1)) return null;
  return [viewport.u + at / viewport.zoom, viewport.v + down / viewport.zoom];
}

/** A point of the screen relative to a box, as shares of its width and height. */
export function shareOf(box: Box, clientX: number, clientY: number): Point {
  return [(clientX - box.x) / box.width, (clientY - box.y) / box.height];
}

/** A point of the picture on the canvas, as shares of its width and height; outside 0–1 where it is not on the screen. */
export function onCanvas({ u, v, zoom }: Viewport, point: Point): Point {
  return [(point[0] - u) * zoom, (point[1] - v) * zoom];
}

/** The pixel of a picture at a point of it. */
export function pixelOf([u, v]: Point, [height, width]: readonly [height: number, width: number]): readonly [x: number, y: number] {
  return [Math.min(Math.floor(u * width), width - 1), Math.min(Math.floor(v * height), height - 1)];
}
