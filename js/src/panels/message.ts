/** What lies over the picture where there is no map to show: why, and the way out. */

import { lackOf, nameOf, statusOf } from "../select.ts";
import { keyOf, type Cell, type Failure, type State } from "../state.ts";
import { same } from "../store.ts";
import { button, h, type Context } from "./dom.ts";

export interface MessageBox {
  readonly element: HTMLElement;
  readonly show: (state: State, cell: Cell) => void;
}

export function messageBox(context: Context): MessageBox {
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
      element.hidden = children.length === 0;
      element.replaceChildren(...children);
    },
  };
}

function contentOf(context: Context, state: State, cell: Cell): HTMLElement[] {
  const status = statusOf(state, cell);
  const name = nameOf(state, cell);
  if (status.kind === "failed") return failureBox(context, name, status.failure, cell);
  if (state.trouble && status.kind !== "done") return failureBox(context, "The model", state.trouble, null);
  if (status.kind === "lacking") {
    return [h("strong", {}, `${name} is not possible with this model`), h("p", {}, lackOf(state, cell))];
  }
  if (status.kind === "unreachable") {
    return [h("strong", {}, "Not computed"), h("p", {}, "This needs a running kernel: run the cell again.")];
  }
  return [];
}

function failureBox(context: Context, name: string, failure: Failure, again: Cell | null): HTMLElement[] {
  const copy = button(context, {}, "Copy", () => {
    const text = [`${failure.kind}: ${failure.message}`, failure.details].filter(Boolean).join("\n\n");
    navigator.clipboard.writeText(text).then(
      () => (copy.textContent = "Copied"),
      () => (copy.textContent = "Not allowed here"),
    );
  });
  const retry = button(context, {}, "Try again", () => again && context.commands.compute(again, true));
  const details = h(
    "details",
    {},
    h("summary", {}, "Details"),
    h("pre", { tabindex: 0, role: "region", "aria-label": "Details of the failure" }, failure.details),
  );
  return [
    h("strong", {}, `${name} failed: ${failure.kind}`),
    h("p", {}, failure.message),
    h("div", { class: "slw-row" }, ...(again ? [retry, copy] : [copy])),
    ...(failure.details ? [details] : []),
  ];
}
