/** A failure as it is shown: its kind, its message, details, and a button that copies it. */

import type { Failure } from "../../core/result.ts";
import { button, copied, h, setText, type Context } from "./dom.ts";

export interface FailureBox {
  readonly element: HTMLElement;
  /** Null takes it away. */
  readonly show: (failure: Failure | null) => void;
}

/** A failure where the answer would have stood. */
export function failureBox(context: Context, title: string, ...buttons: readonly HTMLElement[]): FailureBox {
  const element = h("div", { class: "slw-trouble", role: "alert", hidden: true });
  let last: Failure | null = null;
  return {
    element,
    show(failure) {
      if (failure === last) return;
      last = failure;
      element.hidden = failure === null;
      element.replaceChildren(...(failure ? failureParts(context, title, failure, ...buttons) : []));
    },
  };
}

/** A failure as plain text; all of it can be copied. */
export function failureParts(context: Context, title: string, { kind, message, details }: Failure, ...buttons: readonly HTMLElement[]): HTMLElement[] {
  const copy = button(context, {}, "Copy", () => {
    const text = [`${kind}: ${message}`, details].filter(Boolean).join("\n\n");
    void copied(text).then((done) => setText(copy, done ? "Copied" : "Clipboard access is blocked"));
  });
  const parts = [h("strong", {}, `${title}: ${kind}`), h("p", {}, message), h("div", { class: "slw-row" }, ...buttons, copy)];
  if (!details) return parts;
  const whole = h("pre", { tabindex: 0, role: "region", "aria-label": "Details of the failure" }, details);
  return [...parts, h("details", {}, h("summary", {}, "Details"), whole)];
}
