/** The command palette: a field that finds methods, classes, views, tabs and actions by their names. */

import { on, setAttribute, type Context } from "../ui/dom.ts";
import { combobox, type Words } from "./combobox.ts";
import { entriesOf, matching } from "./entries.ts";

/** Classes are searched by the kernel from so many letters on. */
const LETTERS = 2;
const WORDS: Words = {
  placeholder: "Find a method, class, view or action", field: "Find a command", list: "Commands",
};

export function palettePanel(context: Context): HTMLElement {
  const { store, glance, commands, signal, watch } = context;
  const draw = (): void => show(matching(entriesOf(context, store.state), input.value));
  const { element, input, show } = combobox(context, "palette", "slw-palette", WORDS, draw);
  setAttribute(element, "role", "dialog");
  setAttribute(element, "aria-label", "Commands");
  on(input, "input", signal, () => {
    if (input.value.trim().length >= LETTERS) commands.search(input.value.trim());
    draw();
  });
  on(element, "focusout", signal, (event) => {
    if (glance.state.popup === "palette" && !element.contains(event.relatedTarget as Node | null)) glance.send({ popup: "" });
  });
  watch(({ found }) => [found], () => {
    if (glance.state.popup === "palette") draw();
  });
  return element;
}
