/** Messages that a kernel never sends: nothing is thrown, nothing changes, and the console shows one sentence with the reason. */

import { afterEach, beforeEach, describe, expect, test, vi, type MockInstance } from "vitest";
import { initialState, type State } from "../../src/core/state.ts";
import { createStore } from "../../src/core/store.ts";
import { update } from "../../src/core/update.ts";
import { curve, described, whatIf } from "../../src/kernel/answers.ts";
import { connect } from "../../src/kernel/requests.ts";
import { readSettings } from "../../src/kernel/traits.ts";
import { fakeModel } from "../fake-model.ts";
import { explained, resultMessage } from "../fixtures.ts";

const ODD: readonly unknown[] = [
  undefined, null, true, -1, 0.5, NaN, Infinity, 2 ** 53, "", "x", "__proto__", [], [1], [null], [[]], {}, { length: 3 }, { toString: null }, () => 0,
];
const ends: AbortController[] = [];
let warned: MockInstance;
beforeEach(() => {
  warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
});
afterEach(() => {
  for (const end of ends.splice(0)) end.abort();
  vi.restoreAllMocks();
});

/** A widget that has its picture, its classes, one result and one job that runs. */
function living() {
  const fake = fakeModel();
  const store = createStore(initialState(fake.model.get("spec"), readSettings(fake.model)), update);
  const life = new AbortController();
  ends.push(life);
  const commands = connect(fake.model, store, life.signal);
  let seq = 0;
  const say = (message: Record<string, unknown>, buffers: readonly unknown[] = []): void => fake.say({ seq: ++seq, ...message }, buffers);
  say({ op: "welcome", rid: fake.requested("hello")[0]!.rid, format: "image/png", buffers: ["picture"] }, [Uint8Array.of(1)]);
  say({ op: "prediction", classes: [{ index: 3, label: "cat", probability: 0.9 }] });
  const { message, buffers } = resultMessage();
  say({ ...message, rid: fake.requested("compute")[0]!.rid, buffers: [...buffers.keys()] }, [...buffers.values()]);
  commands.compute({ method: "ig", target: 3, model: 0, image: 0 });
  return { fake, store, commands, say, running: fake.requested("compute").at(-1)!.rid };
}

/** All of a state that a message could have changed. */
const facts = ({ jobs, explained: results, failures, predictions, pictures, warnings, found, trouble, shown, saved, link }: State): unknown =>
  [[...jobs], [...results], [...failures], [...predictions], [...pictures], [...warnings], found, trouble, shown, saved, link];

describe("a malformed message", () => {
  const { message, buffers } = resultMessage();
  const GOOD: readonly (readonly [string, Record<string, unknown>, readonly string[]])[] = [
    ["welcome", { op: "welcome", format: "image/png", image: 0, buffers: ["picture"] }, ["format", "image", "buffers"]],
    ["prediction", { op: "prediction", model: 0, image: 0, classes: [{ index: 1, label: "a", probability: 0.5 }] }, ["model", "image", "classes"]],
    ["classes", { op: "classes", classes: [{ index: 1, label: "a", probability: 0.5 }] }, ["classes"]],
    ["progress", { op: "progress", done: 1, total: 2 }, ["done", "total"]],
    ["stale", { op: "stale", model: 0, image: 0 }, ["model", "image"]],
    ["warning", { op: "warning", model: 0, image: 0, text: "t" }, ["model", "image", "text"]],
    ["error", { op: "error", kind: "E", message: "m" }, ["kind", "message", "details"]],
    ["result", { ...message, buffers: [...buffers.keys()] }, ["result", "buffers", "part", "pieces"]],
  ];
  /** What each field may be after all. */
  const fine = (name: string, value: unknown): boolean =>
    value === undefined || (value === null && !["classes", "format", "text", "done", "total", "kind", "message", "result"].includes(name))
    || (["format", "kind", "message", "details", "text"].includes(name) && typeof value === "string")
    || (["model", "image"].includes(name) && Number.isInteger(value))
    || (["done", "total"].includes(name) && Number.isFinite(value))
    || (name === "classes" && Array.isArray(value) && value.length === 0)
    || (["part", "pieces", "buffers"].includes(name) && value === null) || (name === "part" && !Array.isArray(value));

  test.each(GOOD)("%s, one field at a time", (_op, good, names) => {
    for (const name of names) {
      for (const odd of ODD.filter((value) => !fine(name, value))) {
        const { store, say, running } = living();
        const before = facts(store.state);
        warned.mockClear();
        say({ ...good, rid: running, [name]: odd }, name === "buffers" || name === "pieces" ? [] : good["op"] === "result" ? [...buffers.values()] : [Uint8Array.of(1)]);
        expect(facts(store.state), `${name}: ${JSON.stringify(odd)}`).toEqual(before);
        expect(warned, `${name}: ${JSON.stringify(odd)}`).toHaveBeenCalledTimes(1);
      }
    }
  });

  test.each(["method", "target", "shape", "place", "regions", "model", "image"])("a result whose %s is odd", (name) => {
    const { store, say, running } = living();
    const before = facts(store.state);
    const optional = name === "model" || name === "image" ? [undefined, null] : name === "regions" ? ODD.filter((odd) => !Array.isArray(odd) || odd.length === 0) : [];
    const right = name === "method" ? ODD.filter((odd) => typeof odd === "string") : name === "shape" || name === "place" ? [] : name === "regions" ? [] : ODD.filter(Number.isInteger);
    for (const odd of ODD.filter((value) => !optional.includes(value) && !right.includes(value))) {
      say({ ...message, rid: running, result: { ...explained().result, [name]: odd }, buffers: [...buffers.keys()] }, [...buffers.values()]);
      expect(facts(store.state), JSON.stringify(odd)).toEqual(before);
    }
  });

  test("no message at all, an unknown op, buffers that are none", () => {
    const { fake, store, say } = living();
    const before = facts(store.state);
    for (const odd of ODD) {
      expect(() => fake.say(odd as never, odd as never)).not.toThrow();
      expect(() => say({ op: odd })).not.toThrow();
      expect(() => say({ op: "welcome", rid: odd, format: "image/png", buffers: ["picture"] }, [odd])).not.toThrow();
    }
    expect(facts(store.state)).toEqual(before);
  });

  test("a map whose size differs from its header, a table that is too short, half a number", () => {
    const { store, say, running } = living();
    const before = facts(store.state);
    for (const length of [0, 1, 7, 31, 33, 4000]) {
      for (const at of [0, 1, 2]) {
        const sent = [...buffers.values()].map((each, i) => (i === at ? new Uint8Array(length) : each));
        say({ ...message, rid: running, buffers: [...buffers.keys()] }, sent);
      }
    }
    expect(facts(store.state)).toEqual(before);
  });
});

