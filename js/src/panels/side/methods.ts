/** The list of methods: one row each, with its status. */

import { statusText } from "../../core/captions.ts";
import type { Cell } from "../../core/cell.ts";
import { choosing } from "../../core/grid.ts";
import type { MethodSpec } from "../../core/settings.ts";
import { shownCell, type State } from "../../core/state.ts";
import { jobOf, jobShare, statusOf } from "../../core/status.ts";
import { compareBox } from "../ui/compare-box.ts";
import { h, on, reveal, roving, setAttribute, setText, type Context } from "../ui/dom.ts";

/** From this many on they can be searched. */
const MANY = 12;

interface Row {
  readonly method: MethodSpec;
  readonly element: HTMLElement;
  readonly button: HTMLElement;
  show(state: State): void;
}

export function methodsPanel(context: Context): HTMLElement {
  const list = h("ul", { class: "slw-method-list", "aria-label": "Methods" });
  const rove = roving(list, context.signal);
  const finder = h("input", { class: "slw-field slw-finder", type: "search", placeholder: "find a method", "aria-label": "Find a method", spellcheck: "false" });
  const sorter = h("button", { class: "slw-segment slw-sorter", "aria-label": "Sort by evidence", "aria-pressed": "false", title: "Sort by evidence: the standing on the leaderboard" }, "↓");
  let rows: Row[] = [];
  let found: Row[] = [];
  let sorted = false;
  let revealed = "";
  /** Show the methods that match, each family under its heading. */
  const layOut = (): void => {
    const wanted = finder.value.trim().toLowerCase();
    const ordered = sorted ? [...rows].sort((a, b) => (b.method.standing ?? -1) - (a.method.standing ?? -1)) : rows;
    found = ordered.filter(({ method }) => `${method.name} ${method.id} ${method.family ?? ""}`.toLowerCase().includes(wanted));
    let family = "";
    const items = found.flatMap((row) => {
      const heading = !sorted && row.method.family && row.method.family !== family ? [h("li", { class: "slw-family slw-muted" }, row.method.family)] : [];
      family = row.method.family ?? "";
      return [...heading, row.element];
    });
    list.replaceChildren(...(found.length ? items : [h("li", { class: "slw-family slw-muted" }, "no such method")]));
  };
  const again = (): void => {
    layOut();
    rove.refresh(found.map(({ button }) => button), 0);
  };
  on(finder, "input", context.signal, again);
  on(sorter, "click", context.signal, () => {
    sorted = !sorted;
    setAttribute(sorter, "aria-pressed", String(sorted));
    again();
  });

  context.watch(
    ({ spec }) => [spec.methods],
    ({ spec }) => {
      rows = spec.methods.map((method) => methodRow(context, method));
      finder.hidden = rows.length < MANY;
      sorter.hidden = finder.hidden || !rows.some(({ method }) => method.standing);
      layOut();
    },
  );
  context.watch(
    ({ spec, shown: { method, target, model_index, image_index, grid }, jobs, explained, failures, link, silent, paces }) => [
      spec.methods, method, target, model_index, image_index, grid, jobs, explained, failures, link, silent, paces,
    ],
    (state) => {
      const { method } = state.shown;
      const current = state.spec.methods.findIndex(({ id }) => id === method);
      for (const row of rows) row.show(state);
      rove.refresh(found.map(({ button }) => button), found.findIndex((row) => row.method.id === method));
      const row = rows[current];
      if (row && revealed !== method) reveal(list, row.element);
      revealed = method;
    },
  );
  return h("div", { class: "slw-methods" }, sorter, finder, list);
}

function methodRow(context: Context, method: MethodSpec): Row {
  const { store, commands, signal, choose } = context;
  const dot = h("span", { class: "slw-dot", "aria-hidden": "true" });
  const status = h("span", { class: "slw-status slw-muted" });
  const bar = h("span", { class: "slw-bar", hidden: true });
  const button = h(
    "button",
    { class: "slw-method" },
    dot,
    h("span", { class: "slw-method-name", "data-name": method.name }, method.name),
    status,
    bar,
  );
  const stop = h("button", { class: "slw-stop", "aria-label": `Cancel ${method.name}`, title: "Cancel", hidden: true }, "×");
  const element = h("li", {}, button, compareBox(context, "methods", method.id, method.name), stop);
  const own = (): Cell => ({ ...shownCell(store.state), method: method.id });
  on(button, "click", signal, () => {
    choose(choosing(store.state, "methods", method.id));
    // a row that is shown already may have been cancelled before
    commands.compute(own());
  });
  on(stop, "click", signal, () => {
    commands.cancel(own());
    button.focus();
  });
  return {
    method,
    element,
    button,
    show(state) {
      const cell = { ...shownCell(state), method: method.id };
      const now = statusOf(state, cell);
      const job = jobOf(state, cell);
      const text = statusText(state, cell, method, now, job);
      element.dataset["status"] = now.kind;
      setAttribute(element, "data-poor", now.kind === "done" && now.explained.result.concern !== null);
      setAttribute(button, "aria-current", state.shown.method === method.id ? "true" : false);
      setText(status, text);
      setAttribute(button, "title", now.kind === "failed" ? `${now.failure.kind}: ${now.failure.message}` : `${method.name}: ${text}`);
      const hadFocus = stop.matches(":focus");
      stop.hidden = !job;
      if (hadFocus && !job) button.focus({ preventScroll: true });
      bar.hidden = !job;
      bar.style.setProperty("--slw-share", String(job ? jobShare(job) : 0));
    },
  };
}
