/** Answers of the model about a result: what-if requests and curves (verdicts: evidence.ts). They stand in the state, on a page without a kernel too. */

import { keyOf, type Cell } from "./cell.ts";
import { explainedOf, shownExplained } from "./lookup.ts";
import { fits, type Picked } from "./picked.ts";
import { shownRegions } from "./regions.ts";
import type { Channels, ClassRow, Curve, Explained, WhatIf } from "./result.ts";
import { shownSign, signsDiffer } from "./scale.ts";
import { selected } from "./selection.ts";
import type { Brushed, Settings } from "./settings.ts";
import { shownCell, type Answers, type State } from "./state.ts";

/** A cell, the selection in it, and what replaces removed pixels: the answer depends on nothing else. */
export interface WhatIfRequest extends Cell {
  readonly sign: Settings["sign"];
  readonly keep: number;
  readonly region: number;
  readonly picked: Picked;
  readonly fill: string;
}

export function whatIfRequest(state: State): WhatIfRequest {
  const { sign, keep, region, picked, fill } = state.shown;
  return { ...shownCell(state), sign, keep, region, picked, fill };
}

/** Return the curves of a cell with the present fill; null where they failed, undefined where they were not computed. */
export function curveOf({ answers, shown }: State, cell: Cell): Curve | null | undefined {
  return answers.get(keyOf(cell))?.curves.get(shown.fill);
}

/** The smallest change is about what is removed, or kept, what replaces it, and the class to reach; null for any other class. */
export type ChangeKind = "remove" | "keep";

export function changeKey(kind: ChangeKind, fill: string, to: number | null): string {
  return `${kind} ${fill} ${to}`;
}

/** The method that ranks the channels of a layer. */
export type ChannelMethod = "input_x_gradient" | "integrated_gradients" | "deep_lift" | "lrp";

/** Channels are those of a layer, "" for the automatic one, by a method. */
export function channelsKey(layer: string, by: ChannelMethod): string {
  return `${by} ${layer}`;
}

/** Return the channels for the class, model and image of a cell. */
export function channelsOf(state: State, cell: Cell, key: string): { readonly channels: Channels; readonly about: Explained } | undefined {
  const found = shared(state, cell, ({ channels }) => channels?.get(key));
  return found && { channels: found.answer, about: found.about };
}

/** Concepts are tested at a layer, "" for the automatic one, with the regions that were brushed, whose fields have one order. */
export function conceptsKey(layer: string, brushed: readonly Brushed[]): string {
  return JSON.stringify([layer, brushed]);
}

/** Return an answer for the class, model and image of a cell: one of the present weights is the same beside the maps of all methods. */
export function shared<T>(state: State, cell: Cell, pick: (answers: Answers) => T | undefined): { readonly answer: T; readonly about: Explained } | undefined {
  const found = [cell.method, ...state.spec.methods.map(({ id }) => id)].flatMap((method) => {
    const about = explainedOf(state, { ...cell, method });
    const answers = state.answers.get(keyOf({ ...cell, method }));
    const answer = answers && pick(answers);
    return about && answer && (!about.stale || method === cell.method) ? [{ answer, about }] : [];
  });
  return found.find(({ about }) => !about.stale) ?? found[0];
}

/** Return the layers of a model that are known to be a choice. */
export function layersOf(state: State, { model }: Cell): readonly string[] {
  for (const [key, { channels, concepts }] of state.answers) {
    if (state.explained.get(key)?.result.model !== model) continue;
    for (const { layers } of [...(channels?.values() ?? []), ...(concepts?.values() ?? [])]) return layers;
  }
  return [];
}

/**
 * Return the answer to the selection of the shown cell, or null. Without a kernel also the answer to the same pixels in other words,
 * and else what the curves say of as many pixels.
 */
export function whatIfOf(state: State): WhatIf | null {
  const exact = state.answers.get(keyOf(shownCell(state)))?.whatIfs.get(JSON.stringify(whatIfRequest(state)));
  const explained = shownExplained(state);
  if (exact || state.link !== "packed" || !explained || !state.shown.live) return exact ?? null;
  return samePixels(state, explained) ?? fromCurve(state, explained);
}

function samePixels(state: State, explained: Explained): WhatIf | undefined {
  const wanted = pixelsOf(state, explained);
  for (const [key, answer] of state.answers.get(keyOf(explained.result))?.whatIfs ?? []) {
    const { fill, sign, keep, region, picked } = JSON.parse(key) as WhatIfRequest;
    if (fill !== state.shown.fill) continue;
    const pixels = DIGESTS.get(answer) ?? pixelsOf({ ...state, shown: { ...state.shown, sign, keep, region, picked } }, explained);
    DIGESTS.set(answer, pixels);
    if (pixels === wanted) return answer;
  }
  return undefined;
}

/** Digests of the pixels that stored answers are about. */
const DIGESTS = new WeakMap<WhatIf, number>();

/** Return the selected pixels as a number: there are 2³² of them, and a few hundred answers. */
function pixelsOf(state: State, explained: Explained): number {
  const kept = new Uint8Array(explained.values.length);
  selected(state, explained, kept);
  let sum = 0;
  for (const cell of kept) sum = Math.imul(sum ^ (cell + 1), 16777619);
  return sum;
}

/** The curves add the pixels in one order: a selection by hand, or by another sign, is no part of it. */
function fromCurve(state: State, explained: Explained): WhatIf | null {
  const curve = curveOf(state, shownCell(state));
  const sameSign = (shownSign(state) === "absolute") === (explained.result.sign === "absolute");
  const inOrder = sameSign || shownRegions(state) !== null || !signsDiffer(explained);
  if (!curve || !inOrder || fits(explained, state.shown.picked)) return null;
  const kept = new Uint8Array(explained.values.length);
  const area = selected(state, explained, kept) / kept.length;
  return readAt(curve, area, { index: shownCell(state).target, label: "" });
}

/** Interpolate both curves at a share of the pixels, for the explained class alone. */
export function readAt({ shares, insertion, deletion, ofValues }: Curve, area: number, row: Omit<ClassRow, "probability">): WhatIf {
  const next = Math.max(shares.findIndex((share) => share >= area), 1);
  const [from = 0, to = 1] = [shares[next - 1], shares[next]];
  const at = (heights: readonly number[]): readonly ClassRow[] => {
    const [before = 0, after = 0] = [heights[next - 1], heights[next]];
    const height = before + ((area - from) / (to - from)) * (after - before);
    return [ofValues ? { ...row, probability: NaN, value: height } : { ...row, probability: height }];
  };
  return { only: at(insertion), without: at(deletion), area, read: true };
}
