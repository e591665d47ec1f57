/** The connection to the kernel: requests by their id, each with what handles its replies (see "Messages" in docs/widget-protocol.md). */

import { keyOf, pairOf, type Cell } from "../core/cell.ts";
import { openImages } from "../core/lookup.ts";
import { surplus } from "../core/memory.ts";
import type { Spec } from "../core/settings.ts";
import { shownCell } from "../core/state.ts";
import { statusOf } from "../core/status.ts";
import type { StateStore } from "../core/update.ts";
import { ANSWERS, eventsOf } from "./answers.ts";
import { Refusal, type Commands } from "./commands.ts";
import { followCells } from "./follow.ts";
import { createLiveness } from "./liveness.ts";
import { classRows, failureIn, number, parseReply, type Reply } from "./messages.ts";
import { createLoader } from "./module.ts";
import { createAssembler, warn, type Message, type Raw } from "./packet.ts";
import { createPolling } from "./polling.ts";
import { replayIfAlone } from "./replay.ts";
import { listen, type Model } from "./traits.ts";

/** Replies after which others follow. */
const UNFINISHED: readonly string[] = ["accepted", "welcome", "progress", "partial", "partial_verdict", "items"];

type Handler = (reply: Reply) => void;

/** Sends requests, listens, and hands each reply to the state and to what waits for it. */
export function connect(model: Model, store: StateStore, signal: AbortSignal): Commands {
  const newRid = ridMaker();
  const hello = newRid();
  const isLast = countPairs(() => store.state.spec);
  const { request, drop, send } = createRequests(model, store, newRid, signal, (reply) => {
    // hello has its answer when all predictions are there: until then they may have to be polled for
    if (isLast(reply)) drop(hello);
    if (reply.op === "result") store.send({ kind: "forgotten", keys: surplus(store.state) });
  });
  const compute = (cell: Cell, again = false): void => {
    const status = statusOf(store.state, cell).kind;
    const wanted = status === "idle" || (again && (status === "failed" || status === "stale"));
    if (store.state.link !== "live" || !wanted) return;
    // the top class is requested by its index, once it is known; only the first picture does not wait for it
    if (cell.target < 0 && keyOf(cell) !== keyOf(shownCell(store.state))) return;
    const rid = newRid();
    store.send({ kind: "started", key: keyOf(cell), rid });
    request(rid, "compute", cell);
  };
  const computeAll = followCells(store, compute, signal);
  request(hello, "hello", {}, (reply) => {
    if (reply.op === "welcome") computeAll();
    if (reply.op === "error") store.send({ kind: "trouble", failure: failureIn(reply.raw) });
  });
  replayIfAlone(model, store, signal);

  let searching = "";
  return {
    compute,
    more: createLoader(model, store, signal, (failed) =>
      request(newRid(), "module", {}, ({ op, raw }) => op === "error" && failed(failureIn(raw).message))),
    cancel(cell) {
      const job = store.state.jobs.get(keyOf(cell));
      if (job) send({ op: "cancel", rid: job.rid });
    },
    search(query) {
      if (store.state.link !== "live") return;
      // the answer to an earlier query is not wanted any more
      drop(searching);
      searching = newRid();
      request(searching, "classes", { query }, (reply) => {
        if (reply.op === "classes") store.send({ kind: "found", classes: classRows(reply.raw, "classes") });
      });
    },
    request(op, fields, { progress, partial, buffers } = {}) {
      const rid = newRid();
      const answer = new Promise<Reply>((resolve, reject) => {
        request(rid, op, fields, (reply) => {
          const { op: kind, raw, buffers: maps } = reply;
          if (kind === "progress") progress?.(number(raw, "done") / Math.max(number(raw, "total"), 1));
          else if (kind === "partial_verdict") partial?.(ANSWERS[op](raw, maps));
          else if (kind === "error") reject(new Refusal(failureIn(raw)));
          else if (kind !== "accepted" && kind !== "cancelled") resolve(reply);
        }, buffers);
      });
      return {
        answer: answer.then((reply) => ANSWERS[op](reply.raw, reply.buffers)),
        cancel() {
          if (drop(rid)) send({ op: "cancel", rid });
        },
      };
    },
  };
}

interface Requester {
  /** Send a request; `handle` gets every reply to it. */
  readonly request: (rid: string, op: string, fields: object, handle?: Handler, buffers?: readonly ArrayBuffer[]) => void;
  /** Forget a request; false where it has its final reply, or was forgotten before. */
  readonly drop: (rid: string) => boolean;
  /** Send a message that is no request. */
  readonly send: (message: Raw) => void;
}

/** The map of open requests. Replies to others, and those without an id, change only the state; `each` is called after any reply. */
function createRequests(model: Model, store: StateStore, newRid: () => string, signal: AbortSignal, each: Handler): Requester {
  const requests = new Map<string, Handler>();
  const liveness = createLiveness(store, signal);
  const send = (message: Raw, buffers: readonly ArrayBuffer[] = []): void => {
    liveness.sent();
    try {
      if (buffers.length > 0) model.send(message, undefined, [...buffers]);
      else model.send(message);
    } catch {
      // the comm is closed: its kernel is gone, and a banner says so
      liveness.gone();
    }
  };
  const poll = (): void => send({ op: "poll", rid: newRid() });
  const polling = createPolling(() => requests.size > 0, poll, signal);
  const receive = (message: Message): void => {
    const reply = parseReply(message, "live");
    liveness.heard();
    const handle = requests.get(reply.rid);
    if (!UNFINISHED.includes(reply.op)) requests.delete(reply.rid);
    for (const event of eventsOf(reply, store.state)) store.send(event);
    handle?.(reply);
    each(reply);
    polling.heard();
  };
  const assemble = createAssembler();
  listen(model, "msg:custom", signal, (raw, buffers) => {
    try {
      const message = assemble(raw as Raw, (buffers ?? []) as unknown[]);
      if (message) receive(message);
    } catch (error) {
      warn(error);
    }
  });
  // the comm was closed or opened again: a kernel that is there answers a poll
  listen(model, "comm_live_update", signal, () => {
    liveness.gone();
    poll();
  });
  return {
    request(rid, op, fields, handle = () => undefined, buffers) {
      requests.set(rid, handle);
      send({ op, rid, ...fields }, buffers);
      polling.opened();
    },
    drop: (rid) => requests.delete(rid),
    send,
  };
}

/** Whether a reply is the last prediction that was missing, of all models and images. */
function countPairs(spec: () => Spec): (reply: Reply) => boolean {
  const known = new Set<string>();
  return ({ events: [event] }) =>
    event?.kind === "predicted" && known.add(pairOf(event.model, event.image)).size >= spec().models.length * openImages(spec()).length;
}

/** Request ids that no other widget, and no other page on the same kernel, will use. */
function ridMaker(): () => string {
  const page = Math.random().toString(36).slice(2, 10);
  let count = 0;
  return () => `${page}-${++count}`;
}
