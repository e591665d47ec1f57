/** What follows from a state: questions the panels ask, answered in one place. */

import { areaField, fieldOf, tableIndex, type Field } from "./pixels.ts";
import { cellAt, type Point } from "./geometry.ts";
import {
  keyOf, pairOf, regionsFor, shownCell, TOP,
  type Cell, type ClassRow, type Explained, type Failure, type ImageSpec, type Job, type MethodSpec, type Region, type Sign, type State,
} from "./state.ts";

/** A grid of more would be a wall of stamps. */
export const MOST_CELLS = 36;

export function comparing({ shown: { grid } }: State): boolean {
  return [grid.methods, grid.targets, grid.models, grid.images].some((axis) => axis !== undefined && axis.length > 0);
}

/** The cells on the screen, row by row; the shown one is always among them. */
export function cellsOf(state: State): readonly Cell[] {
  const shown = shownCell(state);
  if (!comparing(state)) return [shown];
  const { grid } = state.shown;
  const cells: Cell[] = [];
  for (const image of axis(grid.images, shown.image)) {
    for (const model of axis(grid.models, shown.model)) {
      for (const target of axis(grid.targets, shown.target)) {
        for (const method of axis(grid.methods, shown.method)) cells.push(resolved(state, { method, target, model, image }));
      }
    }
  }
  const distinct = [...new Map(cells.map((cell) => [keyOf(cell), cell])).values()];
  if (distinct.length <= MOST_CELLS) return distinct;
  const first = distinct.slice(0, MOST_CELLS);
  return first.some((cell) => keyOf(cell) === keyOf(shown)) ? first : [...first.slice(1), shown];
}

/** How many cells stand side by side, of one row that belongs together; 0 where any number will do. */
export function columnsOf(state: State): number {
  const { grid } = state.shown;
  const shown = shownCell(state);
  const lengths = [
    axis(grid.methods, shown.method), axis(grid.targets, shown.target), axis(grid.models, shown.model), axis(grid.images, shown.image),
  ].map((values) => values.length).filter((length) => length > 1);
  return lengths.length > 1 ? lengths[0]! : 0;
}

function axis<T>(values: readonly T[] | undefined, shown: T): readonly T[] {
  if (!values?.length) return [shown];
  return values.includes(shown) ? values : [...values, shown];
}

/** A target that stands for the top class, by its index where it is known. */
function resolved({ predictions }: State, cell: Cell): Cell {
  if (cell.target !== TOP) return cell;
  return { ...cell, target: predictions.get(pairOf(cell.model, cell.image))?.[0]?.index ?? TOP };
}

/** One word for all that is on the screen: it changes when the cells do. */
export function gridKey(state: State): string {
  return cellsOf(state).map(keyOf).join(" ");
}

export function imageOf({ spec }: State, { image }: Cell): ImageSpec {
  return spec.images[image] ?? { name: "", size: [1, 1] };
}

export function methodOf({ spec }: State, { method }: Cell): MethodSpec | undefined {
  return spec.methods.find(({ id }) => id === method);
}

export function shownMethod(state: State): MethodSpec | undefined {
  return methodOf(state, shownCell(state));
}

export function nameOf(state: State, cell: Cell): string {
  return methodOf(state, cell)?.name ?? cell.method;
}

export function explainedOf({ explained }: State, cell: Cell): Explained | undefined {
  return explained.get(keyOf(cell));
}

export function shownExplained(state: State): Explained | undefined {
  return explainedOf(state, shownCell(state));
}

export function signOf({ shown: { sign } }: State, explained: Explained | undefined): Sign {
  return sign === "auto" ? (explained?.result.sign ?? "absolute") : sign;
}

export function shownSign(state: State): Sign {
  return signOf(state, shownExplained(state));
}

/** Without negative values all signs show the same. */
export function signsDiffer(explained: Explained): boolean {
  return (explained.valuesTable[0] ?? 0) < 0;
}

/** The regions of a cell, where its pixels know their region. */
export function regionsOf(explained: Explained | undefined): readonly Region[] | null {
  return explained?.step && explained.result.regions?.length ? explained.result.regions : null;
}

export function shownRegions(state: State): readonly Region[] | null {
  return regionsOf(shownExplained(state));
}

/** How many regions of a cell are shown, by default of the shown one; 0 where there are none or nothing is kept. */
export function regionCount(state: State, cell: Cell = shownCell(state)): number {
  const regions = regionsOf(explainedOf(state, cell));
  if (!regions) return 0;
  const { region } = state.shown;
  // a number of regions is the shown cell's; the others keep as much of the area
  if (region > 0 && keyOf(cell) === keyOf(shownCell(state))) return Math.min(region, regions.length);
  return regionsFor(regions, keepShown(state) / 100);
}

