/** A popup with a field over a list of options. The focus stays in the field, whose attribute names the active option. */

import { clamp } from "../../core/geometry.ts";
import type { Glance } from "../../core/glance.ts";
import { h, on, reveal, setAttribute, setText, type Context } from "../ui/dom.ts";

export interface Words {
  readonly placeholder: string;
  readonly field: string;
  readonly list: string;
}

export interface Option {
  readonly name: string;
  /** A number or a key beside the name. */
  readonly note: string;
  /** The heading that it stands under; empty for none. */
  readonly group: string;
  readonly run: () => void;
}

export interface Combobox {
  readonly element: HTMLElement;
  readonly input: HTMLInputElement;
  readonly show: (options: readonly Option[]) => void;
}

/** `open` is called when the popup opens, with an empty field. An option that is chosen runs after it has closed. */
export function combobox(context: Context, popup: Exclude<Glance["popup"], "">, className: string, words: Words, open: () => void): Combobox {
  const { glance, signal, watch } = context;
  const { element, input, list, nothing } = elementsOf(context, popup, className, words);
  let options: readonly Option[] = [];
  let rows: readonly HTMLElement[] = [];
  let active = 0;
  let before: HTMLElement | null = null;

  const activate = (index: number): void => {
    active = clamp(index, 0, Math.max(rows.length - 1, 0));
    for (const [i, row] of rows.entries()) setAttribute(row, "aria-selected", String(i === active));
    const row = rows[active];
    setAttribute(input, "aria-activedescendant", row?.id ?? false);
    if (row) reveal(list, row);
  };
  const close = (): void => {
    glance.send({ popup: "" });
    before?.focus({ preventScroll: true });
  };
  const run = (option: Option | undefined): void => {
    if (!option) return;
    close();
    option.run();
  };
  on(list, "click", signal, (event) => run(options[rows.findIndex((row) => row.contains(event.target as Node))]));
  on(element, "keydown", signal, (event) => {
    if (event.key === "ArrowDown") activate(active + 1);
    else if (event.key === "ArrowUp") activate(active - 1);
    else if (event.key === "Enter") run(options[active]);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  watch((_, glanced) => [glanced.popup], (_, glanced) => {
    element.hidden = glanced.popup !== popup;
    if (element.hidden) return;
    before = (element.getRootNode() as Document | ShadowRoot).activeElement as HTMLElement | null;
    input.value = "";
    open();
    input.focus({ preventScroll: true });
  });
  return {
    element,
    input,
    show(found) {
      options = found;
      rows = found.map((option, i) => rowOf(option, `${list.id}-${i}`));
      list.replaceChildren(...rows.flatMap((row, i) => {
        const { group } = found[i]!;
        return group === (found[i - 1]?.group ?? "") ? [row] : [h("div", { class: "slw-family slw-muted", role: "presentation" }, group), row];
      }));
      list.hidden = found.length === 0;
      setText(nothing, found.length ? "" : "Nothing has this name");
      activate(0);
    },
  };
}

function elementsOf({ id }: Context, popup: string, className: string, words: Words) {
  const listId = id(`${popup}-list`);
  const input = h("input", {
    class: "slw-field", type: "text", role: "combobox", placeholder: words.placeholder, "aria-label": words.field,
    "aria-expanded": "true", "aria-controls": listId, "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false",
  });
  const list = h("div", { class: "slw-options", role: "listbox", id: listId, "aria-label": words.list, tabindex: -1 });
  const nothing = h("p", { class: "slw-muted slw-nothing", role: "status" });
  return { element: h("div", { class: className, hidden: true }, input, list, nothing), input, list, nothing };
}

function rowOf({ name, note }: Option, id: string): HTMLElement {
  return h("div", { class: "slw-option", role: "option", id }, h("span", {}, name), h("span", { class: "slw-muted slw-number" }, note));
}
