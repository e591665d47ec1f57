/** The colour scale: a histogram of the values with the percentile, the colours, and their numbers. */

import { fieldOf } from "../../core/field.ts";
import { formatScale } from "../../core/format.ts";
import { clamp } from "../../core/geometry.ts";
import { cellsOf } from "../../core/grid.ts";
import { histogram, shareUpTo } from "../../core/histogram.ts";
import { shownExplained } from "../../core/lookup.ts";
import type { Explained } from "../../core/result.ts";
import { colormapOf, cutOf, fieldShown, scaleOf, shownSign } from "../../core/scale.ts";
import type { State } from "../../core/state.ts";
import { cssColours, lookupTable } from "../../paint/colormaps.ts";
import { barsPath, dragged, h, setAttribute, setText, shape, type Context } from "../ui/dom.ts";

const BARS = 59;
const HEIGHT = 26;

export function scale(context: Context, cut: (percentile: number) => void): HTMLElement {
  const { watch } = context;
  const ramp = h("div", { class: "slw-ramp" });
  const plot = plotOf(context, cut);
  const numbers = [h("span"), h("span"), h("span")] as const;
  const element = h("div", { class: "slw-scale" }, plot, ramp, h("div", { class: "slw-split slw-muted slw-number" }, ...numbers));
  setAttribute(ramp, "role", "img");
  watch(
    ({ shown, explained, spec }) => [shown, explained, spec],
    (state) => {
      const { gamma, mode } = state.shown;
      const table = lookupTable(colormapOf(state, shownExplained(state)), gamma);
      ramp.style.background = `linear-gradient(to right, ${cssColours(table, 33).join(", ")})`;
      setAttribute(element, "data-idle", mode === "area");
      const explained = shownExplained(state);
      const ends = explained && scaleOf(state, explained);
      const words = ends ? formatScale(ends) : [];
      for (const [i, number] of numbers.entries()) setText(number, words[i] ?? "\u00a0");
      setAttribute(ramp, "aria-label", ends ? `Colours from ${words.join(" over ")}` : "Colours");
    },
  );
  return element;
}

/** The histogram on the very scale of the colours, with the cut as a line that can be dragged. */
function plotOf({ store, signal, commit, watch }: Context, cut: (percentile: number) => void): HTMLElement {
  const path = shape("path", {});
  const svg = shape("svg", { viewBox: `0 0 ${BARS} ${HEIGHT}`, preserveAspectRatio: "none" }, path);
  const lines = [h("span", { class: "slw-cut" }), h("span", { class: "slw-cut" })] as const;
  const title = "Histogram of the values; drag the line to move the percentile";
  const plot = h("div", { class: "slw-histogram", "aria-hidden": "true", title }, svg, ...lines);
  watch(
    (state) => [shownExplained(state), shownSign(state), ...Object.values(endsOf(state))],
    (state) => {
      const explained = shownExplained(state);
      const ends = endsOf(state);
      const heights = explained ? histogram(tableOf(state, explained), ends.low, ends.high, BARS) : [];
      setAttribute(path, "d", barsPath(heights.map((height) => height || -1), HEIGHT, 0.6));
    },
  );
  watch(
    (state) => [state.shown, state.explained],
    (state) => {
      for (const [i, at] of cutsOf(state).entries()) {
        lines[i]!.hidden = at === null;
        if (at !== null) lines[i]!.style.left = `${at * 100}%`;
      }
    },
  );
  const along = (share: number): void => {
    const explained = shownExplained(store.state);
    if (!explained) return;
    const ends = endsOf(store.state);
    const value = ends.low + share * (ends.high - ends.low);
    const { table } = fieldShown(store.state, explained);
    cut(shareUpTo(table, magnitudeCut(store.state) ? Math.abs(value) : value) * 100);
  };
  dragged(plot, signal, along, commit);
  return plot;
}

function endsOf(state: State): { readonly low: number; readonly high: number } {
  const explained = shownExplained(state);
  return explained ? scaleOf(state, explained) : { low: 0, high: 1 };
}

/** The percentiles of what is coloured: of signed values, not of their magnitude. */
function tableOf(state: State, explained: Explained): Float32Array {
  return shownSign(state) === "signed" ? explained.valuesTable : fieldOf(explained, shownSign(state)).table;
}

/** Whether values are cut by their magnitude, on either side of zero. */
function magnitudeCut(state: State): boolean {
  return state.shown.mode === "heat" && shownSign(state) === "signed";
}

/** Positions of the percentile on the scale, 0–1; a second one below zero, where magnitudes are compared. */
function cutsOf(state: State): readonly (number | null)[] {
  const explained = shownExplained(state);
  if (!explained || (state.shown.mode === "heat" && state.shown.threshold === 0)) return [null, null];
  const { low, high } = endsOf(state);
  const cut = cutOf(state, fieldShown(state, explained));
  const at = (value: number): number => clamp((value - low) / (high - low), 0, 1);
  return [at(cut), magnitudeCut(state) ? at(-cut) : null];
}

/** Whether there are several cells that could share a scale. */
export function scaleMatters(state: State): boolean {
  return cellsOf(state).length > 1;
}
