/** The message over a picture that has no map: the reason, and what can be done. */

import { keyOf, type Cell } from "../../core/cell.ts";
import { nameOf } from "../../core/lookup.ts";
import type { State } from "../../core/state.ts";
import { lackOf, statusOf } from "../../core/status.ts";
import { same } from "../../core/store.ts";
import { button, h, hasFocus, type Context } from "../ui/dom.ts";
import { failureParts } from "../ui/failure.ts";

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
      // replaced only where its content differs: the focus may be inside
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
