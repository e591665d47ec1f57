/** What lies over the picture where there is no map to show: why, and the way out. */

import { lackOf, nameOf, statusOf } from "../../core/select.ts";
import { keyOf, type Cell, type Failure, type State } from "../../core/state.ts";
import { same } from "../../core/store.ts";
import { button, copied, h, hasFocus, setText, type Context } from "./dom.ts";

export interface MessageBox {
  readonly element: HTMLElement;
  readonly show: (state: State, cell: Cell) => void;
}

export function messageBox(context: Context, canvas: HTMLElement): MessageBox {
  const element = h("div", { class: "slw-message", hidden: true });
  let last: readonly unknown[] = [];
  return {
    element,
    show(state, cell) {
      const status = statusOf(state, cell);
      // made anew only where it says something else: the focus may be inside
      const now = [keyOf(cell), status.kind, status.kind === "failed" && status.failure, state.trouble, state.spec];
      if (same(now, last)) return;
      last = now;
      const children = contentOf(context, state, cell);
      const hadFocus = hasFocus(element);
      element.hidden = children.length === 0;
      element.replaceChildren(...children);
      // "Try again" goes, and the picture is what it was about
      if (hadFocus) canvas.focus({ preventScroll: true });
    },
  };
}

function contentOf(context: Context, state: State, cell: Cell): HTMLElement[] {
  const status = statusOf(state, cell);
  const name = nameOf(state, cell);
  if (status.kind === "failed") {
    return failureParts(context, `${name} failed`, status.failure, button(context, {}, "Try again", () => context.commands.compute(cell, true)));
  }
  if (state.trouble && status.kind !== "done") return failureParts(context, "The model failed", state.trouble);
  if (status.kind === "lacking") {
    return [h("strong", {}, `${name} is not possible with this model`), h("p", {}, lackOf(state, cell))];
  }
  if (status.kind === "unreachable") {
    return [h("strong", {}, "Not computed"), h("p", {}, "This needs a running kernel: run the cell again.")];
  }
  return [];
}

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

/** What went wrong, in text only; the whole of it can be copied. */
function failureParts(context: Context, title: string, { kind, message, details }: Failure, ...buttons: readonly HTMLElement[]): HTMLElement[] {
  const copy = button(context, {}, "Copy", () => {
    const text = [`${kind}: ${message}`, details].filter(Boolean).join("\n\n");
    void copied(text).then((done) => setText(copy, done ? "Copied" : "Not allowed here"));
  });
  const parts = [h("strong", {}, `${title}: ${kind}`), h("p", {}, message), h("div", { class: "slw-row" }, ...buttons, copy)];
  if (!details) return parts;
  const whole = h("pre", { tabindex: 0, role: "region", "aria-label": "Details of the failure" }, details);
  return [...parts, h("details", {}, h("summary", {}, "Details"), whole)];
}
