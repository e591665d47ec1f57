/** The regions of a cell, and how many are shown. */

import { keyOf, type Cell } from "./cell.ts";
import { explainedOf, shownExplained } from "./lookup.ts";
import { regionsFor } from "./picked.ts";
import type { Explained, Region } from "./result.ts";
import { shownCell, type State } from "./state.ts";

/** The regions of a cell, where its pixels know their region. */
export function regionsOf(explained: Explained | undefined): readonly Region[] | null {
  return explained?.step && explained.result.regions?.length ? explained.result.regions : null;
}

export function shownRegions(state: State): readonly Region[] | null {
  return regionsOf(shownExplained(state));
}

/** The number of shown regions of a cell; 0 without regions, or if nothing is kept. */
export function regionCount(state: State, cell: Cell = shownCell(state)): number {
  const regions = regionsOf(explainedOf(state, cell));
  if (!regions) return 0;
  const { region } = state.shown;
  // a number of regions is the shown cell's; the others keep as much of the area
  if (region > 0 && keyOf(cell) === keyOf(shownCell(state))) return Math.min(region, regions.length);
  return regionsFor(regions, keepShown(state) / 100);
}

/** The kept share of the area in per cent; where regions are counted, the area that they cover. */
export function keepShown(state: State): number {
  const regions = shownRegions(state);
  const { region, keep } = state.shown;
  if (!regions || region === 0) return keep;
  return Math.round((regions[Math.min(region, regions.length) - 1]?.cumulative ?? 0) * 1000) / 10;
}
