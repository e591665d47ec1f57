/** Decoded images at the size of the canvases: scaled once for all cells, not in every frame. */

import type { Viewport } from "../core/geometry.ts";
import type { Detail } from "../core/glance.ts";
import { ended, remembered } from "../core/store.ts";
import { newLayer, resize, type Layer } from "./layer.ts";
import { grey } from "./pixels.ts";

/** Returns an image at a size in device pixels, with or without its colours; null before it is decoded. */
export type Pictures = (image: number, width: number, height: number, view: Viewport, greyed: boolean) => HTMLCanvasElement | null;

export interface PictureCache {
  readonly at: Pictures;
  readonly has: (image: number) => boolean;
  /** Decode those of the images that are new; `details` are drawn over them. */
  readonly load: (blobs: ReadonlyMap<number, Blob>, images: readonly number[], details?: readonly Detail[]) => void;
}

/** `refresh` is called when an image is decoded. */
export function createPictures(signal: AbortSignal, refresh: () => void): PictureCache {
  const decoded = new Map<number, { readonly bitmap: ImageBitmap; readonly scale: Scale }>();
  const latest = new Map<number, Blob>();
  let details: readonly Detail[] = [];
  const decode = async (image: number, blob: Blob): Promise<void> => {
    latest.set(image, blob);
    const bitmap = await createImageBitmap(blob);
    if (signal.aborted || latest.get(image) !== blob) {
      bitmap.close();
      return;
    }
    decoded.get(image)?.bitmap.close();
    decoded.set(image, { bitmap, scale: scaler(bitmap, () => details.filter((each) => each.image === image)) });
    refresh();
  };
  ended(signal, () => decoded.forEach(({ bitmap }) => bitmap.close()));
  return {
    at: (image, ...size) => decoded.get(image)?.scale(...size) ?? null,
    has: (image) => decoded.has(image),
    load(blobs, images, now = []) {
      details = now;
      for (const image of images) {
        const blob = blobs.get(image);
        if (!blob || latest.get(image) === blob) continue;
        decode(image, blob).catch((error: unknown) => console.warn("saliency-widget: no picture:", error));
      }
    },
  };
}

type Scale = (width: number, height: number, view: Viewport, greyed: boolean) => HTMLCanvasElement;

/** What is drawn: an image, or a detail of it. */
type Part = Pick<Detail, "box" | "sources">;

/** Scales one image with its details, and keeps the last result in colour and in grey. */
export function scaler(bitmap: ImageBitmap, details: () => readonly Part[] = () => []): Scale {
  const whole: Part = { box: { x: 0, y: 0, width: 1, height: 1 }, sources: [bitmap, greyOf(bitmap)] };
  const drawn = whole.sources.map((_, i) => {
    const layer = newLayer(0, 0);
    return remembered((width: number, height: number, view: Viewport, ...parts: readonly Part[]) => draw(layer, width, height, view, parts, i));
  });
  return (width, height, view, greyed) =>
    drawn[Number(greyed)]!(width, height, view, whole, ...(magnified(bitmap.width, width, view.zoom) ? details() : []));
}

/** Whether an image that is so many pixels wide is zoomed beyond them on a canvas, whose width is in device pixels. */
export function magnified(pixels: number, width: number, zoom: number): boolean {
  return zoom > 1 && width * zoom > pixels;
}

function draw({ canvas, context }: Layer, width: number, height: number, { u, v, zoom }: Viewport, parts: readonly Part[], greyed: number): HTMLCanvasElement {
  resize({ canvas, context }, width, height);
  context.imageSmoothingQuality = "high";
  // an image may be transparent in places
  context.clearRect(0, 0, width, height);
  const [across, down] = [width * zoom, height * zoom];
  for (const { sources, box } of parts) context.drawImage(sources[greyed]!, (box.x - u) * across, (box.y - v) * down, box.width * across, box.height * down);
  return canvas;
}

/** An image without its colours, at its own size. */
export function greyOf(bitmap: ImageBitmap): HTMLCanvasElement {
  const { width, height } = bitmap;
  const layer = newLayer(width, height);
  layer.context.drawImage(bitmap, 0, 0);
  const image = layer.context.getImageData(0, 0, width, height);
  grey(image.data);
  layer.context.putImageData(image, 0, 0);
  return layer.canvas;
}
