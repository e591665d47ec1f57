/** From the screen to the picture, from the picture to the cells of a map, and back. */

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export type Place = readonly [x: number, y: number, width: number, height: number];
export type Size = readonly [height: number, width: number];

/** Where the model's view lies on a canvas that shows the whole picture, in whole pixels: parts would leave a seam around it. */
export function placeOnCanvas(place: Place, size: Size, canvasWidth: number, canvasHeight: number): Box {
  const [x, y, width, height] = place;
  const sx = canvasWidth / size[1];
  const sy = canvasHeight / size[0];
  const left = Math.round(x * sx);
  const top = Math.round(y * sy);
  return { x: left, y: top, width: Math.round((x + width) * sx) - left, height: Math.round((y + height) * sy) - top };
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

/** The picture's pixel under a point of the screen, or null beside the picture. */
export function pixelAt(box: Box, size: Size, clientX: number, clientY: number): readonly [x: number, y: number] | null {
  const x = Math.floor(((clientX - box.x) / box.width) * size[1]);
  const y = Math.floor(((clientY - box.y) / box.height) * size[0]);
  return x >= 0 && y >= 0 && x < size[1] && y < size[0] ? [x, y] : null;
}

/** The map's cell over (the middle of) a pixel of the picture, or null where the model did not look. */
export function cellAt(place: Place, shape: Size, x: number, y: number): readonly [row: number, column: number] | null {
  const column = Math.floor(((x + 0.5 - place[0]) / place[2]) * shape[1]);
  const row = Math.floor(((y + 0.5 - place[1]) / place[3]) * shape[0]);
  return row >= 0 && column >= 0 && row < shape[0] && column < shape[1] ? [row, column] : null;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
