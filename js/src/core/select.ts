/** What follows from a state. */

import { keyOf, pairOf, TOP, type Cell } from "./cell.ts";
import { areaField, fieldOf, tableIndex, type Field } from "./field.ts";
import { cellAt, type Point } from "./geometry.ts";
import { regionsFor } from "./picked.ts";
import type { ClassRow, Explained, Failure, Region, Sign } from "./result.ts";
import type { Grid, ImageSpec, MethodSpec, Settings } from "./settings.ts";
import { shownCell, type Job, type State } from "./state.ts";

/** Cells of a grid, at most. */
export const MOST_CELLS = 36;

export function comparing({ shown: { grid } }: State): boolean {
  return [grid.methods, grid.targets, grid.models, grid.images].some((axis) => axis !== undefined && axis.length > 0);
}

/** The cells on the screen, row by row; the shown one is always among them. */
export function cellsOf(state: State): readonly Cell[] {
  const shown = shownCell(state);
  if (!comparing(state)) return [shown];
  const { grid } = state.shown;
  const key = keyOf(shown);
  let cells = product(state, [grid.methods, grid.targets, grid.models, grid.images], false);
  if (!cells.some((cell) => keyOf(cell) === key)) cells = product(state, [grid.methods, grid.targets, grid.models, grid.images], true);
  if (cells.length <= MOST_CELLS) return cells;
  const first = cells.slice(0, MOST_CELLS);
  return first.some((cell) => keyOf(cell) === key) ? first : [...first.slice(1), shown];
}

type Axes = readonly [Grid["methods"], Grid["targets"], Grid["models"], Grid["images"]];

/** Every combination; what is shown joins an axis that lacks it, where that is wanted. */
function product(state: State, [methods, targets, models, images]: Axes, joins: boolean): readonly Cell[] {
  const shown = shownCell(state);
  const cells = axis(images, shown.image, joins).flatMap((image) =>
    axis(models, shown.model, joins).flatMap((model) =>
      axis(targets, shown.target, joins).flatMap((target) =>
        axis(methods, shown.method, joins).map((method) => resolved(state, { method, target, model, image })))));
  return [...new Map(cells.map((cell) => [keyOf(cell), cell])).values()];
}

/** How many cells stand side by side, of one row that belongs together; 0 where any number will do. */
export function columnsOf(state: State): number {
  const cells = cellsOf(state);
  const counts = [
    new Set(cells.map(({ method }) => method)), new Set(cells.map(({ target }) => target)),
    new Set(cells.map(({ model }) => model)), new Set(cells.map(({ image }) => image)),
  ].map(({ size }) => size).filter((size) => size > 1);
  const [first] = counts;
  return counts.length > 1 && first !== undefined && cells.length % first === 0 ? first : 0;
}

/** What an axis of the grid holds now, by the values a control has for it. */
export function pinned(state: State, name: keyof Grid): readonly (string | number)[] {
  const cells = cellsOf(state);
  const shown = shownCell(state);
  // targets differ from image to image where each has its own top class
  const own = name === "targets" ? cells.filter(({ model, image }) => model === shown.model && image === shown.image) : cells;
  return [...new Set(own.map((cell) => cell[FIELDS[name]]))];
}

const FIELDS = { methods: "method", targets: "target", models: "model", images: "image" } as const;
const TRAITS = { methods: "method", targets: "target", models: "model_index", images: "image_index" } as const;

/** Choose a value to be shown; while cells are compared it joins them, and what is there stays. */
export function choosing(state: State, name: keyof Grid, value: string | number): Partial<Settings> {
  const chosen = { [TRAITS[name]]: value } as Partial<Settings>;
  const there = pinned(state, name);
  // a single value of an axis only follows what is shown
  if (!comparing(state) || there.includes(value) || !state.shown.grid[name]?.length) return chosen;
  return { ...chosen, grid: { ...state.shown.grid, [name]: [...there, value] } };
}