describe("a message at the wrong time", () => {
  test("of a request that nobody made changes no job and no failure", () => {
    const { store, say, running } = living();
    const before = facts(store.state);
    for (const rid of ["nobody-1", "", `${running}0`, "constructor"]) {
      for (const message of [{ op: "progress", done: 1, total: 2 }, { op: "cancelled" }, { op: "error", kind: "E", message: "m" }, { op: "classes", classes: [] }, { op: "what_if" }, { op: "code", text: "x" }]) say({ ...message, rid });
    }
    expect(facts(store.state)).toEqual(before);
  });

  test("with a number that was seen is dropped, whatever its content", () => {
    const { fake, store, running } = living();
    const once = { op: "progress", seq: 900, rid: running, done: 1, total: 4 };
    fake.say(once);
    const before = facts(store.state);
    fake.say({ ...once, done: 3 });
    fake.say({ op: "cancelled", seq: 900, rid: running });
    expect(facts(store.state)).toEqual(before);
  });

  test("an answer to a cancelled request is dropped", async () => {
    const { fake, commands, say } = living();
    const heard = vi.fn();
    const pending = commands.request("what_if", {} as never);
    pending.answer.then(heard, heard);
    pending.cancel();
    say({ op: "what_if", rid: fake.requested("what_if")[0]!.rid, only: [], without: [], area: 1 });
    await new Promise((done) => setTimeout(done));
    expect(heard).not.toHaveBeenCalled();
  });
});

describe("an answer that is none", () => {
  const row = { index: 1, label: "a", probability: 0.5 };
  test.each([
    ["what_if", whatIf, { only: [row], without: [row], area: 0.5 }],
    ["curve", curve, { shares: [0, 1], insertion: [0, 1], deletion: [1, 0], insertion_auc: 0.5, deletion_auc: 0.5 }],
    ["described", described, { fields: [{ name: "steps", kind: "whole" }], presets: [{ name: "quick", fields: {}, cost: 1 }], cost: 1 }],
  ] as const)("%s is refused with what was expected", (_op, read, good: Record<string, unknown>) => {
    expect(() => read(good)).not.toThrow();
    for (const name of Object.keys(good)) {
      for (const odd of ODD.filter((value) => !(typeof value === "number" && Number.isFinite(value) && typeof good[name] === "number"))) {
        if (Array.isArray(odd) && odd.length === 0 && _op !== "curve") continue;
        expect(() => read({ ...good, [name]: odd }), `${name}: ${JSON.stringify(odd)}`).toThrow(/expected/);
      }
    }
  });
});
