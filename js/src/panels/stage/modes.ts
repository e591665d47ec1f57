/** Heat map or top area, the sign, and a look at the plain picture. */

import type { Sign } from "../../core/result.ts";
import { cellsOf, explainedOf, gridKey, shownSign, signsDiffer } from "../../core/select.ts";
import type { Mode } from "../../core/settings.ts";
import { h, on, setAttribute, type Context } from "../ui/dom.ts";
import { segments, type Choices } from "../ui/segments.ts";

const MODES: Choices<Mode> = [
  ["heat", "Heat map", "The map as colours over the picture"],
  ["area", "Top area", "Only the most salient part of the picture"],
];
const SIGNS: Choices<Sign> = [
  ["absolute", "Absolute", "How much a pixel matters, for or against the class"],
  ["positive", "Positive", "Only what speaks for the class"],
  ["signed", "Signed", "For the class in red, against it in blue"],
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
  watch((_, { plain }) => [plain], (_, { plain }) => setAttribute(button, "aria-pressed", String(plain)));
  return button;
}
