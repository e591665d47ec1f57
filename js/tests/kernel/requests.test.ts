import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { deflated, pack } from "../../playground/pack.ts";
import { keyOf } from "../../src/core/cell.ts";
import { initialState, shownCell } from "../../src/core/state.ts";
import { createStore } from "../../src/core/store.ts";
import { update } from "../../src/core/update.ts";
import { connect } from "../../src/kernel/requests.ts";
import { connectTraits } from "../../src/kernel/traits.ts";
import { fakeModel, SETTINGS, SPEC } from "../fake-model.ts";
import { explained, result, resultMessage } from "../fixtures.ts";

const SHOWN = shownCell(initialState(SPEC, SETTINGS));
const PNG = Uint8Array.of(137, 80, 78, 71);

function start(more: Readonly<Record<string, unknown>> = {}) {
  const fake = fakeModel(more);
  const life = new AbortController();
  const store = createStore(initialState(SPEC, SETTINGS), update);
  connectTraits(fake.model, store, life.signal);
  const commands = connect(fake.model, store, life.signal);
  let seq = 0;
  return {
    ...fake,
    life,
    store,
    commands,
    fake,
    reply: (op: string, fields: object = {}, buffers: unknown[] = []) => fake.say({ op, seq: ++seq, ...fields }, buffers),
    welcome() {
      fake.say({ op: "welcome", seq: ++seq, rid: fake.requested("hello")[0]!.rid, format: "image/png", buffers: ["picture"] }, [PNG]);
    },
    predict: () => fake.say({ op: "prediction", seq: ++seq, classes: [{ index: 3, label: "cat", probability: 0.9 }] }),
    finish(rid: string, one = explained()) {
      const { message, buffers } = resultMessage(one);
      fake.say({ ...message, seq: ++seq, rid, buffers: [...buffers.keys()] }, [...buffers.values()]);
    },
  };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("greeting", () => {
  test("hello is sent once, at once", () => {
    expect(start().sent.map(({ op }) => op)).toEqual(["hello"]);
  });

  test("the shown method is computed as soon as the kernel is there", () => {
    const one = start();
    one.welcome();

    expect(one.requested("compute")).toMatchObject([{ method: "xrai", target: 3 }]);
    expect(one.store.state.link).toBe("live");
    expect(one.store.state.pictures.get(0)?.type).toBe("image/png");
  });

  test("an unsupported method is not requested", () => {
    const one = start();
    one.store.send({ kind: "set", settings: { method: "lrp" } });
    one.welcome();

    expect(one.requested("compute")).toEqual([]);
  });

  test("the top class, where none was named, is that of the prediction", async () => {
    const one = start({ target: -1 });
    one.store.send({ kind: "synced", settings: { target: -1 } });
    one.welcome();
    one.predict();
    await vi.advanceTimersByTimeAsync(0);

    expect(one.store.state.shown.target).toBe(3);
    expect(one.requested("compute").map((each) => (each as { target?: number }).target)).toEqual([-1, 3]);
  });

  test("an error instead of a prediction is kept to be shown", () => {
    const one = start();
    one.reply("error", { rid: one.requested("hello")[0]!.rid, kind: "TypeError", message: "model wants 3 channels", details: "" });

    expect(one.store.state.trouble?.message).toBe("model wants 3 channels");
  });

  test("request ids are unique and never travel as `id`", () => {
    const [a, b] = [start(), start()];
    a.welcome();
    b.welcome();
    const sent = [...a.sent, ...b.sent];

    expect(new Set(sent.map(({ rid }) => rid)).size).toBe(4);
    expect(sent.some((message) => "id" in message)).toBe(false);
  });
});

describe("computing", () => {
  test("a method set by Python is computed where it has no result", async () => {
    const one = start();
    one.welcome();
    one.tell({ method: "ig" });
    await vi.advanceTimersByTimeAsync(0);

    expect(one.requested("compute").at(-1)).toMatchObject({ method: "ig", target: 3 });
    expect(one.saved).toEqual([]);
  });

  test("method and class set together are one request", async () => {
    const one = start();
    one.welcome();
    one.tell({ method: "ig", target: 5 });
    await vi.advanceTimersByTimeAsync(0);

    expect(one.requested("compute").slice(1)).toMatchObject([{ method: "ig", target: 5 }]);
  });

  test("what is computed or requested is not requested again", async () => {
    const one = start();
    one.welcome();
    one.commands.compute(SHOWN);
    one.finish(one.requested("compute")[0]!.rid);
    one.commands.compute(SHOWN);
    one.tell({ method: "ig" });
    one.tell({ method: "xrai" });
    await vi.advanceTimersByTimeAsync(0);

    expect(one.requested("compute")).toHaveLength(1);
  });

  test("a failed request is repeated only on demand", () => {
    const one = start();
    one.welcome();
    one.reply("error", { rid: one.requested("compute")[0]!.rid, kind: "MemoryError", message: "no room", details: "…" });

    one.commands.compute(SHOWN);
    expect(one.requested("compute")).toHaveLength(1);
    one.commands.compute(SHOWN, true);
    expect(one.requested("compute")).toHaveLength(2);
  });

  test("a cancelled method can be requested again", () => {
    const one = start();
    one.welcome();
    const { rid } = one.requested("compute")[0]!;
    one.commands.cancel(SHOWN);
    expect(one.requested("cancel")).toEqual([{ op: "cancel", rid }]);

    one.reply("cancelled", { rid });
    expect(one.store.state.jobs.size).toBe(0);
    one.commands.compute(SHOWN);
    expect(one.requested("compute")).toHaveLength(2);
  });

  test("two methods may run at once, each with its own progress", async () => {
    const one = start();
    one.welcome();
    one.tell({ method: "ig" });
    await vi.advanceTimersByTimeAsync(0);
    const [first, second] = one.requested("compute");
    one.reply("progress", { rid: first!.rid, done: 1, total: 4, seconds_left: null });
    one.reply("progress", { rid: second!.rid, done: 3, total: 4, seconds_left: 1.5 });

    expect(one.store.state.jobs.get(keyOf(SHOWN))).toMatchObject({ done: 1, secondsLeft: null });
    expect(one.store.state.jobs.get(keyOf({ ...SHOWN, method: "ig" }))).toMatchObject({ done: 3, secondsLeft: 1.5 });
  });

  test("a result that was not requested here is accepted", () => {
    const one = start();
    one.welcome();
    one.finish("elsewhere", explained({ result: result({ method: "ig" }) }));

    expect(one.store.state.explained.has(keyOf({ ...SHOWN, method: "ig" }))).toBe(true);
  });
});

describe("searching classes", () => {
  test("an answer to an older request is dropped", () => {
    const one = start();
    one.welcome();
    one.commands.search("f");
    one.commands.search("fo");
    const [older, newer] = one.requested("classes");
    one.reply("classes", { rid: newer!.rid, classes: [{ index: 1, label: "fox", probability: 0 }] });
    one.reply("classes", { rid: older!.rid, classes: [] });

    expect(one.store.state.found.map(({ label }) => label)).toEqual(["fox"]);
  });
});

describe("messages that make no sense", () => {
  test.each([
    ["an unknown op", { op: "dance" }, []],
    ["no op", {}, []],
    ["a result without maps", { op: "result", result: result() }, []],
    ["a map of the wrong size", { op: "result", result: result(), buffers: ["values", "values_table"] }, [new Uint8Array(4), new Uint8Array(4004)]],
    ["a shape that is none", { op: "result", result: { ...result(), shape: "big" } }, []],
    ["null", null, []],
  ])("%s: one warning, nothing changes", (_, message, buffers) => {
    const warn = vi.spyOn(console, "warn").mockReturnValue();
    const one = start();
    const before = one.store.state;
    one.say(message as never, buffers);

    expect(warn).toHaveBeenCalledTimes(1);
    expect(one.store.state).toBe(before);
  });
});

describe("polling", () => {
  const polls = (one: ReturnType<typeof start>) => one.requested("poll").length;

  test("starts after a second of silence and goes on every 400 ms", () => {
    const one = start();
    vi.advanceTimersByTime(999);
    expect(polls(one)).toBe(0);
    vi.advanceTimersByTime(1);
    expect(polls(one)).toBe(1);
    vi.advanceTimersByTime(800);
    expect(polls(one)).toBe(3);
  });

  test("never starts where pushes keep coming", () => {
    const one = start();
    one.welcome();
    const { rid } = one.requested("compute")[0]!;
    for (let i = 0; i < 30; i++) {
      vi.advanceTimersByTime(300);
      one.reply("progress", { rid, done: i, total: 30, seconds_left: null });
    }
    expect(polls(one)).toBe(0);
  });

  test("goes on while answers come only to polls", () => {
    const one = start();
    one.welcome();
    const { rid } = one.requested("compute")[0]!;
    vi.advanceTimersByTime(1000);
    for (let i = 0; i < 10; i++) {
      vi.advanceTimersByTime(20);
      one.reply("progress", { rid, done: i, total: 10, seconds_left: null });
      vi.advanceTimersByTime(380);
    }
    expect(polls(one)).toBe(11);
  });

  test("stops when a push comes by itself", () => {
    const one = start();
    one.welcome();
    vi.advanceTimersByTime(1000 + 350);
    one.reply("progress", { rid: one.requested("compute")[0]!.rid, done: 1, total: 9, seconds_left: null });
    vi.advanceTimersByTime(900);

    expect(polls(one)).toBe(1);
  });

  test("stops when nothing is open", () => {
    const one = start();
    one.welcome();
    one.predict();
    one.finish(one.requested("compute")[0]!.rid);
    vi.advanceTimersByTime(10_000);

    expect(polls(one)).toBe(0);
  });

  test("becomes rare where nobody ever answers", () => {
    const one = start();
    vi.advanceTimersByTime(60_000);

    expect(polls(one)).toBeLessThan(25);
  });

  test("ends with the widget", () => {
    const one = start();
    one.life.abort();
    vi.advanceTimersByTime(10_000);

    expect(polls(one)).toBe(0);
  });
});

describe("without a kernel", () => {
  const { message, buffers } = resultMessage();
  const packet = pack([
    { message: { op: "welcome", rid: "", format: "image/png" }, buffers: new Map([["picture", PNG]]) },
    { message: { op: "prediction", classes: [] }, buffers: new Map() },
    { message, buffers },
  ]);

  test("the snapshot is shown after a second, and nothing is computed", async () => {
    const one = start({ _snapshot: new DataView(packet.buffer) });
    await vi.advanceTimersByTimeAsync(999);
    expect(one.store.state.link).toBe("waiting");
    await vi.advanceTimersByTimeAsync(1);

    expect(one.store.state.link).toBe("packed");
    expect(one.store.state.explained.has(keyOf(SHOWN))).toBe(true);
    one.commands.compute(SHOWN);
    expect(one.requested("compute")).toEqual([]);
  });

  test("on a page of its own nobody is waited for", async () => {
    const one = start({ _snapshot: packet, _alone: true });
    await vi.advanceTimersByTimeAsync(0);

    expect(one.store.state.link).toBe("packed");
    expect(one.store.state.explained.has(keyOf(SHOWN))).toBe(true);
  });

  test("a deflated snapshot is shown as well", async () => {
    vi.useRealTimers();
    const one = start({ _snapshot: await deflated(packet) });

    await vi.waitUntil(() => one.store.state.explained.has(keyOf(SHOWN)), { timeout: 3000 });
    expect(one.store.state.link).toBe("packed");
  });

  test("a kernel that answers late takes over, and its own result is requested", async () => {
    const one = start({ _snapshot: new DataView(packet.buffer) });
    await vi.advanceTimersByTimeAsync(1500);
    one.welcome();

    expect(one.store.state.link).toBe("live");
    expect(one.store.state.explained.has(keyOf(SHOWN))).toBe(true);
    expect(one.requested("compute")).toHaveLength(1);
  });

  test("a kernel that answers in time leaves the snapshot alone", async () => {
    const one = start({ _snapshot: new DataView(packet.buffer) });
    one.welcome();
    await vi.advanceTimersByTimeAsync(2000);

    expect(one.store.state.link).toBe("live");
    expect(one.store.state.explained.size).toBe(0);
  });

  test("a snapshot that is broken is one warning", async () => {
    const warn = vi.spyOn(console, "warn").mockReturnValue();
    const one = start({ _snapshot: new DataView(packet.buffer.slice(0, 40)) });
    await vi.advanceTimersByTimeAsync(1100);

    expect(warn).toHaveBeenCalledTimes(1);
    expect(one.store.state.link).toBe("waiting");
  });
});
