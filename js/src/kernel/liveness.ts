/** Whether the kernel still answers: every message is accepted at once by a kernel that is alive and not busy. */

import type { Event, State } from "../core/state.ts";
import { ended, type Store } from "../core/store.ts";

/** A cell of the notebook's own may hold up an answer for a while. */
const PATIENCE = 8000;

export interface Silence {
  /** Something was asked. */
  readonly asked: () => void;
  /** Anything was answered. */
  readonly heard: () => void;
  /** The host says that nobody is there. */
  readonly gone: () => void;
}

export function createSilence(store: Store<State, Event>, signal: AbortSignal): Silence {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const stop = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
  };
  const gone = (): void => {
    stop();
    if (store.state.link === "live") store.send({ kind: "silent", silent: true });
  };
  ended(signal, stop);
  return {
    asked() {
      if (!signal.aborted) timer ??= setTimeout(gone, PATIENCE);
    },
    heard() {
      stop();
      store.send({ kind: "silent", silent: false });
    },
    gone,
  };
}