/** The share `keep` stands for: where regions are counted, the area they cover. */
export function keepShown(state: State): number {
  const regions = shownRegions(state);
  const { region, keep } = state.shown;
  if (!regions || region === 0) return keep;
  return Math.round((regions[Math.min(region, regions.length) - 1]?.cumulative ?? 0) * 1000) / 10;
}

/** The percentile below which nothing is kept or coloured, in either mode. */
export function percentileShown(state: State): number {
  return state.shown.mode === "area" ? 100 - keepShown(state) : state.shown.threshold;
}

/** The numbers of a cell as they are shown, on the scale they are shown on. */
export function fieldShown(state: State, explained: Explained): Field {
  const sign = signOf(state, explained);
  return state.shown.mode === "area" ? areaField(explained, sign) : { ...fieldOf(explained, sign), ...scaleOf(state, explained) };
}

/** The ends of a cell's colours: its own, or those of all cells with this sign together. */
export function scaleOf(state: State, explained: Explained): Pick<Field, "low" | "high"> {
  const sign = signOf(state, explained);
  const { low, high } = fieldOf(explained, sign);
  if (state.shown.scale === "own" || !comparing(state)) return { low, high };
  const all = cellsOf(state).flatMap((cell) => {
    const other = explainedOf(state, cell);
    return other && signOf(state, other) === sign ? [fieldOf(other, sign)] : [];
  });
  return { low: Math.min(low, ...all.map((each) => each.low)), high: Math.max(high, ...all.map((each) => each.high)) };
}

/** The value a pixel must reach. */
export function cutOf(state: State, field: Field): number {
  return field.table[tableIndex(percentileShown(state))] ?? -Infinity;
}

export type Status =
  | { readonly kind: "idle" | "lacking" | "unreachable" | "running" }
  | { readonly kind: "done" | "stale"; readonly explained: Explained }
  | { readonly kind: "failed"; readonly failure: Failure };

export function statusOf(state: State, cell: Cell): Status {
  const key = keyOf(cell);
  const explained = state.explained.get(key);
  if (jobOf(state, cell)) return { kind: "running" };
  const failure = state.failures.get(key);
  if (explained?.stale && failure) return { kind: "failed", failure };
  if (explained && explained.share >= 1) return { kind: explained.stale ? "stale" : "done", explained };
  if (lackOf(state, cell)) return { kind: "lacking" };
  if (failure) return { kind: "failed", failure };
  return { kind: state.link === "packed" || state.silent ? "unreachable" : "idle" };
}

/** Why the model of a cell cannot be asked; empty where it can. */
export function lackOf(state: State, cell: Cell): string {
  return methodOf(state, cell)?.lacks[cell.model] ?? "";
}

export function shownStatus(state: State): Status {
  return shownMethod(state) ? statusOf(state, shownCell(state)) : { kind: "idle" };
}

/** What is being computed, as far as is known: of a kernel that does not answer nothing is. */
export function jobOf({ jobs, silent }: State, cell: Cell): Job | undefined {
  return silent ? undefined : jobs.get(keyOf(cell));
}

export function shownJob(state: State): Job | undefined {
  return jobOf(state, shownCell(state));
}

/** Share of a job that is done; 0 while nothing is known. */
export function shareOf(job: Job): number {
  return job.total > 0 ? Math.min(job.done / job.total, 1) : 0;
}

export interface Reading {
  readonly value: number | null;
  /** Rank from 1, gain and cumulative area of the region under the cursor. */
  readonly region: { readonly rank: number; readonly gain: number; readonly cumulative: number } | null;
}

/** What lies in a cell under a point of its picture. */
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

/** The pixel of a picture that a point of it lies in. */
export function pixelOf([u, v]: Point, [height, width]: ImageSpec["size"]): readonly [x: number, y: number] {
  return [Math.min(Math.floor(u * width), width - 1), Math.min(Math.floor(v * height), height - 1)];
}

/** The classes of what is shown, best first; those that were looked up behind. */
export function classesOf(state: State, { model, image }: Cell = shownCell(state)): readonly ClassRow[] {
  return state.predictions.get(pairOf(model, image)) ?? [];
}

export function labelOf(state: State, cell: Cell): string {
  if (cell.target < 0) return "the top class";
  const own = classesOf(state, cell).find(({ index }) => index === cell.target)?.label ?? explainedOf(state, cell)?.result.label;
  if (own !== undefined) return own;
  for (const rows of state.predictions.values()) for (const row of rows) if (row.index === cell.target) return row.label;
  return `class ${cell.target}`;
}

/** The shown cell and the one it is laid over: the one asked for, or else the next; null where there is only one. */
export function pairShown(state: State, other: string): readonly [Cell, Cell] | null {
  const shown = shownCell(state);
  const rest = cellsOf(state).filter((cell) => keyOf(cell) !== keyOf(shown));
  const found = rest.find((cell) => keyOf(cell) === other) ?? rest[0];
  return found ? [shown, found] : null;
}
