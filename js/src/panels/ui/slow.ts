/** A question that has told nothing for long: said calmly, and taken back with the next word. */

import { cellsOf, gridKey, jobOf } from "../../core/select.ts";
import type { State } from "../../core/state.ts";
import { ended } from "../../core/store.ts";
import { button, h, setText, type Context } from "./dom.ts";

/** Seconds nobody minds. */
const PATIENCE = 10;

export interface Quiet {
  readonly element: HTMLElement;
  /** A word was heard, or the question asked; and whether more is waited for. */
  readonly wait: (waiting: boolean) => void;
}

export function quiet(signal: AbortSignal): Quiet {
  // a screen reader is told once, not every second
  const seconds = h("span", { class: "slw-number", "aria-hidden": "true" });
  const words = ["No answer for ", seconds, h("span", { class: "slw-hidden" }, "a while"), "; the model is still at it, or stuck."];
  const element = h("p", { class: "slw-quiet", role: "status", hidden: true }, ...words);
  let timer: ReturnType<typeof setInterval> | undefined;
  let since = 0;
  const look = (): void => {
    const past = Math.floor((performance.now() - since) / 1000);
    setText(seconds, `${past} s`);
    element.hidden = past <= PATIENCE;
  };
  ended(signal, () => clearInterval(timer));
  return {
    element,
    wait(waiting) {
      clearInterval(timer);
      element.hidden = true;
      if (!waiting || signal.aborted) return;
      since = performance.now();
      timer = setInterval(look, 1000);
    },
  };
}

/** Over the pictures, while one of them is waited for. */
export function quietPanel(context: Context): HTMLElement {
  const { store, commands, signal, watch } = context;
  const { element, wait } = quiet(signal);
  const stop = button(context, {}, "Cancel", () => {
    for (const cell of cellsOf(store.state)) commands.cancel(cell);
  });
  const box = h("div", { class: "slw-notice slw-waits", hidden: true }, element, stop);
  // any job's word counts: they share the model
  watch(({ jobs, explained, silent }) => [jobs, explained, silent], ({ jobs, silent }) => wait(jobs.size > 0 && !silent));
  const waited = (state: State): boolean => cellsOf(state).some((cell) => jobOf(state, cell));
  watch((state) => [state.jobs, state.silent, gridKey(state)], (state) => (box.hidden = !waited(state)));
  return box;
}
