/** A radio group drawn as one bar: the arrow keys choose at once, for nothing is computed by it. */

import type { Glance } from "../../core/glance.ts";
import type { State } from "../../core/state.ts";
import { h, keyTarget, on, setAttribute, type Context } from "./dom.ts";

export interface Segments {
  readonly element: HTMLElement;
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
  const chooseAt = (index: number): void => {
    const choice = choices[index];
    if (choice) choose(choice[0]);
  };
  for (const [i, button] of buttons.entries()) on(button, "click", signal, () => chooseAt(i));
  on(element, "keydown", signal, (event) => {
    const next = keyTarget(event.key, buttons.indexOf(event.target as HTMLButtonElement), buttons.length);
    if (next === null) return;
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
    },
  );
  return {
    element,
    disable(disabled) {
      for (const button of buttons) button.disabled = disabled;
    },
  };
}
