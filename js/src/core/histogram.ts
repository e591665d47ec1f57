/** Histograms from percentiles: the map itself is not read again. */

import type { Field } from "./field.ts";
import { clamp } from "./geometry.ts";

/** Share of values up to `value`, by a table of the percentiles 0, 0.1, … 100. */
export function shareUpTo(table: Float32Array, value: number): number {
  const last = table.length - 1;
  if (!(value >= table[0]!)) return 0;
  if (value >= table[last]!) return 1;
  let low = 0;
  let high = last;
  // the last entry that is not above the value: of many equal ones all count
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (table[middle]! <= value) low = middle;
    else high = middle;
  }
  const step = table[high]! - table[low]!;
  return (low + (step > 0 ? (value - table[low]!) / step : 0)) / last;
}

/** Counts to this power: most maps are nearly all zero, and the rest would not be seen beside it. */
const BENT = 0.3;

/** Heights (0–1, bent) of equally wide bars over a colour scale; values above it count in the last. */
export function histogram(table: Float32Array, low: number, high: number, count: number): number[] {
  const ranks = Array.from({ length: count + 1 }, (_, i) => shareUpTo(table, low + ((high - low) * i) / count));
  ranks[count] = 1;
  // zeros count in the first bar of a scale that begins there
  if (table[0]! >= low) ranks[0] = 0;
  const heights = Array.from({ length: count }, (_, i) => ranks[i + 1]! - ranks[i]!);
  const most = Math.max(...heights) || 1;
  return heights.map((height) => (Math.max(height, 0) / most) ** BENT);
}

/** Heights (0–1) of bars of equally many pixels each, weakest first: the roots of their middle values on the colour scale. */
export function bars({ table, low, high }: Field, count: number): number[] {
  const floor = Math.max(low, 0);
  const per = (table.length - 1) / count;
  return Array.from({ length: count }, (_, bar) => {
    const value = table[Math.round((bar + 0.5) * per)] ?? 0;
    return Math.sqrt(clamp((value - floor) / (high - floor), 0, 1));
  });
}
