/** Heat map or top area, the sign, and a look at the plain picture. */

import { shownExplained, shownSign, signsDiffer } from "../select.ts";
import type { Event, Mode, Sign, State } from "../state.ts";
import { h, keyTarget, on, setAttribute, type Context } from "./dom.ts";

const MODES: readonly (readonly [Mode, string, string])[] = [
  ["heat", "Heat map", "The map as colours over the picture"],
  ["area", "Top area", "Only the most salient part of the picture"],
];
const SIGNS: readonly (readonly [Sign, string, string])[] = [
  ["absolute", "Absolute", "How much a pixel matters, for or against the class"],
  ["positive", "Positive", "Only what speaks for the class"],
  ["signed", "Signed", "For the class in red, against it in blue"],
];

export function modesPanel(context: Context): HTMLElement {
  const modes = segments(context, "View", MODES, ({ shown }) => shown.mode, (mode) => ({ mode }));
  const signs = segments(context, "Sign", SIGNS, shownSign, (sign) => ({ sign }));
  context.watch(
    (state) => [shownExplained(state)],
    (state) => {
      const explained = shownExplained(state);
      signs.disable(explained !== undefined && !signsDiffer(explained));
    },
  );
  return h("div", { class: "slw-modes" }, modes.element, signs.element, peekButton(context));
}

interface Segments {
  readonly element: HTMLElement;
  disable(disabled: boolean): void;
}

/** A radio group drawn as one bar: the arrow keys choose at once, for nothing is computed by it. */
function segments<T extends string>(
  { store, signal, watch }: Context,
  label: string,
  choices: readonly (readonly [T, string, string])[],
  current: (state: State) => T,
  settings: (choice: T) => (Event & { kind: "set" })["settings"],
): Segments {
  const buttons = choices.map(([, name, title]) => h("button", { class: "slw-segment", role: "radio", title }, name));
  const element = h("div", { class: "slw-segments", role: "radiogroup", "aria-label": label }, ...buttons);
  const choose = (index: number): void => {
    const choice = choices[index];
    if (!choice) return;
    store.send({ kind: "set", settings: settings(choice[0]) });
    store.send({ kind: "commit" });
  };
  for (const [i, button] of buttons.entries()) on(button, "click", signal, () => choose(i));
  on(element, "keydown", signal, (event) => {
    const next = keyTarget(event.key, buttons.indexOf(event.target as HTMLButtonElement), buttons.length);
    if (next === null) return;
    event.preventDefault();
    buttons[next]?.focus();
    choose(next);
  });
  watch(
    (state) => [current(state)],
    (state) => {
      for (const [i, button] of buttons.entries()) {
        const checked = choices[i]?.[0] === current(state);
        setAttribute(button, "aria-checked", checked ? "true" : "false");
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

/** Says which key shows the plain picture; held down itself, it does so too: a finger has no space bar. */
function peekButton({ glance, signal, watch }: Context): HTMLElement {
  const button = h(
    "button",
    { class: "slw-peek slw-muted", title: "Hold for the plain picture" },
    h("span", { class: "slw-peek-key" }, "hold ", h("strong", {}, "space"), h("span", { class: "slw-peek-rest" }, " for the picture")),
    h("span", { class: "slw-peek-short" }, "picture"),
  );
  on(button, "pointerdown", signal, (event) => {
    button.setPointerCapture(event.pointerId);
    glance.send({ plain: true });
  });
  on(button, "keydown", signal, (event) => {
    if (event.key === " " || event.key === "Enter") glance.send({ plain: true });
  });
  on(button, ["pointerup", "pointercancel", "keyup", "blur"], signal, () => glance.send({ plain: false }));
  on(button, "contextmenu", signal, (event) => event.preventDefault()); // a long press opens one
  watch((_, { plain }) => [plain], (_, { plain }) => setAttribute(button, "aria-pressed", plain ? "true" : "false"));
  return button;
}
