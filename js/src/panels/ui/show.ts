import type { Cell } from "../../core/state.ts";
import type { Context } from "./dom.ts";

/** Have the panels speak of another cell. */
export function show({ set }: Context, { method, target, model, image }: Cell): void {
  set({ method, target, model_index: model, image_index: image });
}
