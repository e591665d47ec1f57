/** Draws a picture with the parts that it shares with another one lit. */

import type { Shared } from "../core/result.ts";
import { newLayer, type Layer } from "./layer.ts";
import { pack } from "./colormaps.ts";

/** Opacity of the shade over what is not shared at all, from 0 to 255. */
const DARKEST = 200;

/** Draw the picture onto a canvas of its proportions, and dim what is not shared. */
export function drawShared({ canvas, context }: Layer, picture: HTMLCanvasElement, { shape: [height, width], levels }: Shared): void {
  const shadow = newLayer(width, height);
  const image = shadow.context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = pack(17, 18, 22, Math.round(DARKEST * (1 - levels[i]! / 255)));
  shadow.context.putImageData(image, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(shadow.canvas, 0, 0, canvas.width, canvas.height);
}
