/** Curves over the share of the pixels: the plane they are drawn on, and their paths. */

import { shape } from "../ui/dom.ts";

export const WIDTH = 240;
export const HEIGHT = 92;

/** The values at the bottom and the top of the plane. */
export type Scale = readonly [low: number, high: number];

/** A plane as wide as its element, with lines at its top and bottom, for shapes in units of `WIDTH` and `HEIGHT`. */
export function plane(...shapes: readonly SVGElement[]): SVGElement {
  const axis = shape("path", { class: "slw-line-axis", d: `M0 ${HEIGHT}H${WIDTH}M0 0H${WIDTH}` });
  return shape("svg", { viewBox: `0 -4 ${WIDTH} ${HEIGHT + 8}`, preserveAspectRatio: "none" }, axis, ...shapes);
}

export function rangeOf(values: readonly number[]): Scale {
  return [Math.min(...values), Math.max(...values)];
}

/** Height of a value on the plane, from 0 to 1. */
export function shareOf(value: number, [low, high]: Scale): number {
  return high > low ? (value - low) / (high - low) : 0.5;
}

export function pathOf(shares: readonly number[], heights: readonly number[], scale: Scale = [0, 1]): string {
  return shares.map((share, i) => `${i ? "L" : "M"}${(share * WIDTH).toFixed(1)} ${((1 - shareOf(heights[i]!, scale)) * HEIGHT).toFixed(1)}`).join("");
}

/** The area between two curves. */
export function bandPath(shares: readonly number[], low: readonly number[], high: readonly number[], scale: Scale): string {
  return `${pathOf([...shares, ...[...shares].reverse()], [...high, ...[...low].reverse()], scale)}z`;
}

/** The value of a curve at a share, interpolated; null outside of it. */
export function valueAt(shares: readonly number[], heights: readonly number[], share: number): number | null {
  const next = shares.findIndex((each) => each >= share);
  if (next < 0 || share < shares[0]!) return null;
  const [from, to] = [shares[Math.max(next - 1, 0)]!, shares[next]!];
  const [before, after] = [heights[Math.max(next - 1, 0)]!, heights[next]!];
  return to > from ? before + ((share - from) / (to - from)) * (after - before) : after;
}
