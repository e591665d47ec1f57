/** Memory of a page: old results are dropped, for the kernel has them too. */

import { keyOf } from "./cell.ts";
import { cellsOf } from "./grid.ts";
import type { Explained } from "./result.ts";
import type { State } from "./state.ts";

/** Bytes of maps. */
export const ROOM = 256 << 20;

/** The results to forget, oldest first, until the rest has room; what is on the screen stays, and without a kernel everything. */
export function surplus(state: State, room = ROOM): readonly string[] {
  if (state.link !== "live") return [];
  let total = 0;
  for (const one of state.explained.values()) total += bytesOf(one);
  if (total <= room) return [];
  const seen = new Set(cellsOf(state).map(keyOf));
  const gone: string[] = [];
  for (const [key, one] of state.explained) {
    if (total <= room) break;
    if (seen.has(key)) continue;
    total -= bytesOf(one);
    gone.push(key);
  }
  return gone;
}

function bytesOf({ values, magnitude, step }: Explained): number {
  return values.byteLength + (magnitude?.byteLength ?? 0) + (step?.byteLength ?? 0);
}
