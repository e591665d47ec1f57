/** Questions whose answers only the asker wants to know. */

import type { Options, Request } from "./commands.ts";
import type { Reply } from "./messages.ts";
import type { Raw } from "./packet.ts";
import type { Failure } from "../core/state.ts";

/** What the kernel says went wrong. */
export class Refusal extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.name = failure.kind;
    this.failure = failure;
  }
}

/** Whatever was thrown, as it is told. */
export function failureOf(reason: unknown): Failure {
  if (reason instanceof Refusal) return reason.failure;
  return { kind: "Error", message: reason instanceof Error ? reason.message : String(reason), details: "" };
}

export interface Asking {
  readonly request: (op: string, fields: Raw, options?: Options) => Request;
  /** Hands a reply to whoever waits for it. */
  readonly take: (reply: Reply) => void;
}

export function createAsking(newRid: () => string, ask: (rid: string, op: string, fields: Raw, buffers?: readonly ArrayBuffer[]) => void, cancel: (rid: string) => void): Asking {
  const waiting = new Map<string, (reply: Reply) => void>();
  return {
    request(op, fields, { progress, buffers } = {}) {
      const rid = newRid();
      const answer = new Promise<Raw>((resolve, reject) => {
        waiting.set(rid, (reply) => {
          if (reply.op === "progress") progress?.(reply.done / Math.max(reply.total, 1));
          else if (reply.op !== "accepted") waiting.delete(rid);
          if (reply.op === "answer") resolve(reply.raw);
          if (reply.op === "error") reject(new Refusal(reply.failure));
        });
      });
      ask(rid, op, fields, buffers);
      return {
        answer,
        cancel() {
          if (waiting.delete(rid)) cancel(rid);
        },
      };
    },
    take: (reply) => waiting.get(reply.rid)?.(reply),
  };
}
