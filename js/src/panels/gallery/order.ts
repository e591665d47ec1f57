/** The pictures of the gallery in the order in which they are listed. */

import type { ItemsMessage } from "../../core/state.ts";

export interface Order {
  readonly count: number;
  readonly imageAt: (at: number) => number;
  /** −1 for a picture that is not listed. */
  readonly placeOf: (image: number) => number;
}

export function originalOrder(count: number): Order {
  return { count, imageAt: (at) => at, placeOf: (image) => image };
}

export function orderOf(images: Uint32Array): Order {
  return { count: images.length, imageAt: (at) => images[at] ?? 0, placeOf: (image) => images.indexOf(image) };
}

/** The indices in an `order`. */
export function imagesIn({ buffers }: ItemsMessage): Uint32Array {
  const bytes = buffers.get("order");
  return bytes ? new Uint32Array(bytes.slice().buffer) : new Uint32Array();
}
