/** Changes of the settings that several panels make. */

import type { Cell } from "../../core/cell.ts";
import { choosing } from "../../core/grid.ts";
import { toggled } from "../../core/picked.ts";
import { regionCount } from "../../core/regions.ts";
import type { ClassRow } from "../../core/result.ts";
import type { Context } from "./dom.ts";

/** Make another cell the shown one. */
export function show({ set }: Context, { method, target, model, image }: Cell): void {
  set({ method, target, model_index: model, image_index: image });
}

/** Explain a class, which is listed with the best from then on. */
export function chooseClass({ store, choose }: Context, row: ClassRow): void {
  store.send({ kind: "chosen", row });
  choose(choosing(store.state, "targets", row.index));
}

/** Show the first `region` regions; they are visible in area mode only. */
export function stepTo({ set }: Context, region: number): void {
  set({ mode: "area", region });
}

export function toggleRegion({ store: { state }, choose }: Context, rank: number): void {
  // without a manual selection it starts from the regions that are shown
  const before = state.shown.picked.regions ?? Array.from({ length: regionCount(state) }, (_, i) => i);
  const regions = toggled(before, rank);
  choose({ mode: "area", picked: { regions } });
}
