/** Changes of the settings that several panels make. */

import type { Cell } from "../../core/cell.ts";
import { toggled } from "../../core/picked.ts";
import { regionCount } from "../../core/select.ts";
import type { Context } from "./dom.ts";

/** Have the panels speak of another cell. */
export function show({ set }: Context, { method, target, model, image }: Cell): void {
  set({ method, target, model_index: model, image_index: image });
}

/** Show the first `region` regions; in the heat map there are none to see, so it becomes the area. */
export function stepTo({ set }: Context, region: number): void {
  set({ mode: "area", region });
}

export function toggleRegion({ store: { state }, choose }: Context, rank: number): void {
  // from what is seen: the first regions, as long as none was picked
  const before = state.shown.picked.regions ?? Array.from({ length: regionCount(state) }, (_, i) => i);
  const regions = toggled(before, rank);
  choose({ mode: "area", picked: { regions } });
}
