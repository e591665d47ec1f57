/** The entries of a state about a cell. */

import { keyOf, pairOf, type Cell } from "./cell.ts";
import type { ClassRow, Explained } from "./result.ts";
import type { ImageSpec, MethodSpec, Spec } from "./settings.ts";
import { shownCell, type State } from "./state.ts";

export function imageOf({ spec }: State, { image }: Cell): ImageSpec {
  return spec.images[image] ?? { name: "", size: [1, 1] };
}

/** The images that are open, with their indices. */
export function openImages({ images }: Spec): readonly (readonly [index: number, image: ImageSpec])[] {
  return Object.entries(images).map(([index, image]) => [Number(index), image]);
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

/** The predicted classes of a cell, best first; classes found by search come after. */
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
