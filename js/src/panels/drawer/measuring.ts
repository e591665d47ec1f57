/** Measures the verdicts of maps, one after another, until it is stopped. */

import { keyOf, type Cell } from "../../core/cell.ts";
import { unmeasured } from "../../core/evidence.ts";
import { explainedOf } from "../../core/lookup.ts";
import type { Failure, Verdict } from "../../core/result.ts";
import { ended } from "../../core/store.ts";
import { failureOf, type Request } from "../../kernel/commands.ts";
import type { Context } from "../ui/dom.ts";

export interface Measuring {
  /** The cell that is measured now. */
  readonly cell: Cell | null;
  /** Share of the images that were evaluated for it. */
  readonly share: number;
  /** The last failure of each cell, by `keyOf`. */
  readonly failures: ReadonlyMap<string, Failure>;
  /** Measure these cells, those that were measured excepted. */
  readonly start: (cells: readonly Cell[]) => void;
  readonly stop: () => void;
}

export function createMeasuring({ store, commands, signal }: Context, changed: () => void): Measuring {
  let queue: readonly Cell[] = [];
  let running: { readonly cell: Cell; readonly request: Request<Verdict> } | null = null;
  let share = 0;
  const failures = new Map<string, Failure>();

  const next = (): void => {
    running = null;
    share = 0;
    const [cell, ...rest] = unmeasured(store.state, queue);
    queue = rest;
    const about = cell && explainedOf(store.state, cell);
    if (about && store.state.link === "live") measure(cell, about);
    changed();
  };
  const measure = (cell: Cell, about: NonNullable<ReturnType<typeof explainedOf>>): void => {
    const keep = (verdict: Verdict | null): void => store.send({ kind: "verdict", about, verdict });
    failures.delete(keyOf(cell));
    const request = commands.request("check", cell, {
      partial: keep,
      progress(done) {
        share = done;
        changed();
      },
    });
    const mine = running = { cell, request };
    const over = (verdict: Verdict | null): void => {
      if (mine !== running || signal.aborted) return;
      keep(verdict);
      next();
    };
    request.answer.then(over, (reason: unknown) => {
      failures.set(keyOf(cell), failureOf(reason));
      over(null);
    });
  };
  const stop = (): void => {
    running?.request.cancel();
    [running, queue] = [null, []];
    changed();
  };
  ended(signal, () => running?.request.cancel());
  return {
    get cell() {
      return running?.cell ?? null;
    },
    get share() {
      return share;
    },
    failures,
    start(cells) {
      queue = cells;
      if (!running) next();
    },
    stop,
  };
}
