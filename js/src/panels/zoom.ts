/** How near one looks, for those who have no wheel at hand. */

import { CLOSEST, WHOLE, zoomAt } from "../geometry.ts";
import { h, on, setText, type Context } from "./dom.ts";

const FACTOR = 1.5;

export function zoomPanel({ glance, signal, watch }: Context): HTMLElement {
  const by = (factor: number): void => glance.send({ view: zoomAt(glance.state.view, factor, [0.5, 0.5]) });
  const out = h("button", { class: "slw-button", "aria-label": "Zoom out", title: "Zoom out (−)" }, "−");
  const whole = h("button", { class: "slw-button slw-number", title: "The whole picture (0, or a double click)" });
  const nearer = h("button", { class: "slw-button", "aria-label": "Zoom in", title: "Zoom in (+, Ctrl with the wheel, a pinch)" }, "+");
  on(out, "click", signal, () => by(1 / FACTOR));
  on(nearer, "click", signal, () => by(FACTOR));
  on(whole, "click", signal, () => glance.send({ view: WHOLE }));
  watch(
    (_, { view }) => [view.zoom],
    (_, { view: { zoom } }) => {
      setText(whole, `${Math.round(zoom * 100)} %`);
      // a button that is disabled would lose the focus
      out.setAttribute("aria-disabled", String(zoom <= 1));
      nearer.setAttribute("aria-disabled", String(zoom >= CLOSEST));
    },
  );
  return h("div", { class: "slw-zoom", role: "group", "aria-label": "Zoom" }, out, whole, nearer);
}
