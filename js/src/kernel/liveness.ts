/** Whether the kernel still answers: every message is accepted at once by a kernel that is alive and not busy. */

import { ended } from "../core/store.ts";
import type { StateStore } from "../core/update.ts";

/** Milliseconds: another cell of the notebook may delay an answer. */
const PATIENCE = 8000;

export interface Liveness {
  /** A message was sent. */
  readonly sent: () => void;
  /** A message arrived. */
  readonly heard: () => void;
  /** The host reports that the kernel is gone. */
  readonly gone: () => void;
}

export function createLiveness(store: StateStore, signal: AbortSignal): Liveness {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = (): void => {
    clearTimeout(timer);
    timer = undefined;
  };
  const gone = (): void => {
    stop();
    if (store.state.link === "live") store.send({ kind: "silent", silent: true });
  };
  ended(signal, stop);
  return {
    sent() {
      if (!signal.aborted) timer ??= setTimeout(gone, PATIENCE);
    },
    heard() {
      stop();
      store.send({ kind: "silent", silent: false });
    },
    gone,
  };
}
