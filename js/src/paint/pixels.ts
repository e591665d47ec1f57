/** Pixel kernels: pure loops that write into buffers the caller keeps. Nothing here allocates in proportion to the picture. */

import { pack } from "./colormaps.ts";
import { clamp } from "../core/geometry.ts";
import type { Explained, Sign } from "../core/state.ts";

/** One way to look at a result: which numbers are coloured, and which are compared with a percentile. */
export interface Field {
  /** What is coloured and read under the cursor. */
  readonly values: Float32Array;
  /** What is compared with `table`; the same array but in the signed view of a heat map. */
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

/** What `keep` compares in area mode: of signed values the top ones, not the strongest. */
export function areaField(explained: Explained, sign: Sign): Field {
  return fieldOf(explained, sign === "signed" ? "positive" : sign);
}

/** Colour of each cell by its value; nothing where its strength is below `cut`. */
export function heat(field: Field, cut: number, lut: Uint32Array, out: Uint32Array): void {
  const { values, strength, low, high } = field;
  const last = lut.length - 1;
  const scale = last / (high - low);
  for (let i = 0; i < out.length; i++) {
    if (!(strength[i]! >= cut)) {
      out[i] = 0;
      continue;
    }
    const index = (values[i]! - low) * scale + 0.5;
    out[i] = lut[index <= 0 ? 0 : index >= last ? last : index | 0]!;
  }
}

/** 1 where a cell is kept: `value >= cut`, exactly NumPy's rule. Returns how many are. */
export function keepAbove(strength: Float32Array, cut: number, kept: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < kept.length; i++) {
    const inside = strength[i]! >= cut ? 1 : 0;
    kept[i] = inside;
    count += inside;
  }
  return count;
}

/** 1 where a cell lies in one of the first `regions` regions. Returns how many do. */
export function keepRegions(step: Uint16Array, regions: number, kept: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < kept.length; i++) {
    const inside = step[i]! < regions ? 1 : 0;
    kept[i] = inside;
    count += inside;
  }
  return count;
}

/** 1 in one region only. */
export function onlyRegion(step: Uint16Array, region: number, kept: Uint8Array): void {
  for (let i = 0; i < kept.length; i++) kept[i] = step[i] === region ? 1 : 0;
}

/** What is drawn over the picture so that only the kept cells keep their light. */
export const SHADE = pack(17, 18, 22, 255);

export function shade(kept: Uint8Array, out: Uint32Array): void {
  for (let i = 0; i < out.length; i++) out[i] = kept[i] ? 0 : SHADE;
}

/** Colours the kept cells that lie beside others, or at the edge; how many sides they have there. */
export function markBorder(kept: Uint8Array, width: number, height: number, colour: number, out: Uint32Array): number {
  let sides = 0;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (!kept[i]) continue;
      const open = (x > 0 && kept[i - 1] ? 0 : 1) + (x < width - 1 && kept[i + 1] ? 0 : 1)
        + (y > 0 && kept[i - width] ? 0 : 1) + (y < height - 1 && kept[i + width] ? 0 : 1);
      if (open === 0) continue;
      out[i] = colour;
      sides += open;
    }
  }
  return sides;
}

/** A picture without its colours, in place (Rec. 709 luma on the encoded values). */
export function grey(rgba: Uint8ClampedArray): void {
  for (let i = 0; i < rgba.length; i += 4) {
    const luma = 0.2126 * rgba[i]! + 0.7152 * rgba[i + 1]! + 0.0722 * rgba[i + 2]!;
    rgba[i] = luma;
    rgba[i + 1] = luma;
    rgba[i + 2] = luma;
  }
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

/** Means over squares of `2 * radius + 1` cells a side, cropped at the edges. */
export function boxBlur(values: Float32Array, width: number, height: number, radius: number): Float32Array {
  if (radius < 1) return values;
  const rows = new Float32Array(values.length);
  const out = new Float32Array(values.length);
  for (let y = 0; y < height; y++) slide(values, rows, y * width, 1, width, radius);
  for (let x = 0; x < width; x++) slide(rows, out, x, width, height, radius);
  return out;
}

/** Running means along one line of `count` cells that are `step` apart. */
function slide(from: Float32Array, to: Float32Array, start: number, step: number, count: number, radius: number): void {
  let total = 0;
  let cells = 0;
  for (let i = -radius; i < count; i++) {
    const enters = i + radius;
    const leaves = i - radius - 1;
    if (enters < count) {
      total += from[start + enters * step]!;
      cells++;
    }
    if (leaves >= 0) {
      total -= from[start + leaves * step]!;
      cells--;
    }
    if (i >= 0) to[start + i * step] = total / cells;
  }
}