/** Take a value into an axis of the grid or out of it; null where the axis would be empty or the grid too large. */
export function toggling(state: State, name: keyof Grid, value: string | number): Partial<Settings> | null {
  const there = pinned(state, name);
  const next = there.includes(value) ? there.filter((each) => each !== value) : [...there, value];
  const [first] = next;
  if (first === undefined || (cellsOf(state).length / there.length) * next.length > MOST_CELLS) return null;
  const shown = shownCell(state)[FIELDS[name]];
  return { grid: { ...state.shown.grid, [name]: next }, ...(next.includes(shown) ? {} : { [TRAITS[name]]: first }) };
}

/** What comparing begins with: all models, or all images, or else the methods that are there, or are there soonest. */
export function firstGrid(state: State): Grid {
  const { models, images, methods } = state.spec;
  const shown = shownCell(state);
  if (models.length > 1) return { models: [...models.keys()] };
  if (images.length > 1) {
    const top = classesOf(state)[0]?.index === shown.target;
    return { images: [...images.keys()].slice(0, MOST_CELLS), ...(top ? { targets: [TOP] } : {}) };
  }
  const standing = methods.map(({ id, cost }) => ({ id, cost: cost || Infinity, status: statusOf(state, { ...shown, method: id }).kind }));
  const here = standing.filter(({ id, status }) => id === shown.method || ["done", "stale", "running"].includes(status));
  const soonest = standing.filter((one) => !here.includes(one) && one.status === "idle").sort((a, b) => a.cost - b.cost);
  const chosen = [...here, ...soonest.slice(0, Math.max(0, FEW - here.length))].slice(0, MANY);
  return { methods: methods.filter(({ id }) => chosen.some((one) => one.id === id)).map(({ id }) => id) };
}

/** Of methods that are compared to begin with. */
const FEW = 3;
const MANY = 9;

function axis<T>(values: readonly T[] | undefined, shown: T, joins: boolean): readonly T[] {
  if (!values?.length) return [shown];
  return !joins || values.includes(shown) ? values : [...values, shown];
}

/** A target that stands for the top class, by its index where it is known. */
function resolved({ predictions }: State, cell: Cell): Cell {
  if (cell.target !== TOP) return cell;
  return { ...cell, target: predictions.get(pairOf(cell.model, cell.image))?.[0]?.index ?? TOP };
}

/** The names in which a cell differs from others. */
export function namesOf(state: State, cell: Cell, cells: readonly Cell[] = cellsOf(state)): readonly string[] {
  const differs = (field: keyof Cell): boolean => cells.some((each) => each[field] !== cell[field]);
  const parts = [
    differs("method") && nameOf(state, cell), differs("target") && labelOf(state, cell),
    differs("model") && (state.spec.models[cell.model] ?? ""), differs("image") && imageOf(state, cell).name,
  ].filter((part) => typeof part === "string");
  return parts.length > 0 ? parts : [nameOf(state, cell)];
}

/** A key of all cells on the screen: it changes when they do. */
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

/** The colours of a map: signed values have their own. */
export function colormapOf(state: State, explained: Explained | undefined): string {
  return signOf(state, explained) === "signed" ? "diverging" : state.shown.colormap;
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

/** Why the model of a cell does not support its method; empty where it does. */
export function lackOf(state: State, cell: Cell): string {
  return methodOf(state, cell)?.lacks[cell.model] ?? "";
}

export function shownStatus(state: State): Status {
  return shownMethod(state) ? statusOf(state, shownCell(state)) : { kind: "idle" };
}

/** The running job of a cell; none while the kernel does not answer. */
export function jobOf({ jobs, silent }: State, cell: Cell): Job | undefined {
  return silent ? undefined : jobs.get(keyOf(cell));
}

export function shownJob(state: State): Job | undefined {
  return jobOf(state, shownCell(state));
}

/** Share of a job that is done; 0 while nothing is known. */
export function jobShare(job: Job): number {
  return job.total > 0 ? Math.min(job.done / job.total, 1) : 0;
}

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

/** The pixel of a picture at a point of it. */
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

/** The two cells of a swipe or a blink: the shown one, and `other` or else the next; null where there is only one. */
export function pairShown(state: State, other: string): readonly [Cell, Cell] | null {
  const shown = shownCell(state);
  const rest = cellsOf(state).filter((cell) => keyOf(cell) !== keyOf(shown));
  const found = rest.find((cell) => keyOf(cell) === other) ?? rest[0];
  return found ? [shown, found] : null;
}
