/** Measures the verdicts of maps, one after another, until it is stopped. */

import { keyOf, type Cell } from "../../core/cell.ts";
import { unmeasured } from "../../core/evidence.ts";
import { explainedOf } from "../../core/lookup.ts";
import type { Context } from "../ui/dom.ts";
import { createRunner, type Runner } from "./runner.ts";

export interface Measuring extends Pick<Runner, "cell"> {
  readonly runner: Runner;
  /** Measure these cells, those that were measured excepted. */
  readonly start: (cells: readonly Cell[]) => void;
}

export function createMeasuring(context: Context, changed: () => void): Measuring {
  const { store } = context;
  const runner = createRunner(context, changed);
  const next = (queue: readonly Cell[]): void => {
    const [cell, ...rest] = unmeasured(store.state, queue);
    const about = cell && explainedOf(store.state, cell);
    if (about && store.state.link === "live") runner.run(keyOf(cell), "check", cell, (verdict) => store.send({ kind: "verdict", about, verdict }), () => next(rest));
    else changed();
  };
  return {
    runner,
    get cell() {
      return runner.cell;
    },
    start(cells) {
      if (!runner.cell) next(cells);
    },
  };
}
