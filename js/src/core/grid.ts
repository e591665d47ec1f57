/** The cells on the screen. */

import { TOP, keyOf, pairOf, type Cell } from "./cell.ts";
import { classesOf, imageOf, labelOf, nameOf, openImages } from "./lookup.ts";
import type { Grid, Settings } from "./settings.ts";
import { shownCell, type State } from "./state.ts";
import { statusOf } from "./status.ts";

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

/** Every combination of the axes; with `joins`, the shown values are added to axes without them. */
function product(state: State, [methods, targets, models, images]: Axes, joins: boolean): readonly Cell[] {
  const shown = shownCell(state);
  const cells = axis(images, shown.image, joins).flatMap((image) =>
    axis(models, shown.model, joins).flatMap((model) =>
      axis(targets, shown.target, joins).flatMap((target) =>
        axis(methods, shown.method, joins).map((method) => resolved(state, { method, target, model, image })))));
  return [...new Map(cells.map((cell) => [keyOf(cell), cell])).values()];
}

/** The number of columns, so that a row holds cells that belong together; 0 if any number fits. */
export function columnsOf(state: State): number {
  const cells = cellsOf(state);
  const counts = [
    new Set(cells.map(({ method }) => method)), new Set(cells.map(({ target }) => target)),
    new Set(cells.map(({ model }) => model)), new Set(cells.map(({ image }) => image)),
  ].map(({ size }) => size).filter((size) => size > 1);
  const [first] = counts;
  return counts.length > 1 && first !== undefined && cells.length % first === 0 ? first : 0;
}

/** The values on an axis of the grid, as its control lists them. */
export function pinned(state: State, name: keyof Grid): readonly (string | number)[] {
  const cells = cellsOf(state);
  const shown = shownCell(state);
  // targets differ from image to image where each has its own top class
  const own = name === "targets" ? cells.filter(({ model, image }) => model === shown.model && image === shown.image) : cells;
  return [...new Set(own.map((cell) => cell[FIELDS[name]]))];
}

const FIELDS = { methods: "method", targets: "target", models: "model", images: "image" } as const;
const TRAITS = { methods: "method", targets: "target", models: "model_index", images: "image_index" } as const;

/** Show a value; while cells are compared it is added to them. */
export function choosing(state: State, name: keyof Grid, value: string | number): Partial<Settings> {
  const chosen = { [TRAITS[name]]: value } as Partial<Settings>;
  const there = pinned(state, name);
  // a single value of an axis only follows what is shown
  if (!comparing(state) || there.includes(value) || !state.shown.grid[name]?.length) return chosen;
  return { ...chosen, grid: { ...state.shown.grid, [name]: [...there, value] } };
}

/** Add a value to an axis of the grid or remove it; null if the axis would be empty or the grid too large. */
export function toggling(state: State, name: keyof Grid, value: string | number): Partial<Settings> | null {
  const there = pinned(state, name);
  const next = there.includes(value) ? there.filter((each) => each !== value) : [...there, value];
  const [first] = next;
  if (first === undefined || (cellsOf(state).length / there.length) * next.length > MOST_CELLS) return null;
  const shown = shownCell(state)[FIELDS[name]];
  return { grid: { ...state.shown.grid, [name]: next }, ...(next.includes(shown) ? {} : { [TRAITS[name]]: first }) };
}

/** The first grid of a comparison: all models, or all images, or else the computed methods and the cheapest others. */
export function firstGrid(state: State): Grid {
  const { models, methods } = state.spec;
  const images = openImages(state.spec).map(([index]) => index);
  const shown = shownCell(state);
  if (models.length > 1) return { models: [...models.keys()] };
  if (images.length > 1) {
    const top = classesOf(state)[0]?.index === shown.target;
    return { images: images.slice(0, MOST_CELLS), ...(top ? { targets: [TOP] } : {}) };
  }
  const standing = methods.map(({ id, cost }) => ({ id, cost: cost || Infinity, status: statusOf(state, { ...shown, method: id }).kind }));
  const here = standing.filter(({ id, status }) => id === shown.method || ["done", "stale", "running"].includes(status));
  const soonest = standing.filter((one) => !here.includes(one) && one.status === "idle").sort((a, b) => a.cost - b.cost);
  const chosen = [...here, ...soonest.slice(0, Math.max(0, FEW - here.length))].slice(0, MANY);
  return { methods: methods.filter(({ id }) => chosen.some((one) => one.id === id)).map(({ id }) => id) };
}

/** Number of methods in the first comparison: at least, and at most. */
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

export interface Headers {
  readonly columns: readonly string[];
  readonly rows: readonly string[];
}

/** The names of the columns and rows of a grid in which two axes or more differ; null where its cells do not share them. */
export function headersOf(state: State): Headers | null {
  const count = columnsOf(state);
  if (!count) return null;
  const cells = cellsOf(state);
  const names = cells.map((cell) => namesOf(state, cell, cells));
  const columns = names.slice(0, count).map(([first]) => first ?? "");
  const rest = names.map((each) => each.slice(1).join(" · "));
  const rows = rest.filter((_, i) => i % count === 0);
  const fits = names.every(([first], i) => first === columns[i % count] && rest[i] === rows[Math.floor(i / count)]);
  return fits ? { columns, rows } : null;
}

/** A key of all cells on the screen: it changes when they do. */
export function gridKey(state: State): string {
  return cellsOf(state).map(keyOf).join(" ");
}

/** The two cells of a layout other than a grid: the shown one, and `other` or else the next; null where there is only one. */
export function pairShown(state: State, other: string): readonly [Cell, Cell] | null {
  const shown = shownCell(state);
  const rest = cellsOf(state).filter((cell) => keyOf(cell) !== keyOf(shown));
  const found = rest.find((cell) => keyOf(cell) === other) ?? rest[0];
  return found ? [shown, found] : null;
}
