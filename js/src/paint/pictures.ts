/** The pictures, decoded, and as they lie under the maps: scaled once for all cells, not in every frame. */

import type { Viewport } from "../core/geometry.ts";
import { grey } from "./pixels.ts";
import { ended } from "../core/store.ts";
import type { Context } from "../panels/ui/dom.ts";
import { newLayer, resize, type Layer } from "./painter.ts";

export interface Grounds {
  /** The picture of an image at a size in device pixels, with or without its colours; null before it is decoded. */
  readonly at: (image: number, width: number, height: number, view: Viewport, greyed: boolean) => HTMLCanvasElement | null;
  readonly has: (image: number) => boolean;
}

interface Picture {
  readonly blob: Blob;
  readonly bitmap: ImageBitmap;
  readonly greyed: Layer;
  readonly scaled: readonly [Scaled, Scaled];
}

interface Scaled {
  readonly layer: Layer;
  laid: string;
}

/** Decodes what is on the screen; `refresh` is called when a picture has come. */
export function createGrounds({ store, signal, watch }: Context, shown: () => readonly number[], refresh: () => void): Grounds {
  const pictures = new Map<number, Picture>();
  const decoding = new Map<number, Blob>();
  const decode = async (image: number, blob: Blob): Promise<void> => {
    decoding.set(image, blob);
    const bitmap = await createImageBitmap(blob);
    if (signal.aborted || store.state.pictures.get(image) !== blob) {
      bitmap.close();
      return;
    }
    pictures.get(image)?.bitmap.close();
    pictures.set(image, { blob, bitmap, greyed: greyOf(bitmap), scaled: [fresh(), fresh()] });
    refresh();
  };
  watch(
    (state) => [state.pictures, shown().join(" ")],
    (state) => {
      for (const image of shown()) {
        const blob = state.pictures.get(image);
        if (!blob || decoding.get(image) === blob) continue;
        decode(image, blob).catch((error: unknown) => console.warn("saliency-widget: no picture:", error));
      }
    },
  );
  ended(signal, () => pictures.forEach(({ bitmap }) => bitmap.close()));
  return {
    has: (image) => pictures.has(image),
    at(image, width, height, view, greyed) {
      const picture = pictures.get(image);
      if (!picture) return null;
      const scaled = picture.scaled[greyed ? 1 : 0];
      const wanted = `${width}x${height}@${view.u},${view.v},${view.zoom}`;
      if (scaled.laid !== wanted) lay(scaled.layer, greyed ? picture.greyed.canvas : picture.bitmap, picture.bitmap, width, height, view);
      scaled.laid = wanted;
      return scaled.layer.canvas;
    },
  };
}

function fresh(): Scaled {
  return { layer: newLayer(0, 0), laid: "" };
}

function lay({ canvas, context }: Layer, source: CanvasImageSource, size: ImageBitmap, width: number, height: number, view: Viewport): void {
  resize({ canvas, context }, width, height);
  context.imageSmoothingQuality = "high";
  // a picture may be transparent in places
  context.clearRect(0, 0, width, height);
  const across = size.width / view.zoom;
  const down = size.height / view.zoom;
  context.drawImage(source, view.u * size.width, view.v * size.height, across, down, 0, 0, width, height);
}

/** A picture without its colours, at its own size. */
function greyOf(bitmap: ImageBitmap): Layer {
  const { width, height } = bitmap;
  const layer = newLayer(width, height);
  layer.context.drawImage(bitmap, 0, 0);
  const image = layer.context.getImageData(0, 0, width, height);
  grey(image.data);
  layer.context.putImageData(image, 0, 0);
  return layer;
}
