/** Polls the kernel where pushes do not arrive (Colab shows none from background threads). */

import { ended } from "../core/store.ts";

/** Without messages for this long while a request is open, polling begins (milliseconds). */
const PATIENCE = 1000;
const EVERY = 400;
/** Polls that brought nothing before the pace slows down. */
const EAGER = 8;
const SLOWEST = 5000;
/** News this soon after a poll are taken for its answer, later ones for a push. */
const ANSWER = 300;

export interface Polling {
  /** A request was sent. */
  opened(): void;
  /** A message came that was not known yet. */
  heard(): void;
}

export function createPolling(isOpen: () => boolean, poll: () => void, signal: AbortSignal): Polling {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let polledAt = -Infinity;
  let fruitless = 0;

  const stop = (): void => {
    clearTimeout(timer);
    timer = undefined;
  };
  const arm = (delay: number): void => {
    stop();
    if (!signal.aborted) timer = setTimeout(tick, delay);
  };
  const tick = (): void => {
    timer = undefined;
    if (!isOpen()) return;
    polledAt = performance.now();
    fruitless++;
    poll();
    arm(fruitless <= EAGER ? EVERY : Math.min(EVERY * 2 ** (fruitless - EAGER), SLOWEST));
  };
  ended(signal, stop);
  return {
    opened() {
      fruitless = 0;
      if (timer === undefined) arm(PATIENCE);
    },
    heard() {
      fruitless = 0;
      const pushed = performance.now() - polledAt > ANSWER;
      if (!isOpen()) stop();
      else if (pushed) arm(PATIENCE);
    },
  };
}
