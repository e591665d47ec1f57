/** Zoom and pan by wheel, pinch, drag, double click and keys: all pictures of a view move together. */

import type { Cell } from "../../core/cell.ts";
import { panBy, pointAt, shareOf, WHOLE, zoomAt, type Point } from "../../core/geometry.ts";
import { comparing } from "../../core/grid.ts";
import { show } from "../ui/actions.ts";
import { hasModifier, on, type Context } from "../ui/dom.ts";

const KEY_FACTOR = 1.5;
const CLICK_FACTOR = 3;
const KEY_PAN = 0.1;
/** CSS pixels a pointer may move and still have clicked. */
const STILL = 4;
const MIDDLE: Point = [0.5, 0.5];

export function followGestures(context: Context, canvas: HTMLElement, cell: () => Cell): void {
  const { store, glance, signal, commit } = context;
  const box = (): DOMRect => canvas.getBoundingClientRect();
  const point = (event: PointerEvent): void => {
    glance.send({ point: pointAt(box(), glance.state.view, event.clientX, event.clientY), afar: false });
  };
  on(canvas, ["pointermove", "pointerdown"], signal, point);
  on(canvas, "pointerleave", signal, (event) => {
    // a finger that is lifted leaves too, and its reading should stay to be read
    if (event.pointerType === "mouse") glance.send({ point: null });
  });
  on(canvas, "click", signal, () => {
    if (!comparing(store.state)) return;
    if (glance.state.layout === "blink") glance.send({ turned: !glance.state.turned });
    if (glance.state.layout !== "grid") return;
    show(context, cell());
    commit();
  });
  zoomByWheel(context, canvas, box);
  zoomByKeys(context, canvas);
  dragAndPinch(context, canvas, box);
  on(canvas, "dblclick", signal, (event) => {
    const { view } = glance.state;
    glance.send({ view: view.zoom > 1 ? WHOLE : zoomAt(view, CLICK_FACTOR, shareOf(box(), event.clientX, event.clientY)) });
  });
}

/** With Ctrl, which is also how a pinch on a trackpad comes, or where one has zoomed already: the page scrolls otherwise. */
function zoomByWheel({ glance, signal }: Context, canvas: HTMLElement, box: () => DOMRect): void {
  const zoom = (event: WheelEvent): void => {
    const { view } = glance.state;
    if (!event.ctrlKey && !event.metaKey && view.zoom === 1) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const factor = Math.exp((-event.deltaY * lines) / (event.ctrlKey ? 100 : 300));
    glance.send({ view: zoomAt(view, factor, shareOf(box(), event.clientX, event.clientY)) });
  };
  canvas.addEventListener("wheel", zoom, { signal, passive: false });
}

const PANS: Readonly<Record<string, Point>> = {
  ArrowLeft: [-KEY_PAN, 0], ArrowRight: [KEY_PAN, 0], ArrowUp: [0, -KEY_PAN], ArrowDown: [0, KEY_PAN],
};

/** Plus, minus and 0; Shift with an arrow goes over the picture. */
function zoomByKeys({ glance, signal }: Context, canvas: HTMLElement): void {
  on(canvas, "keydown", signal, (event) => {
    if (hasModifier(event)) return;
    const { view } = glance.state;
    const pan = event.shiftKey ? PANS[event.key] : undefined;
    if (event.key === "+" || event.key === "=") glance.send({ view: zoomAt(view, KEY_FACTOR, MIDDLE) });
    else if (event.key === "-") glance.send({ view: zoomAt(view, 1 / KEY_FACTOR, MIDDLE) });
    else if (event.key === "0") glance.send({ view: WHOLE });
    else if (pan) glance.send({ view: panBy(view, pan[0], pan[1]) });
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  });
}

/** One pointer drags the picture where it is magnified, two pinch it. */
function dragAndPinch({ glance, signal }: Context, canvas: HTMLElement, box: () => DOMRect): void {
  const down = new Map<number, Point>();
  let moved = 0;
  on(canvas, "pointerdown", signal, (event) => {
    if (event.button !== 0) return;
    if (down.size === 0) moved = 0;
    down.set(event.pointerId, [event.clientX, event.clientY]);
    if (down.size === 2 || glance.state.view.zoom > 1) canvas.setPointerCapture(event.pointerId);
  });
  on(canvas, "pointermove", signal, (event) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    const now: Point = [event.clientX, event.clientY];
    const [across, deep] = [now[0] - before[0], now[1] - before[1]];
    moved += Math.abs(across) + Math.abs(deep);
    const { view } = glance.state;
    const room = box();
    const partner = [...down].find(([id]) => id !== event.pointerId)?.[1];
    down.set(event.pointerId, now);
    if (partner) {
      const apart = (to: Point): number => Math.hypot(to[0] - partner[0], to[1] - partner[1]);
      const middle = shareOf(room, (now[0] + partner[0]) / 2, (now[1] + partner[1]) / 2);
      const nearer = zoomAt(view, apart(now) / Math.max(apart(before), 1), middle);
      glance.send({ view: panBy(nearer, -across / 2 / room.width, -deep / 2 / room.height) });
    } else if (view.zoom > 1) {
      glance.send({ view: panBy(view, -across / room.width, -deep / room.height) });
    }
  });
  on(canvas, ["pointerup", "pointercancel"], signal, (event) => void down.delete(event.pointerId));
  // a drag is no click
  canvas.addEventListener("click", (event) => {
    if (moved > STILL) event.stopImmediatePropagation();
  }, { signal, capture: true });
}
