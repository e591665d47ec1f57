/** Without a kernel: replays the messages of a snapshot (see "Packed" in docs/widget-protocol.md). */

import { ended } from "../core/store.ts";
import type { StateStore } from "../core/update.ts";
import { eventsOf } from "./answers.ts";
import { parseReply } from "./messages.ts";
import { bytesOf, unpack, warn } from "./packet.ts";
import type { Model } from "./traits.ts";

/** A kernel that has not answered after this time is taken for absent. */
const WELCOME_WITHIN = 1000;

export function replayIfAlone(model: Model, store: StateStore, signal: AbortSignal): void {
  const replay = async (packet: Uint8Array): Promise<void> => {
    for (const message of await unpack(packet)) {
      if (signal.aborted || store.state.link === "live") return;
      for (const event of eventsOf(parseReply(message, "packed"), store.state)) store.send(event);
    }
  };
  const timer = setTimeout(() => {
    const snapshot = model.get("_snapshot");
    if (store.state.link === "waiting" && snapshot && snapshot.byteLength > 0) replay(bytesOf(snapshot)).catch(warn);
  }, model.get("_alone") ? 0 : WELCOME_WITHIN);
  ended(signal, () => clearTimeout(timer));
}
