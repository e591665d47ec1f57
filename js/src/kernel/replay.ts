/** Without a kernel: replays the messages of a snapshot (see "Packed" in docs/widget-protocol.md). */

import type { WhatIfRequest } from "../core/answers.ts";
import { keyOf, type Cell } from "../core/cell.ts";
import type { ParameterValues } from "../core/result.ts";
import type { State } from "../core/state.ts";
import { ended } from "../core/store.ts";
import type { StateEvent, StateStore } from "../core/update.ts";
import { ANSWERS } from "./answers.ts";
import { object, parseReply } from "./messages.ts";
import { bytesOf, unpack, warn, type Raw } from "./packet.ts";
import type { Model } from "./traits.ts";

/** A kernel that has not answered after this time is taken for absent. */
const WELCOME_WITHIN = 1000;

export function replayIfAlone(model: Model, store: StateStore, signal: AbortSignal): void {
  const replay = async (packet: Uint8Array): Promise<void> => {
    for (const message of await unpack(packet)) {
      if (signal.aborted || store.state.link === "live") return;
      const { events, raw } = parseReply(message, "packed");
      for (const event of raw["asked"] ? storedAnswer(store.state, raw) : events) store.send(event);
    }
  };
  const timer = setTimeout(() => {
    const snapshot = model.get("_snapshot");
    if (store.state.link === "waiting" && snapshot && snapshot.byteLength > 0) replay(bytesOf(snapshot)).catch(warn);
  }, model.get("_alone") ? 0 : WELCOME_WITHIN);
  ended(signal, () => clearTimeout(timer));
}

/** An answer is stored with its request, and after the result that it is about. */
function storedAnswer({ explained }: State, raw: Raw): readonly StateEvent[] {
  const { op, ...request } = object(raw["asked"], "asked");
  const about = explained.get(keyOf(request as unknown as Cell));
  try {
    if (op === "describe") {
      const { method, fields } = request as { method: string; fields: ParameterValues };
      return [{ kind: "described", method, fields, described: ANSWERS.describe(raw) }];
    }
    if (about && op === "what_if") return [{ kind: "answered", about, request: request as unknown as WhatIfRequest, answer: ANSWERS.what_if(raw) }];
    if (about && op === "curve") return [{ kind: "curve", about, fill: String(request["fill"]), curve: ANSWERS.curve(raw) }];
    if (about && op === "check") return [{ kind: "verdict", about, verdict: ANSWERS.check(raw) }];
  } catch (error) {
    // one answer that is malformed hides no other message
    warn(error);
  }
  return [];
}
