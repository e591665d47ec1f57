/** The numbers of a result under a sign: what is coloured, and what is compared with a percentile. */

import { clamp } from "./geometry.ts";
import type { Explained, Sign } from "./result.ts";

/** One way to look at a result: which numbers are coloured, and which are compared with a percentile. */
export interface Field {
  /** The values that are coloured and read under the cursor. */
  readonly values: Float32Array;
  /** The values that are compared with `table`; the same array except in the signed view of a heat map. */
  readonly strength: Float32Array;
  /** `strength`'s percentiles 0, 0.1, … 100, as NumPy gives them. */
  readonly table: Float32Array;
  readonly low: number;
  readonly high: number;
}

/** Index of a percentile in a table of 1001. */
export function tableIndex(percentile: number): number {
  return Math.round(clamp(percentile, 0, 100) * 10);
}

/**
 * The numbers a sign shows, with the scale of their colours (see "View modes" in the protocol). `positive` keeps the negative
 * values: they fall below the scale and get its first colour, and a percentile stays that of all values.
 */
export function fieldOf(explained: Explained, sign: Sign): Field {
  const { values, valuesTable } = explained;
  const magnitude = explained.magnitude ?? values;
  const magnitudeTable = explained.magnitudeTable ?? valuesTable;
  if (sign === "signed") {
    const reach = topOf(magnitudeTable) || 1;
    return { values, strength: magnitude, table: magnitudeTable, low: -reach, high: reach };
  }
  const strength = sign === "absolute" ? magnitude : values;
  const table = sign === "absolute" ? magnitudeTable : valuesTable;
  const low = Math.max(0, table[0] ?? 0);
  const top = topOf(table);
  return { values: strength, strength, table, low, high: top > low ? top : low + 1 };
}

/** The 99th percentile; the maximum where that leaves no room, as in a map that is nearly all zero. */
function topOf(table: Float32Array): number {
  const top = table[990] ?? 0;
  return top > Math.max(0, table[0] ?? 0) ? top : (table[1000] ?? 0);
}

/** The values that `keep` compares in area mode: of signed values the top ones, not the strongest. */
export function areaField(explained: Explained, sign: Sign): Field {
  return fieldOf(explained, sign === "signed" ? "positive" : sign);
}
