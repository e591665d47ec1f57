export interface Store<S, E> {
  readonly state: S;
  send(event: E): void;
  /** Call `listener` after every real change, until `signal` aborts. */
  subscribe(listener: (state: S, before: S) => void, signal: AbortSignal): void;
}

/** One state, one pure `update`, listeners told after every real change. */
export function createStore<S, E>(initial: S, update: (state: S, event: E) => S): Store<S, E> {
  let state = initial;
  const listeners = new Set<(state: S, before: S) => void>();
  return {
    get state() {
      return state;
    },
    send(event) {
      const before = state;
      state = update(before, event);
      if (Object.is(state, before)) return;
      for (const listener of [...listeners]) listener(state, before);
    },
    subscribe(listener, signal) {
      if (signal.aborted) return;
      listeners.add(listener);
      signal.addEventListener("abort", () => listeners.delete(listener), { once: true });
    },
  };
}
