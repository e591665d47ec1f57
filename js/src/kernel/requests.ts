/** The conversation with the kernel: asks, listens, and tells the store (see "Messages" in docs/widget-protocol.md). */

import { createAsking } from "./asking.ts";
import type { Commands, Stored } from "./commands.ts";
import { surplus } from "../core/memory.ts";
import { parseReply, type Reply } from "./messages.ts";
import { bytesOf, createAssembler, unpack, type Message, type Raw } from "./packet.ts";
import { createPolling } from "./polling.ts";
import { cellsOf, gridKey, statusOf } from "../core/select.ts";
import { createSilence } from "./liveness.ts";
import { keyOf, pairOf, shownCell, type Cell, type Event, type Link, type Spec, type State } from "../core/state.ts";
import { ended, type Store } from "../core/store.ts";
import { listen, type Model } from "./traits.ts";

const UNFINISHED: readonly Reply["op"][] = ["accepted", "welcome", "progress", "partial"];

/** A kernel that has not answered for so long is taken for absent. */
const WELCOME_WITHIN = 1000;

export function connect(model: Model, store: Store<State, Event>, signal: AbortSignal): Commands {
  const assemble = createAssembler();
  const open = new Set<string>();
  const newRid = ridMaker(), hello = newRid();
  const isLast = countPairs(() => store.state.spec);
  let searching = "";

  const { send, heard } = createSender(model, store, newRid, signal);
  const polling = createPolling(() => open.size > 0, () => send({ op: "poll", rid: newRid() }), signal);
  const ask = (rid: string, op: string, fields: Raw = {}, buffers?: readonly ArrayBuffer[]): void => {
    open.add(rid);
    send({ op, rid, ...fields }, buffers);
    polling.opened();
  };

  const compute = (cell: Cell, again = false): void => {
    const status = statusOf(store.state, cell).kind;
    const wanted = status === "idle" || (again && (status === "failed" || status === "stale"));
    if (store.state.link !== "live" || !wanted) return;
    // what stands for the top class is asked for when its index is known, but for the first picture: it waits for nothing
    if (cell.target < 0 && keyOf(cell) !== keyOf(shownCell(store.state))) return;
    const rid = newRid();
    store.send({ kind: "started", key: keyOf(cell), rid });
    ask(rid, "compute", { ...cell });
  };
  const asking = createAsking(newRid, ask, (rid) => send({ op: "cancel", rid }));
  const follow = followCells(store, compute, signal);

  const receive = (message: Message): void => {
    const reply = parseReply(message);
    heard();
    asking.take(reply);
    // hello is answered when all predictions are there: until then they may have to be polled for
    if (reply.op === "prediction" && isLast(reply)) open.delete(hello);
    if (!UNFINISHED.includes(reply.op)) open.delete(reply.rid);
    if (reply.op === "classes" && reply.rid !== searching) return; // an answer to what was typed before
    for (const event of eventsOf(reply, "live", reply.rid === hello)) store.send(event);
    if (reply.op === "result") store.send({ kind: "forgotten", keys: surplus(store.state) });
    if (reply.op === "welcome" && reply.rid === hello) follow.anew();
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
  ask(hello, "hello");

  return {
    compute,
    cancel(cell) {
      const job = store.state.jobs.get(keyOf(cell));
      if (job) send({ op: "cancel", rid: job.rid });
    },
    search(query) {
      if (store.state.link !== "live") return;
      searching = newRid();
      ask(searching, "classes", { query });
    },
    request: (...question) => asking.request(...question),
    recall: replayIfAlone(model, store, signal),
  };
}

/** Sends, and notices when nobody is there to answer. */
function createSender(model: Model, store: Store<State, Event>, newRid: () => string, signal: AbortSignal) {
  const silence = createSilence(store, signal);
  const send = (message: Raw, buffers?: readonly ArrayBuffer[]): void => {
    silence.asked();
    try {
      if (buffers) model.send(message, undefined, [...buffers]);
      else model.send(message);
    } catch (error) {
      // the comm is closed: its kernel is gone
      warn(error);
      silence.gone();
    }
  };
  // the comm was closed or opened anew: whoever is there answers
  listen(model, "comm_live_update", signal, () => {
    silence.gone();
    send({ op: "poll", rid: newRid() });
  });
  return { send, heard: silence.heard };
}

/** Whether a prediction is the last that was missing, of all models and images. */
function countPairs(spec: () => Spec): (reply: { readonly model: number; readonly image: number }) => boolean {
  const known = new Set<string>();
  return ({ model, image }) => known.add(pairOf(model, image)).size >= spec().models.length * spec().images.length;
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
    case "answer":
      return [];
    case "welcome":
      return [{ kind: "linked", link, image: reply.image, picture: reply.picture }];
    case "prediction":
      return [{ kind: "predicted", model: reply.model, image: reply.image, classes: reply.classes }];
    case "stale":
    case "warning":
      return [{ ...reply, kind: reply.op } as Event];
    case "pace":
      return [{ kind: "paced", model: reply.model, image: reply.image, seconds: reply.seconds }];
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

/** Has every cell computed that comes onto the screen, whoever brought it there; once, when Python sets several traits. */
function followCells(store: Store<State, Event>, compute: (cell: Cell) => void, signal: AbortSignal): { readonly anew: () => void } {
  let asked = new Set<string>();
  let queued = false;
  const look = (): void => {
    queued = false;
    if (signal.aborted) return;
    const shown = keyOf(shownCell(store.state));
    const cells = [...cellsOf(store.state)].sort((a, b) => Number(keyOf(b) === shown) - Number(keyOf(a) === shown));
    const news = cells.filter((cell) => !asked.has(keyOf(cell)));
    asked = new Set(cells.map(keyOf));
    for (const cell of news) compute(cell);
  };
  store.subscribe((state, before) => {
    if (state.parameters !== before.parameters || (before.silent && !state.silent)) asked = new Set();
    else if (state.shown === before.shown && state.predictions === before.predictions) return;
    else if (gridKey(state) === gridKey(before)) return;
    if (queued) return;
    queued = true;
    queueMicrotask(look);
  }, signal);
  return {
    anew() {
      asked = new Set();
      look();
    },
  };
}

/** Where no kernel answers, show what the snapshot holds. Gives what looks up the answers that it holds too. */
function replayIfAlone(model: Model, store: Store<State, Event>, signal: AbortSignal): Commands["recall"] {
  const stored: Stored[] = [];
  const replay = async (packet: Uint8Array): Promise<void> => {
    for (const message of await unpack(packet)) {
      if (signal.aborted || store.state.link === "live") return;
      const reply = parseReply(message);
      if (reply.op === "answer" && reply.raw["asked"]) stored.push(reply.raw as Stored);
      for (const event of eventsOf(reply, "packed", false)) store.send(event);
    }
  };
  const timer = setTimeout(() => {
    const snapshot = model.get("_snapshot");
    if (store.state.link === "waiting" && snapshot && snapshot.byteLength > 0) replay(bytesOf(snapshot)).catch(warn);
  }, model.get("_alone") ? 0 : WELCOME_WITHIN);
  ended(signal, () => clearTimeout(timer));
  return (op, fields) => stored.filter(({ asked }) =>
    asked["op"] === op && Object.keys(fields).every((name) => JSON.stringify(asked[name]) === JSON.stringify(fields[name])));
}
