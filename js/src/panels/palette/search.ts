/** The search of all classes, which the kernel answers. */

import { ended } from "../../core/store.ts";
import { on, type Context } from "../ui/dom.ts";
import { combobox, type Words } from "./combobox.ts";
import { classOption } from "./entries.ts";

/** Fast typing sends one request; in milliseconds. */
const PAUSE = 150;
const WORDS: Words = { placeholder: "search classes", field: "Search classes", list: "Classes" };

export function searchPanel(context: Context): HTMLElement {
  const { commands, signal, watch } = context;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const search = (): void => commands.search(input.value);
  const { element, input, show } = combobox(context, "classes", "slw-popup", WORDS, search);
  on(input, "input", signal, () => {
    clearTimeout(timer);
    timer = setTimeout(search, PAUSE);
  });
  ended(signal, () => clearTimeout(timer));
  watch(({ found }) => [found], ({ found }) =>
    show(found.map((row) => classOption(context, row))));
  return element;
}
