import { describe, expect, test } from "vitest";
import { curveOf, whatIfOf, whatIfRequest } from "../../src/core/answers.ts";
import { keyOf } from "../../src/core/cell.ts";
import type { Curve, WhatIf } from "../../src/core/result.ts";
import { shownCell, type State } from "../../src/core/state.ts";
import { update, type StateEvent } from "../../src/core/update.ts";
import { explained, state as stateOf, result } from "../fixtures.ts";

const ANSWER: WhatIf = { only: [], without: [], area: 0.3 };
const CURVE: Curve = { shares: [0, 1], insertion: [0, 1], deletion: [1, 0], insertionAuc: 0.5, deletionAuc: 0.5 };
const after = (state: State, ...events: readonly StateEvent[]): State => events.reduce(update, state);

/** A state with a result, an answer to its selection, and its curves. */
function answered() {
  const about = explained();
  const shown = after(stateOf(), { kind: "explained", explained: about });
  const state = after(
    shown,
    { kind: "answered", about, request: whatIfRequest(shown), answer: ANSWER },
    { kind: "curve", about, fill: shown.shown.fill, curve: CURVE },
  );
  return { about, shown, state };
}

/** A result that was computed again. */
const OTHER = explained({ result: result({ seconds: 2.5 }) });

describe("answers in the state", () => {
  test("are found by the selection and by the fill", () => {
    const { state } = answered();
    const other = (settings: Partial<State["shown"]>): State => after(state, { kind: "set", settings });

    expect(whatIfOf(state)).toBe(ANSWER);
    expect(whatIfOf(other({ keep: 12 }))).toBeNull();
    expect(whatIfOf(other({ fill: "mean" }))).toBeNull();
    expect(curveOf(state, shownCell(state))).toBe(CURVE);
    expect(curveOf(other({ keep: 12 }), shownCell(state))).toBe(CURVE);
    expect(curveOf(other({ fill: "mean" }), shownCell(state))).toBeUndefined();
  });

  test.each<[string, (state: State) => StateEvent]>([
    ["another result", () => ({ kind: "explained", explained: OTHER })],
    ["weights that changed", () => ({ kind: "stale", model: 0, image: 0 })],
    ["other parameters", () => ({ kind: "parameters", parameters: { [shownCell(stateOf()).method]: { steps: 3 } } })],
    ["a result that was forgotten", (state) => ({ kind: "forgotten", keys: [keyOf(shownCell(state))] })],
  ])("end with %s", (_, event) => {
    const { state } = answered();
    const next = after(state, event(state));

    expect(whatIfOf(next)).toBeNull();
    expect(curveOf(next, shownCell(next))).toBeUndefined();
  });

  test("stay when the same result arrives again, as for a view that is opened later", () => {
    const { state } = answered();
    const next = after(state, { kind: "explained", explained: explained() });

    expect(whatIfOf(next)).not.toBeNull();
    expect(curveOf(next, shownCell(next))).toBeDefined();
  });

  test("stay while another cell gets its result", () => {
    const { state } = answered();
    const other = explained();
    const next = after(state, { kind: "explained", explained: { ...other, result: { ...other.result, method: "ig" } } });

    expect(whatIfOf(next)).toBe(ANSWER);
  });

  test("about a result that was replaced meanwhile are dropped", () => {
    const { about, shown } = answered();
    const next = after(
      shown,
      { kind: "explained", explained: OTHER },
      { kind: "answered", about, request: whatIfRequest(shown), answer: ANSWER },
      { kind: "curve", about, fill: shown.shown.fill, curve: CURVE },
    );

    expect(next.answers.size).toBe(0);
  });

  test("are at most five hundred for one result: the oldest go", () => {
    const { about, shown } = answered();
    let state = shown;
    for (let keep = 0; keep <= 500; keep++) {
      state = after(state, { kind: "answered", about, request: { ...whatIfRequest(shown), keep }, answer: ANSWER });
    }
    const { whatIfs } = state.answers.get(keyOf(shownCell(shown)))!;

    expect(whatIfs.size).toBe(500);
    expect([...whatIfs.keys()].some((key) => (JSON.parse(key) as { keep: number }).keep === 0)).toBe(false);
  });
});
