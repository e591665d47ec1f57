/** What is known of the pictures of a gallery: their thumbnails, maps and predictions. The oldest thumbnails are forgotten. */

import type { ItemsMessage } from "../../core/state.ts";

export interface Item {
  readonly image: number;
  readonly name: string;
  /** The predicted class, empty where it is not known, and its score: a probability if `percent`. */
  readonly label: string;
  readonly score: number | null;
  readonly percent: boolean;
  /** The true class, empty where it is not known. */
  readonly truth: string;
  readonly right: boolean | null;
  /** Why the picture cannot be read; else empty. */
  readonly error: string;
}

export interface Shelf {
  readonly items: ReadonlyMap<number, Item>;
  /** The address of a thumbnail, with the map of the shown method if `mapped` and there is one; empty where there is none. */
  readonly picture: (image: number, mapped: boolean) => string;
  /** Take over a message; false where it says that everything has to be requested again. */
  readonly take: (message: ItemsMessage) => boolean;
  readonly forgetMaps: () => void;
  readonly close: () => void;
}

/** Number of thumbnails that are kept, and of maps. */
const KEPT = 1500;

export function createShelf(): Shelf {
  const items = new Map<number, Item>();
  const pictures = createAddresses();
  const maps = createAddresses();
  return {
    items,
    picture: (image, mapped) => (mapped ? maps.get(image) : undefined) ?? pictures.get(image) ?? "",
    take({ raw, buffers }) {
      const all = buffers.get("pictures");
      const listed = itemsIn(raw);
      let start = 0;
      for (const each of listed) {
        const size = Number(each["bytes"]) || 0;
        const { image } = each;
        items.set(image, each);
        if (all && size > 0) (each["mapped"] ? maps : pictures).set(image, all.slice(start, start + size));
        start += size;
      }
      if (listed.length > 0) return true;
      // the weights have changed
      for (const [image, one] of items) items.set(image, { ...one, label: "", score: null, right: null });
      maps.clear();
      return false;
    },
    forgetMaps: maps.clear,
    close() {
      pictures.clear();
      maps.clear();
    },
  };
}

function itemsIn(raw: ItemsMessage["raw"]): readonly (Item & Readonly<Record<string, unknown>>)[] {
  const found = raw["items"];
  return Array.isArray(found) ? (found as (Item & Record<string, unknown>)[]).filter(({ image }) => Number.isInteger(image)) : [];
}

/** Blobs by the index of their picture. */
function createAddresses(): { readonly get: (image: number) => string | undefined; readonly set: (image: number, file: Uint8Array) => void; readonly clear: () => void } {
  const addresses = new Map<number, string>();
  const drop = (image: number): void => {
    const address = addresses.get(image);
    if (address) URL.revokeObjectURL(address);
    addresses.delete(image);
  };
  return {
    get: (image) => addresses.get(image),
    set(image, file) {
      drop(image);
      addresses.set(image, URL.createObjectURL(new Blob([file as BlobPart], { type: "image/jpeg" })));
      const [oldest] = addresses.keys();
      if (addresses.size > KEPT && oldest !== undefined) drop(oldest);
    },
    clear() {
      for (const image of [...addresses.keys()]) drop(image);
    },
  };
}
