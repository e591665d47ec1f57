/** Notices over the pictures: a model call that takes long, and weights that have changed. */

import { keyOf, type Cell } from "../../core/cell.ts";
import { cellsOf, comparing, gridKey } from "../../core/grid.ts";
import { nameOf } from "../../core/lookup.ts";
import { shownCell, type State } from "../../core/state.ts";
import { jobOf, statusOf } from "../../core/status.ts";
import { button, h, setText, type Context } from "../ui/dom.ts";
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

/** Offers a map that was computed while the model was idle, until it is shown or declined. */
export function readyPanel(context: Context): HTMLElement {
  const { store, choose, watch } = context;
  const name = h("span");
  const decline = (): void => store.send({ kind: "ready", cell: null });
  const show = button(context, {}, "Show", () => choose({ method: store.state.ready?.method ?? store.state.shown.method }));
  const close = button(context, { "aria-label": "Do not show it" }, "×", decline);
  const element = h("div", { class: "slw-notice", role: "status", hidden: true }, name, show, close);
  watch((state) => [state.ready, state.shown, state.link], (state) => {
    const { ready } = state;
    const shown = shownCell(state);
    if (ready && keyOf(ready) === keyOf(shown)) decline();
    element.hidden = !ready || comparing(state) || keyOf({ ...ready, method: "" }) !== keyOf({ ...shown, method: "" });
    setText(name, ready ? `${nameOf(state, ready)} is ready` : "");
  });
  return element;
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
