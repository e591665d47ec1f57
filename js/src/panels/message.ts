/** What lies over the picture where there is no map to show: why, and the way out. */

import { shownMethod, shownStatus } from "../select.ts";
import type { Failure, State } from "../state.ts";
import { h, on, type Context } from "./dom.ts";

export function messageBox(context: Context): HTMLElement {
  const element = h("div", { class: "slw-message", hidden: true });
  context.watch(
    (state) => [state.shown.method, state.shown.target, state.explained, state.failures, state.trouble, state.jobs, state.link],
    (state) => {
      const children = contentOf(context, state);
      element.hidden = children.length === 0;
      element.replaceChildren(...children);
    },
  );
  return element;
}

function contentOf(context: Context, state: State): HTMLElement[] {
  const status = shownStatus(state);
  const method = shownMethod(state);
  if (status.kind === "failed") return failureBox(context, method?.name ?? state.shown.method, status.failure, true);
  if (state.trouble && status.kind !== "done") return failureBox(context, "The model", state.trouble, false);
  if (status.kind === "lacking" && method) {
    return [h("strong", {}, `${method.name} is not possible with this model`), h("p", {}, method.lacks)];
  }
  if (status.kind === "unreachable") {
    return [h("strong", {}, "Not computed"), h("p", {}, "This needs a running kernel: run the cell again.")];
  }
  return [];
}

function failureBox({ commands, signal }: Context, name: string, failure: Failure, again: boolean): HTMLElement[] {
  const copy = h("button", { class: "slw-button" }, "Copy");
  on(copy, "click", signal, () => {
    const text = [`${failure.kind}: ${failure.message}`, failure.details].filter(Boolean).join("\n\n");
    navigator.clipboard.writeText(text).then(
      () => (copy.textContent = "Copied"),
      () => (copy.textContent = "Not allowed here"),
    );
  });
  const retry = h("button", { class: "slw-button" }, "Try again");
  on(retry, "click", signal, () => commands.compute(true));
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
