/** Heat map or top pixels, the sign, and a button that shows the original picture. */

import { cellsOf, gridKey } from "../../core/grid.ts";
import { explainedOf } from "../../core/lookup.ts";
import type { Sign } from "../../core/result.ts";
import { shownSign, signsDiffer } from "../../core/scale.ts";
import type { Mode } from "../../core/settings.ts";
import { h, on, setAttribute, type Context } from "../ui/dom.ts";
import { segments, type Choices } from "../ui/segments.ts";

const MODES: Choices<Mode> = [
  ["heat", "Heat map", "The map as colours over the picture"],
  ["area", "Top pixels", "Only the most salient pixels of the picture"],
];
const SIGNS: Choices<Sign> = [
  ["absolute", "Absolute", "Evidence for or against the class"],
  ["positive", "Positive", "Evidence for the class only"],
  ["signed", "Signed", "Evidence for the class in red, against it in blue"],
];

export function modesPanel(context: Context): HTMLElement {
  const { choose } = context;
  const modes = segments(context, "View", MODES, ({ shown }) => shown.mode, (mode) => choose({ mode }));
  const signs = segments(context, "Sign", SIGNS, shownSign, (sign) => choose({ sign }));
  context.watch(
    (state) => [state.explained, gridKey(state)],
    (state) => {
      const there = cellsOf(state).flatMap((cell) => explainedOf(state, cell) ?? []);
      signs.disable(there.length > 0 && !there.some(signsDiffer));
    },
  );
  return h("div", { class: "slw-modes" }, modes.element, signs.element, peekButton(context));
}

/** Names the key that shows the original picture; holding the button does the same, for touch screens. */
function peekButton({ glance, signal, watch }: Context): HTMLElement {
  const button = h(
    "button",
    { class: "slw-peek slw-muted", title: "Hold to see the original picture" },
    h("span", { class: "slw-peek-key" }, "Hold ", h("strong", {}, "Space"), h("span", { class: "slw-peek-rest" }, ": original")),
    h("span", { class: "slw-peek-short" }, "Original"),
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
  watch((_, { plain }) => [plain], (_, { plain }) => setAttribute(button, "aria-pressed", String(plain)));
  return button;
}
