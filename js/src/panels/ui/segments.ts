/** A radio group drawn as one bar: the arrow keys choose at once, for nothing is computed by it. */

import type { Glance } from "../../core/glance.ts";
import type { State } from "../../core/state.ts";
import { h, keyTarget, on, setAttribute, type Context } from "./dom.ts";

export interface Segments {
  readonly element: HTMLElement;
  /** Leave the current choice only, or offer all again. */
  disable(disabled: boolean): void;
}

/** Value, name and explanation of each choice. */
export type Choices<T> = readonly (readonly [T, string, string])[];

export function segments<T extends string>(
  { signal, watch }: Context,
  label: string,
  choices: Choices<T>,
  current: (state: State, glance: Glance) => T,
  choose: (choice: T) => void,
): Segments {
  const buttons = choices.map(([, name, title]) => h("button", { class: "slw-segment", role: "radio", title }, name));
  const element = h("div", { class: "slw-segments", role: "radiogroup", "aria-label": label }, ...buttons);
  let fixed = false;
  const mark = (): void => {
    for (const button of buttons) button.disabled = fixed && button.getAttribute("aria-checked") !== "true";
  };
  const chooseAt = (index: number): void => {
    const choice = choices[index];
    if (choice) choose(choice[0]);
  };
  for (const [i, button] of buttons.entries()) on(button, "click", signal, () => chooseAt(i));
  on(element, "keydown", signal, (event) => {
    const next = keyTarget(event.key, buttons.indexOf(event.target as HTMLButtonElement), buttons.length);
    if (next === null || buttons[next]?.disabled) return;
    event.preventDefault();
    buttons[next]?.focus();
    chooseAt(next);
  });
  watch(
    (state, glance) => [current(state, glance)],
    (state, glance) => {
      for (const [i, button] of buttons.entries()) {
        const checked = choices[i]?.[0] === current(state, glance);
        setAttribute(button, "aria-checked", String(checked));
        setAttribute(button, "tabindex", checked ? 0 : -1);
      }
      mark();
    },
  );
  return {
    element,
    disable(disabled) {
      fixed = disabled;
      mark();
    },
  };
}
