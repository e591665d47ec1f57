/** Verdicts on maps: their marks and texts, what they cost, and the order of maps by them. */

import { keyOf, pairOf, type Cell } from "./cell.ts";
import { formatImages, formatNumber, formatScore } from "./format.ts";
import { explainedOf } from "./lookup.ts";
import type { Measure, Verdict, VerdictImages } from "./result.ts";
import type { State } from "./state.ts";

/** Return the verdict on the map of a cell, partial while it is measured; null where it failed, undefined where it was not measured. */
export function verdictOf({ answers }: State, cell: Cell): Verdict | null | undefined {
  return answers.get(keyOf(cell))?.verdict;
}

export interface Mark {
  /** A glyph, so that it needs no colour. */
  readonly sign: string;
  readonly words: string;
}

/** Return the mark of the verdict on a cell's map; null where there is none, or none of these weights. */
export function markOf(state: State, cell: Cell): Mark | null {
  const verdict = verdictOf(state, cell);
  if (!verdict?.finished || explainedOf(state, cell)?.stale) return null;
  return verdict.supported === null ? { sign: "?", words: "undecided" } : verdict.supported ? { sign: "\u2713", words: "supported" } : { sign: "\u2715", words: "not supported" };
}

/** The cells with a finished map of the present weights that was not measured, or not to the end. */
export function unmeasured(state: State, cells: readonly Cell[]): readonly Cell[] {
  return cells.filter((cell) => {
    const explained = explainedOf(state, cell);
    const verdict = verdictOf(state, cell);
    return explained && explained.share >= 1 && !explained.stale && verdict !== null && !verdict?.finished;
  });
}

/** Verdicts compare maps of one class, model and image. */
function groupOf({ target, model, image }: Cell): string {
  return `${target}:${pairOf(model, image)}`;
}

/** Return how many images verdicts on some maps evaluate; null where it is not known. Random maps are shared by a group. */
export function costOf(state: State, cells: readonly Cell[]): VerdictImages | null {
  const known = new Set([...state.explained.values()].filter(({ result, stale }) => !stale && verdictOf(state, result)?.finished).map(({ result }) => groupOf(result)));
  let [maps, random, reruns] = [0, 0, 0];
  for (const cell of cells) {
    const check = explainedOf(state, cell)?.result.check;
    if (!check) return null;
    maps += check[0];
    if (!known.has(groupOf(cell))) random += check[1];
    reruns += check[2];
    known.add(groupOf(cell));
  }
  return [maps, random, reruns];
}

/** The parts of a cost in words; those that are zero are left out. */
export function costText([maps, random, reruns]: VerdictImages): string {
  const parts = [`${maps} for the map`, random && `${random} for random maps`, reruns && `${reruns} to run the method again`];
  return `${formatImages(maps + random + reruns)} evaluated: ${parts.filter(Boolean).join(", ")}`;
}

/** Maps of one class, model and image stay together, in the order of the grid; the strongest comes first, what is not known last. */
export function ranked(state: State, cells: readonly Cell[]): readonly Cell[] {
  const order = [...new Set(cells.map(groupOf))];
  const strength = (cell: Cell): number => verdictOf(state, cell)?.strength ?? -Number.MAX_VALUE;
  return [...cells].sort((one, other) => order.indexOf(groupOf(one)) - order.indexOf(groupOf(other)) || strength(other) - strength(one));
}

/** A value of the model: a probability, or a value in its own unit. */
export function valueText({ percent }: Pick<Verdict, "percent">, value: number): string {
  if (!percent) return formatNumber(value);
  return value > 0 ? formatScore({ probability: value }) : "0 %";
}

/** A measurement: two decimals, unless it is in the unit of the model. */
export function measureText(verdict: Verdict, { decides, reason, value, low, high }: Measure): string {
  if (value === null) return `not measured: ${reason}`;
  const text = (each: number): string => (verdict.percent || !decides ? each.toFixed(2).replace("-", "\u2212") : formatNumber(each));
  return low === null || high === null ? text(value) : `${text(value)} (random: ${text(low)} to ${text(high)})`;
}
