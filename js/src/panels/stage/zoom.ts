/** Buttons for the zoom, for pointers without a wheel. */

import { CLOSEST, WHOLE, zoomAt } from "../../core/geometry.ts";
import { button, h, setText, type Context } from "../ui/dom.ts";

const FACTOR = 1.5;

export function zoomPanel(context: Context): HTMLElement {
  const { glance, watch } = context;
  const by = (factor: number): void => glance.send({ view: zoomAt(glance.state.view, factor, [0.5, 0.5]) });
  const out = button(context, { "aria-label": "Zoom out", title: "Zoom out (−)" }, "−", () => by(1 / FACTOR));
  const whole = button(context, { class: "slw-button slw-number", title: "Fit (0 or double click)" }, "", () => glance.send({ view: WHOLE }));
  const nearer = button(context, { "aria-label": "Zoom in", title: "Zoom in (+, Ctrl with the wheel, a pinch)" }, "+", () => by(FACTOR));
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
