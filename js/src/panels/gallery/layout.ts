/** Where the pictures of the gallery are: rows of equal tiles, of which only those in sight exist. */

import { clamp } from "../../core/geometry.ts";

export interface Layout {
  readonly columns: number;
  /** Width and height of a tile with its margin, in CSS pixels. */
  readonly width: number;
  readonly height: number;
  readonly count: number;
}

/** Least width of a tile, and height of its caption. */
const LEAST = 136;
const CAPTION = 46;
/** Rows that are drawn beyond the visible ones. */
const BEYOND = 1;

/** As many columns as fit, two at least. */
export function layoutOf(room: number, count: number): Layout {
  const columns = Math.max(2, Math.floor(room / LEAST));
  const width = Math.floor(room / columns);
  return { columns, width, height: width + CAPTION, count };
}

export function heightOf({ columns, height, count }: Layout): number {
  return Math.ceil(count / columns) * height;
}

/** The places from `first` to before `end` whose tiles are in sight, with `beyond` more rows on either side. */
export function inSight({ columns, height, count }: Layout, top: number, room: number, beyond = BEYOND): readonly [first: number, end: number] {
  const first = Math.max(0, Math.floor(top / height) - beyond) * columns;
  const end = (Math.floor(Math.max(0, top + room - 1) / height) + 1 + beyond) * columns;
  return [Math.min(first, count), Math.min(end, count)];
}

/** Where a tile is. */
export function placeOf({ columns, width, height }: Layout, at: number): { readonly left: number; readonly top: number } {
  return { left: (at % columns) * width, top: Math.floor(at / columns) * height };
}

/** The scroll position, as near as possible to `top`, in which a whole tile is in sight. */
export function revealing(layout: Layout, at: number, top: number, room: number): number {
  const from = placeOf(layout, at).top;
  return clamp(top, from + layout.height - room, from);
}

/** The place that a key moves to; null for other keys. */
export function movedBy(key: string, { columns, height, count }: Layout, at: number, room: number): number | null {
  const page = Math.max(1, Math.floor(room / height)) * columns;
  const steps: Readonly<Record<string, number>> = {
    ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -page, PageDown: page, Home: -count, End: count,
  };
  const step = steps[key];
  if (step === undefined || count === 0) return null;
  const next = at + step;
  // up and down stay in their column
  if ((key === "ArrowUp" && next < 0) || (key === "ArrowDown" && next >= count)) return at;
  return clamp(next, 0, count - 1);
}
