/** When the guide is shown: by itself once in a browser, with the first map. */

import { shownExplained } from "../../core/lookup.ts";
import type { State } from "../../core/state.ts";
import type { Context } from "./dom.ts";

const KEY = "saliency-widget.guide";
/** Each widget of a page has its own copy of this module: they share the element that has the guide, or had it when it was dismissed. */
const page = globalThis as { saliencyGuide?: Element };

/** Whether there is a guide: its steps need a kernel and a model. */
export function isGuided({ link, spec }: State): boolean {
  return link === "live" && !spec.stored;
}

/** Open the guide with the first map of a view, unless this browser has dismissed it or another widget of the page shows it. */
export function offerGuide({ watch, load }: Context, root: HTMLElement, open: () => void): void {
  let decided = false;
  watch((state) => [state.explained, state.shown, state.link], (state) => {
    if (decided || !isGuided(state) || state.shown.gallery || (shownExplained(state)?.share ?? 0) < 1) return;
    decided = true;
    if (isDismissed() || page.saliencyGuide?.isConnected) return;
    page.saliencyGuide = root;
    // nobody requested it, so that a failure is not shown
    load("guide").then(() => open(), () => undefined);
  });
}

/** Never show the guide by itself again. */
export function dismissGuide(): void {
  page.saliencyGuide = document.documentElement;
  try {
    localStorage.setItem(KEY, "dismissed");
  } catch {
    // this page remembers it
  }
}

/** Where the browser remembers nothing, the guide would come back for ever: it counts as dismissed. */
function isDismissed(): boolean {
  try {
    return localStorage.getItem(KEY) !== null;
  } catch {
    return true;
  }
}
