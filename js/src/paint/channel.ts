/** Draws the map of one channel over the greyed picture. */

import { outside, placeOnCanvas, type Size } from "../core/geometry.ts";
import type { ChannelMaps } from "../core/result.ts";
import { lookupTable } from "./colormaps.ts";
import { newLayer, type Layer } from "./layer.ts";
import { heat, SHADE_CSS } from "./pixels.ts";

/** Largest absolute level of a map. */
const REACH = 127;

export interface Look {
  readonly opacity: number;
  readonly smooth: boolean;
  readonly gamma: number;
}

/** Draw the map at a rank onto a canvas of the picture's proportions; `size` is that of the picture. */
export function drawChannel({ canvas, context }: Layer, picture: HTMLCanvasElement, size: Size, { shape, place, levels }: ChannelMaps, rank: number, look: Look): void {
  const [height, width] = shape;
  const cells = height * width;
  const values = Float32Array.from(levels.subarray(rank * cells, (rank + 1) * cells));
  const map = newLayer(width, height);
  const image = map.context.createImageData(width, height);
  heat({ values, strength: values, table: values, low: -REACH, high: REACH }, -Infinity, lookupTable("diverging", look.gamma), new Uint32Array(image.data.buffer));
  map.context.putImageData(image, 0, 0);
  const box = placeOnCanvas(place, size, canvas.width, canvas.height);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0);
  context.globalAlpha = look.opacity;
  context.imageSmoothingEnabled = look.smooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(map.canvas, box.x, box.y, box.width, box.height);
  context.fillStyle = SHADE_CSS;
  for (const part of outside(box, canvas.width, canvas.height)) context.fillRect(part.x, part.y, part.width, part.height);
  context.globalAlpha = 1;
}
