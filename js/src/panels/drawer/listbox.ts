/** A list of what an answer contains, one of which is chosen: by click, or by keys. */

import { h, on, roving, setAttribute, type Context } from "../ui/dom.ts";

export interface ListBox<T> {
  readonly element: HTMLElement;
  /** Mark the chosen option and return its index. `fill` is called for another answer: it fills the list, and returns the options. */
  readonly draw: (answer: T, fill: (answer: T) => readonly HTMLElement[]) => number;
}

/** `redraw` is called when another option is chosen. */
export function listBox<T>({ signal }: Context, className: string, label: string, redraw: () => void): ListBox<T> {
  const element = h("div", { class: className, role: "listbox", "aria-label": label });
  let options: readonly HTMLElement[] = [];
  let [listed, chosen]: [T | null, number] = [null, 0];
  const choose = (index: number): void => {
    if (!options[index]) return;
    chosen = index;
    redraw();
  };
  on(element, "click", signal, (event) => choose(options.findIndex((each) => each.contains(event.target as Node))));
  const rove = roving(element, signal, choose);
  return {
    element,
    draw(answer, fill) {
      if (answer !== listed) {
        [listed, chosen] = [answer, 0];
        options = fill(answer);
      }
      for (const [i, each] of options.entries()) setAttribute(each, "aria-selected", String(i === chosen));
      rove.refresh(options, chosen);
      return chosen;
    },
  };
}
