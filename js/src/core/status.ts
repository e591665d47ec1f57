/** Whether the map of a cell is computed, and the running jobs. */

import { keyOf, type Cell } from "./cell.ts";
import { methodOf, shownMethod } from "./lookup.ts";
import type { Explained, Failure } from "./result.ts";
import { shownCell, type Job, type State } from "./state.ts";

export type Status =
  | { readonly kind: "idle" | "lacking" | "unreachable" | "running" }
  | { readonly kind: "done" | "stale"; readonly explained: Explained }
  | { readonly kind: "failed"; readonly failure: Failure };

export function statusOf(state: State, cell: Cell): Status {
  const key = keyOf(cell);
  const explained = state.explained.get(key);
  if (jobOf(state, cell)) return { kind: "running" };
  const failure = state.failures.get(key);
  if (explained?.stale && failure) return { kind: "failed", failure };
  if (explained && explained.share >= 1) return { kind: explained.stale ? "stale" : "done", explained };
  if (lackOf(state, cell)) return { kind: "lacking" };
  if (failure) return { kind: "failed", failure };
  return { kind: state.link === "packed" || state.silent ? "unreachable" : "idle" };
}

/** Why the model of a cell does not support its method, as known before or found when it ran; empty where it does. */
export function lackOf(state: State, cell: Cell): string {
  const known = methodOf(state, cell)?.lacks[cell.model] ?? "";
  const failure = state.failures.get(keyOf(cell));
  return known === "" && failure?.kind === "Unsupported" ? failure.message : known;
}

export function shownStatus(state: State): Status {
  return shownMethod(state) ? statusOf(state, shownCell(state)) : { kind: "idle" };
}

/** The running job of a cell; none while the kernel does not answer. */
export function jobOf({ jobs, silent }: State, cell: Cell): Job | undefined {
  return silent ? undefined : jobs.get(keyOf(cell));
}

export function shownJob(state: State): Job | undefined {
  return jobOf(state, shownCell(state));
}

/** Share of a job that is done; 0 while nothing is known. */
export function jobShare(job: Job): number {
  return job.total > 0 ? Math.min(job.done / job.total, 1) : 0;
}
