export interface Store<S, E> {
  readonly state: S;
  send(event: E): void;
  /** Call `listener` after every real change, until `signal` aborts. */
  subscribe(listener: (state: S, before: S) => void, signal: AbortSignal): void;
}

/** Whether two lists have identical elements. */
export function same(one: readonly unknown[], other: readonly unknown[] | null): boolean {
  return other !== null && one.length === other.length && one.every((part, i) => Object.is(part, other[i]));
}

/** Run `end` when `signal` aborts, once. */
export function ended(signal: AbortSignal, end: () => void): void {
  signal.addEventListener("abort", end, { once: true });
}

/** One state, one pure `update`, listeners called after every real change. */
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
      ended(signal, () => listeners.delete(listener));
    },
  };
}

/** Computes again only for other arguments than last time. */
export function remembered<A extends readonly unknown[], T>(make: (...of: A) => T): (...of: A) => T {
  let last: { readonly of: A; readonly made: T } | null = null;
  return (...of) => {
    if (!last || !same(of, last.of)) last = { of, made: make(...of) };
    return last.made;
  };
}
