/** The conversation with the kernel: asks, listens, and tells the store (see "Messages" in docs/widget-protocol.md). */

import type { Commands } from "./commands.ts";
import { parseReply, type Reply } from "./messages.ts";
import { bytesOf, createAssembler, unpack, type Message, type Raw } from "./packet.ts";
import { createPolling } from "./polling.ts";
import { shownKey, shownStatus } from "./select.ts";
import type { Event, Link, State } from "./state.ts";
import type { Store } from "./store.ts";
import { listen, type Model } from "./traits.ts";

const UNFINISHED: readonly Reply["op"][] = ["accepted", "welcome", "progress", "partial"];

/** A kernel that has not answered for so long is taken for absent. */
const WELCOME_WITHIN = 1000;

export function connect(model: Model, store: Store<State, Event>, signal: AbortSignal): Commands {
  const assemble = createAssembler();
  const open = new Set<string>();
  const newRid = ridMaker();
  const hello = newRid();
  let searching = "";

  const polling = createPolling(() => open.size > 0, () => model.send({ op: "poll", rid: newRid() }), signal);
  const ask = (rid: string, op: string, fields: Raw = {}): void => {
    open.add(rid);
    model.send({ op, rid, ...fields });
    polling.opened();
  };

  const compute = (again = false): void => {
    const { link, shown } = store.state;
    const status = shownStatus(store.state).kind;
    if (link !== "live" || (status !== "idle" && !(again && status === "failed"))) return;
    const { method, target } = shown;
    const rid = newRid();
    store.send({ kind: "started", key: shownKey(store.state), rid });
    ask(rid, "compute", { method, target });
  };

  const receive = (message: Message): void => {
    const reply = parseReply(message);
    // hello is answered when the prediction is there: until then it may have to be polled for
    if (reply.op === "prediction") open.delete(hello);
    else if (!UNFINISHED.includes(reply.op)) open.delete(reply.rid);
    if (reply.op === "classes" && reply.rid !== searching) return; // an answer to what was typed before
    for (const event of eventsOf(reply, "live", reply.rid === hello)) store.send(event);
    if (reply.op === "welcome") compute();
    polling.heard();
  };
  listen(model, "msg:custom", signal, (raw, buffers) => {
    try {
      const message = assemble(raw as Raw, (buffers ?? []) as unknown[]);
      if (message) receive(message);
    } catch (error) {
      warn(error);
    }
  });
  onSelection(store, compute, signal);
  replayIfAlone(model, store, signal);
  ask(hello, "hello");

  return {
    compute,
    cancel(key) {
      const job = store.state.jobs.get(key);
      if (job) model.send({ op: "cancel", rid: job.rid });
    },
    search(query) {
      if (store.state.link !== "live") return;
      searching = newRid();
      ask(searching, "classes", { query });
    },
  };
}

/** Request ids that no other widget, and no other page on the same kernel, will use. */
function ridMaker(): () => string {
  const page = Math.random().toString(36).slice(2, 10);
  let count = 0;
  return () => `${page}-${++count}`;
}

function warn(error: unknown): void {
  console.warn("saliency-widget: ignored a message:", error);
}

function eventsOf(reply: Reply, link: Link, toHello: boolean): readonly Event[] {
  switch (reply.op) {
    case "accepted":
      return [];
    case "welcome":
      return [{ kind: "linked", link, picture: reply.picture }];
    case "prediction":
      return [{ kind: "predicted", classes: reply.classes }];
    case "classes":
      return [{ kind: "found", classes: reply.classes }];
    case "progress": {
      const { rid, done, total, secondsLeft } = reply;
      return [{ kind: "progress", rid, job: { done, total, secondsLeft } }];
    }
    case "partial":
      return [{ kind: "explained", explained: reply.explained }];
    case "result":
      return [
        { kind: "explained", explained: reply.explained },
        { kind: "ended", rid: reply.rid },
      ];
    case "cancelled":
      return [{ kind: "ended", rid: reply.rid }];
    case "error":
      return [
        toHello
          ? { kind: "trouble", failure: reply.failure }
          : { kind: "failed", rid: reply.rid, failure: reply.failure },
      ];
  }
}

/** Another method or class, whoever chose it, is computed; once, when Python sets both. */
function onSelection(store: Store<State, Event>, compute: () => void, signal: AbortSignal): void {
  store.subscribe((state, before) => {
    if (shownKey(state) === shownKey(before)) return;
    queueMicrotask(() => {
      if (!signal.aborted) compute();
    });
  }, signal);
}

/** Where no kernel answers, show what the snapshot holds. */
function replayIfAlone(model: Model, store: Store<State, Event>, signal: AbortSignal): void {
  const replay = async (packet: Uint8Array): Promise<void> => {
    for (const message of await unpack(packet)) {
      if (signal.aborted || store.state.link === "live") return;
      for (const event of eventsOf(parseReply(message), "packed", false)) store.send(event);
    }
  };
  const timer = setTimeout(() => {
    const snapshot = model.get("_snapshot");
    if (store.state.link === "waiting" && snapshot && snapshot.byteLength > 0) replay(bytesOf(snapshot)).catch(warn);
  }, WELCOME_WITHIN);
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
}
