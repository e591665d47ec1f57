/** How it is shown: the percentile on its bars, colours, opacity, the scale. */

import { COLORMAPS, cssColours, lookupTable } from "../colormaps.ts";
import { formatAlike, formatPercent } from "../format.ts";
import { bars, fieldOf } from "../pixels.ts";
import { percentileShown, shownExplained, fieldShown, shownRegions, shownSign } from "../select.ts";
import { h, on, setAttribute, setText, type Context } from "./dom.ts";
import { slider } from "./slider.ts";

const BARS = 48;
const BAR_HEIGHT = 38;

export function percentilePanel(context: Context): HTMLElement {
  const { store, watch } = context;
  /** In area mode the slider's place is what is left out, so that the kept part lies to its right in both modes. */
  const input = (percentile: number): void => {
    const { mode } = store.state.shown;
    const settings = mode === "area" ? { keep: tenth(100 - percentile) } : { threshold: tenth(percentile) };
    store.send({ kind: "set", settings });
  };
  const range = slider(context, { label: "Percentile", min: 0, max: 100, fine: 0.1, step: 1, input });
  const plot = barPlot(context, input);
  const says = h("span", { class: "slw-muted" });
  const number = h("strong", { class: "slw-number" });

  watch(
    (state) => [state.shown.mode, percentileShown(state), shownRegions(state)],
    (state) => {
      const percentile = percentileShown(state);
      const area = state.shown.mode === "area";
      const amount = area ? formatPercent(tenth(100 - percentile)) : formatPercent(percentile).replace(" %", "");
      const words = area ? "keep the top" : "colour from percentile";
      setText(says, words);
      setText(number, amount);
      range.show(percentile, `${words} ${amount}`);
      plot.style.setProperty("--slw-at", String(percentile / 100));
    },
  );
  const line = h("div", { class: "slw-split" }, says, number);
  const reset = h("button", { class: "slw-reset", title: "Back to the look it opened with" }, "Reset");
  on(reset, "click", context.signal, () => store.send({ kind: "reset" }));
  const title = h("div", { class: "slw-split" }, h("h3", {}, "Percentile"), reset);
  return h("section", { class: "slw-block" }, title, plot, range.element, line);
}

function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}

/** One bar for every 1/48 of the pixels, as high as their value: where it may be cut is read from left to right. */
function barPlot({ store, signal, watch }: Context, input: (percentile: number) => void): HTMLElement {
  const shape = (name: string): SVGSVGElement => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    setAttribute(svg, "viewBox", `0 0 ${BARS} ${BAR_HEIGHT}`);
    setAttribute(svg, "preserveAspectRatio", "none");
    setAttribute(svg, "class", name);
    svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
    return svg;
  };
  const all = shape("slw-bars-all");
  const kept = shape("slw-bars-kept");
  const title = "The pixels from the weakest to the strongest; a bar is as high as their value";
  const plot = h("div", { class: "slw-bars", "aria-hidden": "true", title }, all, kept);
  watch(
    (state) => [shownExplained(state), shownSign(state), state.shown.mode],
    (state) => {
      const explained = shownExplained(state);
      const heights = explained ? bars(fieldShown(state, explained), BARS) : [];
      const path = heights.map((height, i) => barPath(i, Math.max(height * BAR_HEIGHT, 0.5))).join("");
      for (const svg of [all, kept]) setAttribute(svg.firstElementChild ?? svg, "d", path);
    },
  );
  const follow = (event: PointerEvent): void => {
    const box = plot.getBoundingClientRect();
    input(Math.min(Math.max((event.clientX - box.x) / box.width, 0), 1) * 100);
  };
  on(plot, "pointerdown", signal, (event) => {
    plot.setPointerCapture(event.pointerId);
    follow(event);
  });
  on(plot, "pointermove", signal, (event) => {
    if (plot.hasPointerCapture(event.pointerId)) follow(event);
  });
  on(plot, ["pointerup", "pointercancel"], signal, () => store.send({ kind: "commit" }));
  return plot;
}

function barPath(index: number, height: number): string {
  const rise = height.toFixed(2);
  return `M${index} ${BAR_HEIGHT}v-${rise}h.8v${rise}z`;
}

export function coloursPanel(context: Context): HTMLElement {
  const { store, signal, watch } = context;
  const select = h("select", { class: "slw-field", "aria-label": "Colours" }, ...COLORMAPS.map((name) => h("option", { value: name }, name)));
  const diverging = h("option", { value: "diverging" }, "blue–white–red");
  const range = slider(context, {
    label: "Opacity", min: 0, max: 1, fine: 0.01, step: 0.05,
    input: (opacity) => store.send({ kind: "set", settings: { opacity } }),
  });
  on(select, "change", signal, () => {
    store.send({ kind: "set", settings: { colormap: select.value } });
    store.send({ kind: "commit" });
  });
  watch(
    (state) => [state.shown.colormap, state.shown.mode, shownSign(state)],
    (state) => {
      const { colormap, mode } = state.shown;
      const signed = mode === "heat" && shownSign(state) === "signed";
      // one scale fits signed values, and the top area has the picture's own colours
      select.disabled = signed || mode === "area";
      if (signed) select.append(diverging);
      else diverging.remove();
      select.value = signed ? "diverging" : colormap;
    },
  );
  watch(({ shown }) => [shown.opacity], ({ shown }) => range.show(shown.opacity, `${Math.round(shown.opacity * 100)} %`));
  return h(
    "section",
    { class: "slw-block" },
    h(
      "div",
      { class: "slw-pair" },
      h("div", {}, h("h3", {}, "Colours"), select),
      h("div", {}, h("h3", {}, "Opacity"), range.element),
    ),
    scale(context),
  );
}

/** The colours with their numbers; zero is zero in the signed view. */
function scale({ watch }: Context): HTMLElement {
  const ramp = h("div", { class: "slw-ramp" });
  const numbers = [h("span"), h("span"), h("span")] as const;
  const element = h("div", { class: "slw-scale", role: "img" }, ramp, h("div", { class: "slw-split slw-muted slw-number" }, ...numbers));
  watch(
    (state) => [state.shown.colormap, state.shown.mode, shownSign(state), shownExplained(state)],
    (state) => {
      const sign = shownSign(state);
      const table = lookupTable(sign === "signed" ? "diverging" : state.shown.colormap, state.shown.gamma);
      ramp.style.background = `linear-gradient(to right, ${cssColours(table, 33).join(", ")})`;
      setAttribute(element, "data-idle", state.shown.mode === "area");
      const explained = shownExplained(state);
      const field = explained && fieldOf(explained, sign);
      const ends = field ? formatAlike([field.low, (field.low + field.high) / 2, field.high]) : [];
      for (const [i, number] of numbers.entries()) setText(number, ends[i] ?? "\u00a0");
      setAttribute(element, "aria-label", field ? `Colours from ${ends.join(" over ")}` : "Colours");
    },
  );
  return element;
}
