/** Says that a model has learned since, and offers to ask it again. */

import { cellsOf, statusOf } from "../../core/select.ts";
import type { Cell, State } from "../../core/state.ts";
import { button, h, type Context } from "../ui/dom.ts";

export function stalePanel(context: Context): HTMLElement {
  const { store, commands, watch } = context;
  const again = button(context, {}, "Compute again", () => {
    for (const cell of staleOf(store.state)) commands.compute(cell, true);
  });
  const element = h("div", { class: "slw-notice slw-stale", role: "status", hidden: true }, h("span", {}, "The weights have changed since."), again);
  watch(
    (state) => [staleOf(state).length > 0, state.link],
    (state) => (element.hidden = staleOf(state).length === 0 || state.link !== "live"),
  );
  return element;
}

function staleOf(state: State): readonly Cell[] {
  return cellsOf(state).filter((cell) => statusOf(state, cell).kind === "stale");
}
