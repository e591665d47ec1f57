/** Which cells of a map are selected: by percentile, by the order of regions, or by hand. */

import { areaField, tableIndex } from "./field.ts";
import { keepPicked } from "./picked.ts";
import { keepShown, regionCount, regionsOf } from "./regions.ts";
import type { Explained } from "./result.ts";
import { shownSign } from "./scale.ts";
import type { State } from "./state.ts";

/** Set 1 in the cells that are kept: `value >= cut`, exactly NumPy's rule. Returns their number. */
export function keepAbove(strength: Float32Array, cut: number, kept: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < kept.length; i++) {
    const inside = strength[i]! >= cut ? 1 : 0;
    kept[i] = inside;
    count += inside;
  }
  return count;
}

/** Set 1 in the cells of the first `regions` regions. Returns their number. */
export function keepRegions(step: Uint16Array, regions: number, kept: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < kept.length; i++) {
    const inside = step[i]! < regions ? 1 : 0;
    kept[i] = inside;
    count += inside;
  }
  return count;
}

/** Set 1 in the selected cells of the shown result, in either mode. Returns their number. */
export function selected(state: State, explained: Explained, kept: Uint8Array): number {
  const byHand = keepPicked(explained, state.shown.picked, kept);
  if (byHand !== null) return byHand;
  if (explained.step && regionsOf(explained)) return keepRegions(explained.step, regionCount(state), kept);
  const { strength, table } = areaField(explained, shownSign(state));
  return keepAbove(strength, table[tableIndex(100 - keepShown(state))] ?? -Infinity, kept);
}
