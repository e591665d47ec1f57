/** Announces progress and results to screen readers. */

import { formatShare } from "../../core/format.ts";
import { shownExplained, shownMethod } from "../../core/lookup.ts";
import type { State } from "../../core/state.ts";
import { jobShare, shownJob, shownStatus } from "../../core/status.ts";
import { h, setText, type Context } from "./dom.ts";

export function announcer(context: Context): HTMLElement {
  const element = h("div", { class: "slw-hidden", role: "status", "aria-live": "polite" });
  context.watch(
    (state) => [announcement(state)],
    (state) => setText(element, announcement(state)),
  );
  return element;
}

/** Progress only by quarters: every per cent would be too much speech. */
function announcement(state: State): string {
  const name = shownMethod(state)?.name ?? state.shown.method;
  const job = shownJob(state);
  if (job) return `${name}: ${Math.floor(jobShare(job) * 4) * 25} %`;
  const status = shownStatus(state);
  if (status.kind === "failed") return `${name} failed: ${status.failure.message}`;
  const explained = shownExplained(state);
  if (!explained) return "";
  if (explained.share < 1) return `${name}: stopped at ${formatShare(explained.share)}`;
  return `${name}: done${explained.result.quality ? `, ${explained.result.quality}` : ""}`;
}
