/** The divider between two pictures in a swipe. */

import { clamp } from "../../core/geometry.ts";
import { comparing } from "../../core/grid.ts";
import { h, hasModifier, on, setAttribute, type Context } from "../ui/dom.ts";

const STEP = 0.05;

export function divider({ glance, signal, watch }: Context): HTMLElement {
  const element = h("div", {
    class: "slw-divider", role: "slider", tabindex: 0, "aria-label": "Divider", "aria-valuemin": 0, "aria-valuemax": 100,
    "aria-orientation": "horizontal", hidden: true,
  });
  const set = (share: number): void => glance.send({ divider: clamp(share, 0, 1) });
  on(element, "pointerdown", signal, (event) => {
    element.setPointerCapture(event.pointerId);
    event.preventDefault();
    element.focus();
  });
  on(element, "pointermove", signal, (event) => {
    const room = element.parentElement?.querySelector("canvas")?.getBoundingClientRect();
    if (room && element.hasPointerCapture(event.pointerId)) set((event.clientX - room.x) / room.width);
  });
  on(element, "keydown", signal, (event) => {
    const now = glance.state.divider;
    const to = { ArrowLeft: now - STEP, ArrowDown: now - STEP, ArrowRight: now + STEP, ArrowUp: now + STEP, Home: 0, End: 1 }[event.key];
    if (to === undefined || hasModifier(event)) return;
    event.preventDefault();
    set(to);
  });
  watch(
    (state, { layout, divider: share }) => [comparing(state) && layout === "swipe", share],
    (state, { layout, divider: share }) => {
      element.hidden = !(comparing(state) && layout === "swipe");
      element.style.setProperty("--slw-at", String(share));
      setAttribute(element, "aria-valuenow", Math.round(share * 100));
      setAttribute(element, "aria-valuetext", `${Math.round(share * 100)} % of the width is the first`);
    },
  );
  return element;
}
