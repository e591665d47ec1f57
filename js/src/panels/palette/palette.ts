/** The command palette: a field that finds methods, classes, views, tabs and actions by their names. */

import { clamp } from "../../core/geometry.ts";
import { h, on, reveal, setAttribute, setText, type Context } from "../ui/dom.ts";
import { entriesOf, matching, type Entry } from "./entries.ts";

/** Classes are searched by the kernel from so many letters on. */
const LETTERS = 2;

export function palettePanel(context: Context): HTMLElement {
  const { store, glance, commands, signal, watch } = context;
  const listId = context.id("palette");
  const input = h("input", {
    class: "slw-field", type: "text", role: "combobox", placeholder: "Find a method, class, view or action", "aria-label": "Find a command",
    "aria-expanded": "true", "aria-controls": listId, "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false",
  });
  const list = h("div", { class: "slw-options", role: "listbox", id: listId, "aria-label": "Commands", tabindex: -1 });
  const nothing = h("p", { class: "slw-muted slw-nothing", role: "status" });
  const element = h("div", { class: "slw-palette", role: "dialog", "aria-label": "Commands", hidden: true }, input, list, nothing);
  const options = optionList(input, list);
  let before: HTMLElement | null = null;
  const draw = (): void => {
    const found = matching(entriesOf(context, store.state), input.value);
    setText(nothing, found.length ? "" : "Nothing has this name");
    options.show(found);
  };
  const close = (): void => {
    glance.send({ palette: false });
    before?.focus({ preventScroll: true });
  };
  const run = (entry: Entry | undefined): void => {
    if (!entry) return;
    close();
    entry.run();
  };
  on(input, "input", signal, () => {
    if (input.value.trim().length >= LETTERS) commands.search(input.value.trim());
    draw();
  });
  on(list, "click", signal, (event) => run(options.at(event.target as Node)));
  on(element, "keydown", signal, (event) => {
    if (event.key === "ArrowDown") options.move(1);
    else if (event.key === "ArrowUp") options.move(-1);
    else if (event.key === "Enter") run(options.active());
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  on(element, "focusout", signal, (event) => {
    if (!element.contains(event.relatedTarget as Node | null)) glance.send({ palette: false });
  });
  watch((_, { palette }) => [palette], (_, { palette }) => {
    element.hidden = !palette;
    if (!palette) return;
    before = (element.getRootNode() as Document | ShadowRoot).activeElement as HTMLElement | null;
    input.value = "";
    draw();
    input.focus({ preventScroll: true });
  });
  watch(({ found: classes }) => [classes], () => {
    if (glance.state.palette) draw();
  });
  return element;
}

interface Options {
  readonly show: (entries: readonly Entry[]) => void;
  readonly move: (step: number) => void;
  readonly active: () => Entry | undefined;
  readonly at: (node: Node) => Entry | undefined;
}

/** Each group under its heading. The focus stays in the field, whose attribute names the active option. */
function optionList(input: HTMLElement, list: HTMLElement): Options {
  let entries: readonly Entry[] = [];
  let options: readonly HTMLElement[] = [];
  let active = 0;
  const activate = (index: number): void => {
    active = clamp(index, 0, Math.max(options.length - 1, 0));
    for (const [i, option] of options.entries()) setAttribute(option, "aria-selected", String(i === active));
    const option = options[active];
    setAttribute(input, "aria-activedescendant", option?.id ?? false);
    if (option) reveal(list, option);
  };
  return {
    show(found) {
      entries = found;
      options = found.map(({ name, note }, i) =>
        h("div", { class: "slw-option", role: "option", id: `${list.id}-${i}` }, h("span", {}, name), h("span", { class: "slw-muted slw-number" }, note)));
      list.replaceChildren(...options.flatMap((option, i) => {
        const { group } = found[i]!;
        return group === found[i - 1]?.group ? [option] : [h("div", { class: "slw-family slw-muted", role: "presentation" }, group), option];
      }));
      activate(0);
    },
    move: (step) => activate(active + step),
    active: () => entries[active],
    at: (node) => entries[options.findIndex((option) => option.contains(node))],
  };
}
