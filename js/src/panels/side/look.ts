/** The display: percentile, colours, opacity, scale. */

import { formatPercent } from "../../core/format.ts";
import { bars } from "../../core/histogram.ts";
import { shownExplained } from "../../core/lookup.ts";
import { shownRegions } from "../../core/regions.ts";
import { fieldShown, percentileShown, selecting, shownSign } from "../../core/scale.ts";
import type { Settings } from "../../core/settings.ts";
import type { State } from "../../core/state.ts";
import { COLORMAPS } from "../../paint/colormaps.ts";
import { barsPath, button, dragged, h, on, setAttribute, setText, shape, type Context } from "../ui/dom.ts";
import { slider } from "../ui/slider.ts";
import { scale, scaleMatters } from "./scale.ts";

const BARS = 48;
const BAR_HEIGHT = 38;

export function percentilePanel(context: Context): HTMLElement {
  const { store, watch } = context;
  const input = (percentile: number): void => cutAt(context, percentile);
  const range = slider(context, { label: "Percentile", min: 0, max: 100, fine: 0.1, step: 1, input });
  const plot = barPlot(context, input);
  const label = h("span", { class: "slw-muted" });
  const number = h("strong", { class: "slw-number" });

  watch(
    (state) => [state.shown.mode, state.shown.live, percentileShown(state), shownRegions(state)],
    (state) => {
      const percentile = percentileShown(state);
      const amount = selecting(state) ? formatPercent(tenth(100 - percentile)) : formatPercent(percentile).replace(" %", "");
      const words = state.shown.mode === "area" ? "Show top" : state.shown.live ? "Select top" : "Hide below percentile";
      setText(label, words);
      setText(number, amount);
      range.show(percentile, `${words} ${amount}`);
      plot.style.setProperty("--slw-at", String(percentile / 100));
    },
  );
  const line = h("div", { class: "slw-split" }, label, number);
  const reset = button(context, { class: "slw-reset", title: "Back to the first settings" }, "Reset", () => store.send({ kind: "reset" }));
  const title = h("div", { class: "slw-split" }, h("h3", {}, "Percentile"), reset);
  return h("section", { class: "slw-block" }, title, plot, range.element, line);
}

/** For a selection the slider is the share that is left out, so that the kept part is on its right in both modes. */
function cutAt({ store, set }: Context, percentile: number): void {
  set(selecting(store.state) ? { keep: tenth(100 - percentile) } : { threshold: tenth(percentile) });
}

function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}

/** One bar for every 1/48 of the pixels, as high as their value: where it may be cut is read from left to right. */
function barPlot({ signal, commit, watch }: Context, input: (percentile: number) => void): HTMLElement {
  const paths = [shape("path", {}), shape("path", {})] as const;
  const drawing = (name: string, path: SVGElement): SVGElement =>
    shape("svg", { class: name, viewBox: `0 0 ${BARS} ${BAR_HEIGHT}`, preserveAspectRatio: "none" }, path);
  const title = "Pixels sorted by value, weakest first; the height of a bar is their value";
  const plot = h("div", { class: "slw-bars", "aria-hidden": "true", title }, drawing("slw-bars-all", paths[0]), drawing("slw-bars-kept", paths[1]));
  watch(
    (state) => [shownExplained(state), shownSign(state), state.shown.mode],
    (state) => {
      const explained = shownExplained(state);
      const heights = explained ? bars(fieldShown(state, explained), BARS) : [];
      for (const path of paths) setAttribute(path, "d", barsPath(heights, BAR_HEIGHT, 0.5));
    },
  );
  dragged(plot, signal, (share) => input(share * 100), commit);
  return plot;
}

export function coloursPanel(context: Context): HTMLElement {
  const { set, watch } = context;
  const opacity = slider(context, {
    label: "Opacity", min: 0, max: 1, fine: 0.01, step: 0.05,
    input: (value) => set({ opacity: value }),
  });
  // in halvings and doublings: 2 is as far from 1 as one half
  const gamma = slider(context, {
    label: "Gamma", min: -2, max: 2, fine: 0.05, step: 0.25,
    input: (value) => set({ gamma: Math.round(2 ** value * 100) / 100 }),
  });
  const exponent = h("span", { class: "slw-number" });
  watch(({ shown }) => [shown.opacity], ({ shown }) => opacity.show(shown.opacity, `${Math.round(shown.opacity * 100)} %`));
  watch(
    ({ shown }) => [shown.gamma],
    ({ shown }) => {
      gamma.show(Math.log2(shown.gamma), shown.gamma.toFixed(2));
      setText(exponent, shown.gamma === 1 ? "" : shown.gamma.toFixed(2));
    },
  );
  watch(({ shown }) => [shown.mode], ({ shown }) => (gamma.element.disabled = shown.mode === "area"));
  const beside = (title: readonly (HTMLElement | string)[], control: HTMLElement): HTMLElement =>
    h("div", {}, h("h3", { class: "slw-split" }, ...title), control);
  return h(
    "section",
    { class: "slw-block" },
    h("div", { class: "slw-pair" }, beside(["Colours"], colormapField(context)), beside(["Opacity"], opacity.element)),
    scale(context, (percentile) => cutAt(context, percentile)),
    h("div", { class: "slw-pair slw-fine" }, flags(context), beside(["Gamma", exponent], gamma.element)),
  );
}

function colormapField({ choose, signal, watch }: Context): HTMLElement {
  const select = h("select", { class: "slw-field", "aria-label": "Colours" }, ...COLORMAPS.map((name) => h("option", { value: name }, name)));
  const diverging = h("option", { value: "diverging" }, "blue–red");
  on(select, "change", signal, () => {
    choose({ colormap: select.value });
  });
  watch(
    (state) => [state.shown.colormap, state.shown.mode, shownSign(state)],
    (state) => {
      const { colormap, mode } = state.shown;
      const signed = mode === "heat" && shownSign(state) === "signed";
      // signed values have their own colours, and top pixels those of the picture
      select.disabled = signed || mode === "area";
      if (signed) select.append(diverging);
      else diverging.remove();
      select.value = signed ? "diverging" : colormap;
    },
  );
  return select;
}

/** The options of the colours that are on or off. */
function flags(context: Context): HTMLElement {
  const smooth = flag(context, "smooth", "Interpolate colours between the cells of the map", (state) => state.shown.smooth, (on) => ({ smooth: on }));
  const contours = flag(context, "contours", "Lines of equal value, at quarters of the scale", (state) => state.shown.contours, (on) => ({ contours: on }));
  const shared = flag(
    context, "Same colour scale", "The same value has the same colour in all pictures",
    (state) => state.shown.scale === "shared", (on) => ({ scale: on ? "shared" : "own" }),
  );
  context.watch((state) => [scaleMatters(state)], (state) => (shared.hidden = !scaleMatters(state)));
  return h("div", { class: "slw-flags" }, smooth, contours, shared);
}

function flag(
  { choose, signal, watch }: Context, name: string, title: string, current: (state: State) => boolean, settings: (on: boolean) => Partial<Settings>,
): HTMLElement {
  const box = h("input", { type: "checkbox", class: "slw-box" });
  on(box, "change", signal, () => {
    choose(settings(box.checked));
  });
  watch(
    (state) => [current(state), state.shown.mode],
    (state) => {
      box.checked = current(state);
      box.disabled = state.shown.mode === "area";
    },
  );
  return h("label", { class: "slw-flag", title }, box, name);
}
