/** The shown values of a cell, and the scale of their colours. */

import { areaField, fieldOf, tableIndex, type Field } from "./field.ts";
import { cellsOf, comparing } from "./grid.ts";
import { explainedOf, shownExplained } from "./lookup.ts";
import { keepShown } from "./regions.ts";
import type { Explained, Sign } from "./result.ts";
import type { State } from "./state.ts";

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

/** Whether the percentile is that of the selection: in the view of the top pixels, and while what-if requests are made. */
export function selecting({ shown: { mode, live } }: State): boolean {
  return mode === "area" || live;
}

/** The percentile of the slider, below which nothing is kept or coloured. */
export function percentileShown(state: State): number {
  return selecting(state) ? 100 - keepShown(state) : state.shown.threshold;
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

/** The value a pixel must reach to be coloured, or to be kept. */
export function cutOf(state: State, field: Field, coloured = state.shown.mode === "heat"): number {
  return field.table[tableIndex(coloured ? state.shown.threshold : 100 - keepShown(state))] ?? -Infinity;
}
