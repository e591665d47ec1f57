/** Pixel kernels: pure loops that write into buffers the caller keeps. Nothing here allocates in proportion to the picture. */

import type { Field } from "../core/field.ts";
import { pack } from "./colormaps.ts";

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

/** Set 1 in one region only. */
export function onlyRegion(step: Uint16Array, region: number, kept: Uint8Array): void {
  for (let i = 0; i < kept.length; i++) kept[i] = step[i] === region ? 1 : 0;
}

/** The colour over what is not kept; as a word of an image, and in CSS for what is beside the map. */
export const SHADE = pack(17, 18, 22, 255);
export const SHADE_CSS = "rgb(17 18 22)";

export function shade(kept: Uint8Array, out: Uint32Array): void {
  for (let i = 0; i < out.length; i++) out[i] = kept[i] ? 0 : SHADE;
}

/** Colours the kept cells with a side towards others or the edge; returns the number of such sides. */
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
