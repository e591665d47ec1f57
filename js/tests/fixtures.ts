import { percentiles } from "../playground/maps.ts";
import { keyOf } from "../src/core/cell.ts";
import type { Explained, Region, Result } from "../src/core/result.ts";
import { initialState, type State } from "../src/core/state.ts";
import { SETTINGS, SPEC } from "./fake-model.ts";

export const REGIONS: readonly Region[] = [
  { gain: 0.9, area: 0.25, cumulative: 0.25 },
  { gain: 0.5, area: 0.25, cumulative: 0.5 },
  { gain: 0.1, area: 0.5, cumulative: 1 },
];

/** A 2 × 4 map with three regions: two cells, two cells, four cells. */
export const STEP = Uint16Array.from([0, 0, 1, 1, 2, 2, 2, 2]);

export function result(more: Partial<Result> = {}): Result {
  return {
    method: "xrai", target: 3, model: 0, image: 0, label: "cat", caption: "XRAI()", quality: "3 regions", shape: [2, 4], place: [0, 0, 20, 20], sign: "absolute", images: 200, check: null,
    seconds: 1.9, layer: null, notes: ["the logit was explained"], regions: REGIONS, concern: null, ...more,
  };
}

export function explained(more: Partial<Explained> = {}): Explained {
  const values = more.values ?? Float32Array.from([0.9, 0.9, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1]);
  return {
    result: result(), share: 1, values, valuesTable: percentiles(values), magnitude: null, magnitudeTable: null, step: STEP, stale: false, ...more,
  };
}

export function state(more: Partial<State> = {}): State {
  return { ...initialState(SPEC, SETTINGS), ...more };
}

export function withResult(one: Explained = explained(), more: Partial<State> = {}): State {
  return state({ link: "live", explained: new Map([[keyOf(one.result), one]]), ...more });
}

/** The message and buffers of a result, as the kernel sends them. */
export function resultMessage(one: Explained = explained()): { message: Record<string, unknown>; buffers: Map<string, Uint8Array> } {
  const buffers = new Map([
    ["values", bytes(one.values)],
    ["values_table", bytes(one.valuesTable)],
  ]);
  if (one.step) buffers.set("step", bytes(one.step));
  return { message: { op: "result", rid: "", result: one.result }, buffers };
}

export function bytes(array: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
