/** Requests each cell that comes onto the screen, whether the browser or Python brought it there. */

import { keyOf, type Cell } from "../core/cell.ts";
import { cellsOf, gridKey } from "../core/grid.ts";
import { shownCell } from "../core/state.ts";
import type { StateStore } from "../core/update.ts";

/** Returns what requests all cells on the screen again. Python may set several traits at once: they make one request. */
export function followCells(store: StateStore, compute: (cell: Cell) => void, signal: AbortSignal): () => void {
  let requested = new Set<string>();
  let queued = false;
  const look = (): void => {
    queued = false;
    // the maps of a picture are computed when it is opened
    if (signal.aborted || store.state.shown.gallery) return;
    const shown = keyOf(shownCell(store.state));
    const cells = [...cellsOf(store.state)].sort((a, b) => Number(keyOf(b) === shown) - Number(keyOf(a) === shown));
    const news = cells.filter((cell) => !requested.has(keyOf(cell)));
    requested = new Set(cells.map(keyOf));
    for (const cell of news) compute(cell);
  };
  store.subscribe((state, before) => {
    if (state.parameters !== before.parameters || (before.silent && !state.silent)) requested = new Set();
    else if (state.shown === before.shown && state.predictions === before.predictions) return;
    else if (gridKey(state) === gridKey(before) && state.shown.gallery === before.shown.gallery) return;
    if (queued) return;
    queued = true;
    queueMicrotask(look);
  }, signal);
  return () => {
    requested = new Set();
    look();
  };
}
