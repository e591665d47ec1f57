/** Search of all classes: a button that opens a list. */

import { formatScore } from "../../core/format.ts";
import { clamp } from "../../core/geometry.ts";
import type { ClassRow } from "../../core/result.ts";
import { ended } from "../../core/store.ts";
import { h, on, reveal, setAttribute, type Context } from "../ui/dom.ts";

/** Fast typing sends one request; in milliseconds. */
const PAUSE = 150;

export function searchPanel(context: Context, choose: (row: ClassRow) => void): HTMLElement {
  const { signal } = context;
  const { popup, input, list } = popupOf(context);
  const button = h("button", { class: "slw-button slw-other", "aria-expanded": "false" }, "More classes…");
  const element = h("div", { class: "slw-others" }, button, popup);
  const options = optionList(context, input, list);
  const search = delayed(() => context.commands.search(input.value), signal);

  const open = (wanted: boolean): void => {
    popup.hidden = !wanted;
    setAttribute(button, "aria-expanded", String(wanted));
    if (!wanted) return;
    input.value = "";
    search(0);
    input.focus();
  };
  const close = (): void => {
    open(false);
    button.focus();
  };
  const pick = (row: ClassRow | undefined): void => {
    if (!row) return;
    close();
    choose(row);
  };
  context.watch(({ link }) => [link], ({ link, spec }) => setAttribute(button, "hidden", link !== "live" || spec.stored === true));
  on(button, "click", signal, () => open(popup.hidden));
  on(input, "input", signal, () => search(PAUSE));
  on(list, "click", signal, (event) => pick(options.at(event.target as Node)));
  on(popup, "keydown", signal, (event) => {
    if (event.key === "ArrowDown") options.move(1);
    else if (event.key === "ArrowUp") options.move(-1);
    else if (event.key === "Enter") pick(options.active());
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
  on(element, "focusout", signal, (event) => {
    if (!element.contains(event.relatedTarget as Node | null)) open(false);
  });
  return element;
}

interface Popup {
  readonly popup: HTMLElement;
  readonly input: HTMLInputElement;
  readonly list: HTMLElement;
}

function popupOf({ watch, id }: Context): Popup {
  const listId = id("classes");
  const input = h("input", {
    class: "slw-field",
    type: "text",
    role: "combobox",
    placeholder: "search classes",
    "aria-label": "Search classes",
    "aria-expanded": "true",
    "aria-controls": listId,
    "aria-autocomplete": "list",
    autocomplete: "off",
    spellcheck: "false",
  });
  const list = h("div", { class: "slw-options", role: "listbox", id: listId, "aria-label": "Classes", tabindex: -1 });
  const nothing = h("p", { class: "slw-muted slw-nothing", hidden: true }, "No class has this name");
  watch(
    ({ found }) => [found],
    ({ found }) => {
      list.hidden = found.length === 0;
      nothing.hidden = found.length > 0;
    },
  );
  return { popup: h("div", { class: "slw-popup", hidden: true }, input, list, nothing), input, list };
}

interface Options {
  move(step: number): void;
  active(): ClassRow | undefined;
  /** The row an element of the list belongs to. */
  at(node: Node): ClassRow | undefined;
}

/** The focus stays in the field, whose attribute names the active option. */
function optionList({ watch }: Context, input: HTMLInputElement, list: HTMLElement): Options {
  let rows: readonly ClassRow[] = [];
  let elements: readonly HTMLElement[] = [];
  let active = 0;
  const activate = (index: number): void => {
    active = clamp(index, 0, rows.length - 1);
    for (const [i, element] of elements.entries()) setAttribute(element, "aria-selected", String(i === active));
    const element = elements[active];
    setAttribute(input, "aria-activedescendant", element?.id ?? false);
    if (element) reveal(list, element);
  };
  watch(
    ({ found }) => [found],
    ({ found }) => {
      rows = found;
      elements = rows.map((row, i) => option(row, `${list.id}-${i}`));
      list.replaceChildren(...elements);
      activate(0);
    },
  );
  return {
    move: (step) => activate(active + step),
    active: () => rows[active],
    at: (node) => rows[elements.findIndex((element) => element.contains(node))],
  };
}

function option(row: ClassRow, id: string): HTMLElement {
  const probability = row.probability < 0.005 ? "" : formatScore(row);
  return h(
    "div",
    { class: "slw-option", role: "option", id },
    h("span", {}, row.label),
    h("span", { class: "slw-number slw-muted" }, probability),
  );
}

/** Runs once the calls have paused for so long. */
function delayed(run: () => void, signal: AbortSignal): (pause: number) => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  ended(signal, () => clearTimeout(timer));
  return (pause) => {
    clearTimeout(timer);
    timer = setTimeout(run, pause);
  };
}
