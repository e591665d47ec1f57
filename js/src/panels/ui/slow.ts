/** The notice that a model call takes long: it goes with the next message. */

import { ended } from "../../core/store.ts";
import { h, setText } from "./dom.ts";

/** Seconds before the notice appears. */
const PATIENCE = 10;

export interface SlowNotice {
  readonly element: HTMLElement;
  /** Call it when a request is sent and when a message arrives; `waiting`: whether more are to come. */
  readonly wait: (waiting: boolean) => void;
}

export function slowNotice(signal: AbortSignal): SlowNotice {
  // read by screen readers once, not every second
  const seconds = h("span", { class: "slw-number", "aria-hidden": "true" });
  const words = ["Still computing (no update for ", seconds, h("span", { class: "slw-hidden" }, "a while"), ")"];
  const element = h("p", { class: "slw-quiet", role: "status", hidden: true }, ...words);
  let timer: ReturnType<typeof setInterval> | undefined;
  let since = 0;
  const look = (): void => {
    const past = Math.floor((performance.now() - since) / 1000);
    setText(seconds, `${past} s`);
    element.hidden = past <= PATIENCE;
  };
  ended(signal, () => clearInterval(timer));
  return {
    element,
    wait(waiting) {
      clearInterval(timer);
      element.hidden = true;
      if (!waiting || signal.aborted) return;
      since = performance.now();
      timer = setInterval(look, 1000);
    },
  };
}
