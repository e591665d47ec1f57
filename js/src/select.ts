/** What follows from a state: questions the panels ask, answered in one place. */

import { areaField, fieldOf, tableIndex, type Field } from "./pixels.ts";
import { cellAt } from "./geometry.ts";
import { keyOf, regionsFor, type Explained, type Failure, type Job, type MethodSpec, type Region, type Sign, type State } from "./state.ts";

export function shownKey(state: State): string {
  return keyOf(state.shown.method, state.shown.target);
}

export function shownMethod(state: State): MethodSpec | undefined {
  return state.spec.methods.find(({ id }) => id === state.shown.method);
}

export function shownExplained(state: State): Explained | undefined {
  return state.explained.get(shownKey(state));
}

export function shownSign(state: State): Sign {
  const { sign } = state.shown;
  return sign === "auto" ? (shownExplained(state)?.result.sign ?? "absolute") : sign;
}

/** Without negative values all signs show the same. */
export function signsDiffer(explained: Explained): boolean {
  return (explained.valuesTable[0] ?? 0) < 0;
}

/** The regions of what is shown, where its pixels know their region. */
export function shownRegions(state: State): readonly Region[] | null {
  const explained = shownExplained(state);
  return explained?.step && explained.result.regions?.length ? explained.result.regions : null;
}

/** How many regions are shown; 0 where there are none or nothing is kept. */
export function regionCount(state: State): number {
  const regions = shownRegions(state);
  if (!regions) return 0;
  const { region, keep } = state.shown;
  return region > 0 ? Math.min(region, regions.length) : regionsFor(regions, keep / 100);
}

/** The share `keep` stands for: where regions are counted, the area they cover. */
export function keepShown(state: State): number {
  const regions = shownRegions(state);
  if (!regions || state.shown.region === 0) return state.shown.keep;
  return Math.round((regions[regionCount(state) - 1]?.cumulative ?? 0) * 1000) / 10;
}

/** The percentile below which nothing is kept or coloured, in either mode. */
export function percentileShown(state: State): number {
  return state.shown.mode === "area" ? 100 - keepShown(state) : state.shown.threshold;
}

export function shownField(state: State, explained: Explained): Field {
  const sign = shownSign(state);
  return state.shown.mode === "area" ? areaField(explained, sign) : fieldOf(explained, sign);
}

/** The value a pixel must reach. */
export function cutOf(state: State, field: Field): number {
  return field.table[tableIndex(percentileShown(state))] ?? -Infinity;
}

export type Status =
  | { readonly kind: "idle" | "lacking" | "unreachable" | "running" }
  | { readonly kind: "done"; readonly explained: Explained }
  | { readonly kind: "failed"; readonly failure: Failure };

/** How a method stands for the class that is shown. */
export function statusOf(state: State, method: MethodSpec): Status {
  const key = keyOf(method.id, state.shown.target);
  const explained = state.explained.get(key);
  if (state.jobs.has(key)) return { kind: "running" };
  if (explained && explained.share >= 1) return { kind: "done", explained };
  if (method.lacks) return { kind: "lacking" };
  const failure = state.failures.get(key);
  if (failure) return { kind: "failed", failure };
  return { kind: state.link === "packed" ? "unreachable" : "idle" };
}

export function shownStatus(state: State): Status {
  const method = shownMethod(state);
  return method ? statusOf(state, method) : { kind: "idle" };
}

export function shownJob(state: State): Job | undefined {
  return state.jobs.get(shownKey(state));
}

/** Share of a job that is done; 0 while nothing is known. */
export function shareOf(job: Job): number {
  return job.total > 0 ? Math.min(job.done / job.total, 1) : 0;
}

export interface Reading {
  readonly x: number;
  readonly y: number;
  readonly value: number | null;
  /** Rank from 1, gain and cumulative area of the region under the cursor. */
  readonly region: { readonly rank: number; readonly gain: number; readonly cumulative: number } | null;
}

/** What lies under a pixel of the picture. */
export function readingAt(state: State, [x, y]: readonly [number, number]): Reading {
  const explained = shownExplained(state);
  const cell = explained && cellAt(state.spec.place, explained.result.shape, x, y);
  if (!cell) return { x, y, value: null, region: null };
  const index = cell[0] * explained.result.shape[1] + cell[1];
  const rank = explained.step?.[index];
  const region = rank === undefined ? undefined : explained.result.regions?.[rank];
  return {
    x,
    y,
    value: shownField(state, explained).values[index] ?? null,
    region: region && rank !== undefined ? { rank: rank + 1, gain: region.gain, cumulative: region.cumulative } : null,
  };
}

export function labelOf(state: State, index: number): string {
  if (index < 0) return "the top class";
  return (
    state.classes.find((row) => row.index === index)?.label ?? shownExplained(state)?.result.label ?? `class ${index}`
  );
}
