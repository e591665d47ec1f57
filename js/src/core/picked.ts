/** The manual selection: regions one by one, or a mask as run lengths. */

import { clamp } from "./geometry.ts";
import type { Explained, Region } from "./result.ts";

/** `{}`: nothing, what `keep` and `region` say holds. */
export interface Picked {
  readonly regions?: readonly number[];
  readonly shape?: readonly [height: number, width: number];
  /** Row by row; the first run is of what is not picked. */
  readonly runs?: readonly number[];
}

export const NOTHING: Picked = {};

export function runsOf(mask: Uint8Array): number[] {
  const runs: number[] = [];
  let value = 0;
  let length = 0;
  for (const cell of mask) {
    if (cell !== value) {
      runs.push(length);
      value = cell;
      length = 0;
    }
    length++;
  }
  runs.push(length);
  return runs;
}

/** 1 in the cells that are picked. Returns how many are, or null where nothing is picked that fits this result. */
export function keepPicked(explained: Explained, picked: Picked, kept: Uint8Array): number | null {
  if (!fits(explained, picked)) return null;
  const { regions, runs } = picked;
  const { step } = explained;
  let count = 0;
  if (regions && step) {
    const wanted = new Uint8Array(65536);
    for (const rank of regions) wanted[rank] = 1;
    for (let i = 0; i < kept.length; i++) count += kept[i] = wanted[step[i]!]!;
    return count;
  }
  let at = 0;
  for (const [i, length] of (runs ?? []).entries()) {
    kept.fill(i & 1, at, at + length);
    if (i & 1) count += length;
    at += length;
  }
  return count;
}

/** Whether what is picked means anything for this result. */
export function fits({ step, result }: Explained, { regions, shape }: Picked): boolean {
  if (regions) return step !== null && Boolean(result.regions?.length);
  return shape?.[0] === result.shape[0] && shape[1] === result.shape[1];
}

/** Regions with one more, or one less. */
export function toggled(regions: readonly number[], rank: number): readonly number[] {
  return regions.includes(rank) ? regions.filter((each) => each !== rank) : [...regions, rank].sort((a, b) => a - b);
}

/** In cells, from the upper left corner of the map. */
export type Spot = readonly [row: number, column: number];

/** Sets the cells within `radius` of the line between two spots. */
export function brush(mask: Uint8Array, [height, width]: readonly [number, number], from: Spot, to: Spot, radius: number, value: 0 | 1): void {
  const [down, across] = [to[0] - from[0], to[1] - from[1]];
  const length = down * down + across * across;
  const top = Math.max(0, Math.floor(Math.min(from[0], to[0]) - radius));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(from[0], to[0]) + radius));
  const left = Math.max(0, Math.floor(Math.min(from[1], to[1]) - radius));
  const right = Math.min(width - 1, Math.ceil(Math.max(from[1], to[1]) + radius));
  for (let row = top; row <= bottom; row++) {
    for (let column = left; column <= right; column++) {
      const [y, x] = [row + 0.5 - from[0], column + 0.5 - from[1]];
      const along = length === 0 ? 0 : clamp((y * down + x * across) / length, 0, 1);
      if (Math.hypot(y - along * down, x - along * across) <= radius) mask[row * width + column] = value;
    }
  }
}

/** Sets the cells that a rectangle between two corners touches. */
export function box(mask: Uint8Array, [height, width]: readonly [number, number], one: Spot, other: Spot, value: 0 | 1): void {
  const within = (at: number, size: number): number => clamp(Math.floor(at), 0, size - 1);
  const top = within(Math.min(one[0], other[0]), height);
  const bottom = within(Math.max(one[0], other[0]), height);
  const left = within(Math.min(one[1], other[1]), width);
  const right = within(Math.max(one[1], other[1]), width);
  for (let row = top; row <= bottom; row++) mask.fill(value, row * width + left, row * width + right + 1);
}

export interface Mass {
  /** Share of the pixels. */
  readonly area: number;
  /** Sum of the values inside. */
  readonly mass: number;
  /** Share of all attribution, its signs dropped. */
  readonly share: number;
  /** Mean of the values inside. */
  readonly mean: number;
}

/** The attribution inside the cells that are kept. */
export function massIn({ values, magnitude }: Explained, kept: Uint8Array): Mass {
  const strength = magnitude ?? values;
  let count = 0;
  let mass = 0;
  let inside = 0;
  let all = 0;
  for (let i = 0; i < kept.length; i++) {
    const size = Math.abs(strength[i]!);
    all += size;
    if (!kept[i]) continue;
    count++;
    mass += values[i]!;
    inside += size;
  }
  return { area: count / kept.length, mass, share: all > 0 ? inside / all : 0, mean: count > 0 ? mass / count : 0 };
}

/** The number of regions nearest to a share of the area: at least one, unless nothing is kept. */
export function regionsFor(regions: readonly Region[], share: number): number {
  if (share <= 0) return 0;
  let best = 0;
  for (const [i, { cumulative }] of regions.entries()) {
    if (Math.abs(cumulative - share) < Math.abs(regions[best]!.cumulative - share)) best = i;
  }
  return best + 1;
}
