/** Decoded images at the size of the canvases: scaled once for all cells, not in every frame. */

import type { Viewport } from "../core/geometry.ts";
import { ended } from "../core/store.ts";
import { newLayer, resize, type Layer } from "./layer.ts";
import { grey } from "./pixels.ts";

/** Returns an image at a size in device pixels, with or without its colours; null before it is decoded. */
export type Pictures = (image: number, width: number, height: number, view: Viewport, greyed: boolean) => HTMLCanvasElement | null;

export interface PictureCache {
  readonly at: Pictures;
  readonly has: (image: number) => boolean;
  /** Decode those of the images that are new. */
  readonly load: (blobs: ReadonlyMap<number, Blob>, images: readonly number[]) => void;
}

/** `refresh` is called when an image is decoded. */
export function createPictures(signal: AbortSignal, refresh: () => void): PictureCache {
  const decoded = new Map<number, { readonly bitmap: ImageBitmap; readonly scale: Scale }>();
  const latest = new Map<number, Blob>();
  const decode = async (image: number, blob: Blob): Promise<void> => {
    latest.set(image, blob);
    const bitmap = await createImageBitmap(blob);
    if (signal.aborted || latest.get(image) !== blob) {
      bitmap.close();
      return;
    }
    decoded.get(image)?.bitmap.close();
    decoded.set(image, { bitmap, scale: scaler(bitmap) });
    refresh();
  };
  ended(signal, () => decoded.forEach(({ bitmap }) => bitmap.close()));
  return {
    at: (image, ...size) => decoded.get(image)?.scale(...size) ?? null,
    has: (image) => decoded.has(image),
    load(blobs, images) {
      for (const image of images) {
        const blob = blobs.get(image);
        if (!blob || latest.get(image) === blob) continue;
        decode(image, blob).catch((error: unknown) => console.warn("saliency-widget: no picture:", error));
      }
    },
  };
}

type Scale = (width: number, height: number, view: Viewport, greyed: boolean) => HTMLCanvasElement;

/** Scales one image, and keeps the last result in colour and in grey. */
export function scaler(bitmap: ImageBitmap): Scale {
  const kept = [bitmap, greyOf(bitmap).canvas].map((source) => ({ source, layer: newLayer(0, 0), size: "" }));
  return (width, height, view, greyed) => {
    const one = kept[Number(greyed)]!;
    const size = `${width}x${height}@${view.u},${view.v},${view.zoom}`;
    if (one.size !== size) draw(one.layer, one.source, width, height, view);
    one.size = size;
    return one.layer.canvas;
  };
}

function draw({ canvas, context }: Layer, source: ImageBitmap | HTMLCanvasElement, width: number, height: number, { u, v, zoom }: Viewport): void {
  resize({ canvas, context }, width, height);
  context.imageSmoothingQuality = "high";
  // an image may be transparent in places
  context.clearRect(0, 0, width, height);
  context.drawImage(source, u * source.width, v * source.height, source.width / zoom, source.height / zoom, 0, 0, width, height);
}

/** An image without its colours, at its own size. */
function greyOf(bitmap: ImageBitmap): Layer {
  const { width, height } = bitmap;
  const layer = newLayer(width, height);
  layer.context.drawImage(bitmap, 0, 0);
  const image = layer.context.getImageData(0, 0, width, height);
  grey(image.data);
  layer.context.putImageData(image, 0, 0);
  return layer;
}
