/** Decoded images at the size of the canvases: scaled once for all cells, not in every frame. */

import type { Box, Viewport } from "../core/geometry.ts";
import type { Detail } from "../core/glance.ts";
import { ended, same } from "../core/store.ts";
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

/** Scales one image with its details, and keeps the last result in colour and in grey. */
export function scaler(bitmap: ImageBitmap, details: () => readonly Detail[] = () => []): Scale {
  const own = { box: { x: 0, y: 0, width: 1, height: 1 }, sources: [bitmap, greyOf(bitmap)] };
  const kept = own.sources.map(() => ({ layer: newLayer(0, 0), last: [] as readonly unknown[] }));
  return (width, height, view, greyed) => {
    const one = kept[Number(greyed)]!;
    const shown = magnifies(bitmap, width, view) ? [own, ...details()] : [own];
    const now = [width, height, view, ...shown];
    if (!same(now, one.last)) draw(one.layer, shown.map(({ sources, box }) => [sources[Number(greyed)]!, box]), width, height, view);
    one.last = now;
    return one.layer.canvas;
  };
}

/** Whether an image has fewer pixels than the part of a canvas, in device pixels, that it is zoomed to. */
export function magnifies(image: { readonly width: number }, width: number, { zoom }: Viewport): boolean {
  return zoom > 1 && width * zoom > image.width;
}

function draw({ canvas, context }: Layer, parts: readonly (readonly [CanvasImageSource, Box])[], width: number, height: number, { u, v, zoom }: Viewport): void {
  resize({ canvas, context }, width, height);
  context.imageSmoothingQuality = "high";
  // an image may be transparent in places
  context.clearRect(0, 0, width, height);
  const [across, down] = [width * zoom, height * zoom];
  for (const [source, box] of parts) context.drawImage(source, (box.x - u) * across, (box.y - v) * down, box.width * across, box.height * down);
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
