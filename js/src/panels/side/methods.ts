/** The list of methods: one row each, with its status. */

import { statusText } from "../../core/captions.ts";
import type { Cell } from "../../core/cell.ts";
import { choosing, comparing, pinned } from "../../core/grid.ts";
import type { MethodSpec } from "../../core/settings.ts";
import { shownCell, type State } from "../../core/state.ts";
import { jobOf, jobShare, statusOf } from "../../core/status.ts";
import { compareBox } from "../ui/compare-box.ts";
import { h, hasFocus, on, reveal, roving, setAttribute, setText, type Context } from "../ui/dom.ts";

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
  const { finder, sorter } = listControls();
  let rows: Row[] = [];
  let found: Row[] = [];
  let sorted = false;
  let revealed = "";
  /** The methods at the top of a long list. */
  let lead: readonly string[] = [];
  const layOut = (): void => {
    found = matching(rows, finder.value, sorted, lead);
    const top = comparing(context.store.state) ? "Compared" : "Computed";
    list.replaceChildren(...(found.length ? headed(found, (row) => headingOf(row, sorted, lead, top)) : [familyHeading("no such method")]));
  };
  const again = (): void => {
    layOut();
    rove.refresh(found.map(({ button }) => button), found.findIndex(({ method }) => method.id === revealed));
  };
  const settle = (): void => {
    const { state } = context.store;
    const next = rows.length < MANY ? [] : chosenMethods(state);
    if (next.join() === lead.join()) return;
    lead = next;
    keepingFocus(list, again);
    list.scrollTo(0, 0);
  };
  whenLeft(list, context.signal, settle);
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
      lead = [];
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
      // rows must not move under a pointer, nor while the arrow keys go through them
      if (!list.matches(":hover") && !hasFocus(list)) settle();
      rove.refresh(found.map(({ button }) => button), found.findIndex((row) => row.method.id === method));
      const row = rows[current];
      if (row && revealed !== method) reveal(list, row.element);
      revealed = method;
    },
  );
  return h("div", { class: "slw-methods" }, sorter, finder, list);
}

function listControls() {
  const finder = h("input", { class: "slw-field slw-finder", type: "search", placeholder: "find a method", "aria-label": "Find a method", spellcheck: "false" });
  const sorter = h("button", { class: "slw-segment slw-sorter", "aria-label": "Sort by evidence", "aria-pressed": "false", title: "Sort by evidence: the standing on the leaderboard" }, "↓");
  return { finder, sorter };
}

/** Run what moves elements of a list: one that moves loses the focus. */
function keepingFocus(list: HTMLElement, run: () => void): void {
  const focused = list.querySelector<HTMLElement>(":focus");
  run();
  focused?.focus({ preventScroll: true });
}

/** The rows that match what is typed: the chosen ones first, the others as offered or by their standing. */
function matching(rows: readonly Row[], typed: string, sorted: boolean, lead: readonly string[]): Row[] {
  const wanted = typed.trim().toLowerCase();
  const matches = rows.filter(({ method }) => `${method.name} ${method.id} ${method.family ?? ""}`.toLowerCase().includes(wanted));
  if (sorted) matches.sort((a, b) => (b.method.standing ?? -1) - (a.method.standing ?? -1));
  const isLead = ({ method }: Row): boolean => lead.includes(method.id);
  return [...matches.filter(isLead), ...matches.filter((row) => !isLead(row))];
}

function headingOf({ method: { id, family } }: Row, sorted: boolean, lead: readonly string[], top: string): string {
  if (lead.includes(id)) return top;
  if (family && !sorted) return family;
  return lead.length ? "Others" : "";
}

/** The elements of rows, those of one heading under it. */
function headed(rows: readonly Row[], headingOf: (row: Row) => string): HTMLElement[] {
  return rows.flatMap((row, i) => {
    const heading = headingOf(row);
    return heading && (i === 0 || headingOf(rows[i - 1]!) !== heading) ? [familyHeading(heading), row.element] : [row.element];
  });
}

function familyHeading(text: string): HTMLElement {
  return h("li", { class: "slw-family slw-muted" }, text);
}

/** Run after the pointer or the focus has left a list. */
function whenLeft(list: HTMLElement, signal: AbortSignal, run: () => void): void {
  on(list, "pointerleave", signal, run);
  on(list, "focusout", signal, (event) => {
    if (!list.contains(event.relatedTarget as Node | null) && !list.matches(":hover")) run();
  });
}

/** The compared methods, or those with a map of the shown image. */
function chosenMethods(state: State): readonly string[] {
  if (comparing(state)) return pinned(state, "methods") as readonly string[];
  const { model_index: model, image_index: image } = state.shown;
  const computed = new Set<string>();
  for (const { result } of state.explained.values()) if (result.model === model && result.image === image) computed.add(result.method);
  return state.spec.methods.map(({ id }) => id).filter((id) => computed.has(id));
}

/** The name, status, formula, advice and standing of a method, one a line. */
function tooltipOf({ name, formula, advice, standing }: MethodSpec, status: string): string {
  const rank = typeof standing === "number" ? `Better than ${Math.round(100 * standing)} % of the other methods on the leaderboard.` : "";
  return [`${name}: ${status}`, formula, advice, rank].filter(Boolean).join("\n");
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
      setAttribute(button, "title", now.kind === "failed" ? `${now.failure.kind}: ${now.failure.message}` : tooltipOf(method, text));
      const hadFocus = stop.matches(":focus");
      stop.hidden = !job;
      if (hadFocus && !job) button.focus({ preventScroll: true });
      bar.hidden = !job;
      bar.style.setProperty("--slw-share", String(job ? jobShare(job) : 0));
    },
  };
}
