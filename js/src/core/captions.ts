/** The texts about a cell: its caption, title and status, and what is selected in it. */

import { pairOf, type Cell } from "./cell.ts";
import { markOf } from "./evidence.ts";
import { formatImages, formatNumber, formatPercent, formatSeconds, formatShare } from "./format.ts";
import type { Glance } from "./glance.ts";
import { comparing, namesOf } from "./grid.ts";
import { explainedOf, imageOf, labelOf, nameOf, openImages, shownExplained } from "./lookup.ts";
import { fits } from "./picked.ts";
import { readingAt } from "./reading.ts";
import { keepShown, regionCount, regionsOf, shownRegions } from "./regions.ts";
import type { Explained } from "./result.ts";
import { signOf, signsDiffer } from "./scale.ts";
import type { MethodSpec } from "./settings.ts";
import type { Job, State } from "./state.ts";
import { jobOf, jobShare, lackOf, statusOf, type Status } from "./status.ts";

/** The caption of a cell; `headed`: without the names that the headers of the grid have. */
export function captionOf(state: State, cell: Cell, headed = false): string {
  const text = wholeCaptionOf(state, cell, headed);
  return headed ? text.replace(/^ · /, "") : text;
}

function wholeCaptionOf(state: State, cell: Cell, headed: boolean): string {
  const name = headed ? "" : comparing(state) ? (namesOf(state, cell)[0] ?? "") : nameOf(state, cell);
  const explained = explainedOf(state, cell);
  const job = jobOf(state, cell);
  if (job) return `${name} · ${progressText(job)}`;
  if (!explained) return state.link === "waiting" ? "waiting for the kernel" : name;
  const partial = explained.share < 1 ? " · unfinished" : explained.stale ? " · outdated: the weights changed" : "";
  const mark = markOf(state, cell);
  if (comparing(state)) return `${mark ? `${mark.sign} ` : ""}${name}${partial}`;
  return `${name}${viewText(state, cell, explained)}${mark ? ` · ${mark.sign} ${mark.words}` : ""}${partial}`;
}

/** The shown part of a map: its sign and percentile, or the kept area. */
function viewText(state: State, cell: Cell, explained: Explained): string {
  const { mode, threshold, picked } = state.shown;
  if (mode === "heat") {
    const sign = signOf(state, explained);
    const signed = signsDiffer(explained) && sign !== "absolute" ? `, ${sign}` : "";
    return `${signed}${threshold > 0 ? ` · above percentile ${formatPercent(threshold).replace(" %", "")}` : ""}`;
  }
  if (fits(explained, picked)) return ` · ${selectionText(state)}`;
  const regions = regionsOf(explained);
  return regions ? ` · region ${regionCount(state, cell)} of ${regions.length}` : ` · top ${formatPercent(keepShown(state))}`;
}

/** In a grid the names that differ, or the value under the shared cursor. */
export function besideOf(state: State, cell: Cell, share: number, { point }: Glance, headed = false): string {
  if (comparing(state)) {
    const value = point && readingAt(state, cell, point).value;
    if (typeof value === "number") return formatNumber(value);
    return headed ? "" : namesOf(state, cell).slice(1).join(" · ");
  }
  if (!explainedOf(state, cell)) return "";
  return state.shown.mode === "area" ? `${formatShare(share)} of the area` : labelOf(state, cell);
}

/** All that names a cell: the method, the class, and the model and image where there are several. */
export function titleOf(state: State, cell: Cell): string {
  return [nameOf(state, cell), ...subjectOf(state, cell)].join(" · ");
}

function subjectOf(state: State, cell: Cell): readonly string[] {
  const { models } = state.spec;
  const names = [labelOf(state, cell), models.length > 1 && models[cell.model], openImages(state.spec).length > 1 && imageOf(state, cell).name];
  return names.filter((name) => typeof name === "string");
}

export function describeCell(state: State, cell: Cell): string {
  const status = statusOf(state, cell).kind;
  const what = [...subjectOf(state, cell), `explained by ${comparing(state) ? nameOf(state, cell) : captionOf(state, cell)}`].join(", ");
  const mark = comparing(state) && markOf(state, cell);
  if (status === "done") return mark ? `${what} (${mark.words})` : what;
  return `${what} (${status === "idle" ? "not computed" : status})`;
}

/** The selection in words. */
export function selectionText(state: State): string {
  const explained = shownExplained(state);
  const { picked } = state.shown;
  if (explained && fits(explained, picked)) return picked.regions ? `${picked.regions.length} regions picked` : "manual selection";
  const count = regionCount(state);
  return shownRegions(state) ? `the first ${count === 1 ? "region" : `${count} regions`}` : `the top ${formatPercent(keepShown(state))}`;
}

export function statusText(state: State, cell: Cell, method: MethodSpec, status: Status, job: Job | undefined): string {
  switch (status.kind) {
    case "running":
      return job ? progressText(job) : "";
    case "done": {
      const { quality, seconds } = status.explained.result;
      return [quality, seconds > 0 ? formatSeconds(seconds) : ""].filter(Boolean).join(" · ") || "done";
    }
    case "stale":
      return "outdated: the weights changed";
    case "failed":
      return `failed: ${status.failure.kind}`;
    case "lacking":
      return `unsupported: ${lackOf(state, cell)}`;
    case "unreachable":
      return state.silent ? "kernel not responding" : "needs a running kernel";
    case "idle": {
      const seconds = state.paces.get(pairOf(cell.model, cell.image))?.[method.id];
      const long = typeof seconds === "number" ? ` · ${formatSeconds(seconds)}` : "";
      return method.cost > 0 ? `~${formatImages(method.cost)}${long}` : "not computed";
    }
  }
}

export function progressText(job: Job): string {
  if (job.total === 0) return "waiting";
  const left = job.secondsLeft === null ? "" : ` · ${formatSeconds(job.secondsLeft)} left`;
  return `${Math.floor(jobShare(job) * 100)} %${left}`;
}
