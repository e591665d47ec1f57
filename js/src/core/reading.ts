/** The value and the region under a point. */

import type { Cell } from "./cell.ts";
import { cellAt, pixelOf, type Point } from "./geometry.ts";
import { explainedOf, imageOf } from "./lookup.ts";
import { fieldShown } from "./scale.ts";
import type { State } from "./state.ts";

export interface Reading {
  readonly value: number | null;
  /** Rank from 1, gain and cumulative area of the region under the cursor. */
  readonly region: { readonly rank: number; readonly gain: number; readonly cumulative: number } | null;
}

/** The value and the region of a cell under a point of its picture. */
export function readingAt(state: State, cell: Cell, point: Point): Reading {
  const explained = explainedOf(state, cell);
  const [x, y] = pixelOf(point, imageOf(state, cell).size);
  const at = explained && cellAt(explained.result.place, explained.result.shape, x, y);
  if (!at) return { value: null, region: null };
  const index = at[0] * explained.result.shape[1] + at[1];
  const rank = explained.step?.[index];
  const region = rank === undefined ? undefined : explained.result.regions?.[rank];
  return {
    value: fieldShown(state, explained).values[index] ?? null,
    region: region && rank !== undefined ? { rank: rank + 1, gain: region.gain, cumulative: region.cumulative } : null,
  };
}
