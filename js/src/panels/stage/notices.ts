/** Notices over the pictures: a model call that takes long, and weights that have changed. */

import type { Cell } from "../../core/cell.ts";
import { cellsOf, gridKey } from "../../core/grid.ts";
import type { State } from "../../core/state.ts";
import { jobOf, statusOf } from "../../core/status.ts";
import { button, h, type Context } from "../ui/dom.ts";
import { slowNotice } from "../ui/slow.ts";

export function stalePanel(context: Context): HTMLElement {
  const { store, commands, watch } = context;
  const again = button(context, {}, "Compute again", () => {
    for (const cell of staleOf(store.state)) commands.compute(cell, true);
  });
  const element = h("div", { class: "slw-notice slw-stale", role: "status", hidden: true }, h("span", {}, "Outdated: the weights changed."), again);
  watch(
    (state) => [staleOf(state).length > 0, state.link],
    (state) => (element.hidden = staleOf(state).length === 0 || state.link !== "live"),
  );
  return element;
}

function staleOf(state: State): readonly Cell[] {
  return cellsOf(state).filter((cell) => statusOf(state, cell).kind === "stale");
}

/** Over the pictures, while one of them is waited for. */
export function slowPanel(context: Context): HTMLElement {
  const { store, commands, signal, watch } = context;
  const { element, wait } = slowNotice(signal);
  const stop = button(context, {}, "Cancel", () => {
    for (const cell of cellsOf(store.state)) commands.cancel(cell);
  });
  const box = h("div", { class: "slw-notice slw-waits", hidden: true }, element, stop);
  // a message of any job counts: they share the model
  watch(({ jobs, explained, silent }) => [jobs, explained, silent], ({ jobs, silent }) => wait(jobs.size > 0 && !silent));
  const waited = (state: State): boolean => cellsOf(state).some((cell) => jobOf(state, cell));
  watch((state) => [state.jobs, state.silent, gridKey(state)], (state) => (box.hidden = !waited(state)));
  return box;
}
