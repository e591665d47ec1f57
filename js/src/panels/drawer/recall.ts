/** What the model has said to a selection, where no kernel is there to ask it again. */

import { readAt, whatIf, type WhatIf } from "../../kernel/answers.ts";
import type { Commands } from "../../kernel/commands.ts";
import { fits } from "../../core/picked.ts";
import { shownExplained, shownRegions, shownSign, signsDiffer } from "../../core/select.ts";
import { shownCell, type Explained, type Settings, type State } from "../../core/state.ts";
import { storedCurve } from "./curve.ts";
import { selected } from "./selection.ts";

/** The answer to these very pixels, in whatever words it was asked for; or else what the curves say of as many. */
export function createRecall(commands: Commands): (state: State) => WhatIf | null {
  let about: Explained | undefined;
  let fill = "";
  let known = new Map<number, WhatIf>();
  let kept = new Uint8Array();

  const load = (state: State, explained: Explained): void => {
    [about, fill, kept] = [explained, state.shown.fill, new Uint8Array(explained.values.length)];
    known = new Map(commands.recall("what_if", { ...shownCell(state), fill }).map((raw) => {
      const { sign, keep, region, picked } = raw.asked as unknown as Settings;
      selected({ ...state, shown: { ...state.shown, sign, keep, region, picked } }, explained, kept);
      return [digest(kept), whatIf(raw)];
    }));
  };
  return (state) => {
    const explained = shownExplained(state);
    if (!explained || !state.shown.live) return null;
    if (explained !== about || fill !== state.shown.fill) load(state, explained);
    const count = selected(state, explained, kept);
    const exact = known.get(digest(kept));
    const curve = storedCurve(commands, state);
    if (exact || !curve || !inOrder(state, explained)) return exact ?? null;
    return readAt(curve, count / kept.length, { index: shownCell(state).target, label: "" });
  };
}

/** A selection as a number: there are 2³² of them, and of answers some hundred. */
function digest(kept: Uint8Array): number {
  let sum = 0;
  for (const cell of kept) sum = Math.imul(sum ^ (cell + 1), 16777619);
  return sum;
}

/** Whether what is selected is the first part of what the curves go through: not picked by hand, and by the same sign. */
function inOrder(state: State, explained: Explained): boolean {
  if (fits(explained, state.shown.picked)) return false;
  const same = (shownSign(state) === "absolute") === (explained.result.sign === "absolute");
  return same || shownRegions(state) !== null || !signsDiffer(explained);
}
