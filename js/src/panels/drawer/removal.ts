/** Curves of the model's value as pixels are removed, with the band of random maps. Points are read by pointer or arrow keys. */

import { measureText, valueText } from "../../core/evidence.ts";
import { formatPercent } from "../../core/format.ts";
import type { Measure, Verdict } from "../../core/result.ts";
import { dragged, h, hasModifier, keyTarget, on, setAttribute, setText, shape, type Context } from "../ui/dom.ts";
import { bandPath, HEIGHT, pathOf, plane, rangeOf, valueAt, WIDTH, type Scale } from "./plot.ts";

/** The share that is read first. */
const FIRST = 0.2;

const CLASSES = ["slw-line-without", "slw-line-only"] as const;
const NAMES = ["slw-without", "slw-only"] as const;

export interface RemovalPlot {
  readonly element: HTMLElement;
  readonly draw: (verdict: Verdict | null, measure: Measure | undefined) => void;
}

export function removalPlot({ signal }: Context): RemovalPlot {
  const [band, marker] = [shape("path", { class: "slw-band" }), shape("path", { class: "slw-line-at" })];
  const lines = CLASSES.map((name) => shape("path", { class: name }));
  const plot = h("div", { class: "slw-curve", role: "slider", tabindex: 0, "aria-label": "Removed pixels", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 20, "aria-valuetext": "20 % removed" }, plane(band, marker, ...lines));
  const [title, value, advice] = [h("h3"), h("span", { class: "slw-number" }), h("p", { class: "slw-muted" })];
  const ends = [h("span"), h("span")] as const;
  const reading = h("div", { class: "slw-readings slw-number" });
  const axis = h("div", { class: "slw-shares slw-muted slw-number", "aria-hidden": "true" }, ...["0 %", "50 %", "100 % removed"].map((text) => h("span", {}, text)));
  const heights = h("div", { class: "slw-heights slw-muted slw-number", "aria-hidden": "true" }, ...ends);
  const element = h("section", { class: "slw-block slw-removal", hidden: true }, title, value, heights, plot, axis, reading, advice);
  let shown: readonly [Verdict, Measure] | null = null;
  let share = FIRST;

  const read = (): void => {
    if (!shown) return;
    const [verdict, { curves, band: random }] = shown;
    const at = curves[0]!.at[nearest(curves[0]!.at, share)]!;
    const text = (found: number | null): string => (found === null ? "–" : valueText(verdict, found));
    const parts = curves.map(({ name, at: shares, values }) => [name, text(valueAt(shares, values, at))] as const);
    const interval = random && [random.low, random.high].map((values) => text(valueAt(random.at, values, at))).join(" to ");
    const removed = `${formatPercent(Math.round(at * 100))} removed`;
    reading.replaceChildren(
      h("span", {}, removed),
      ...parts.map(([name, found], i) => h("span", {}, h("span", { class: NAMES[i] ?? "" }, name), ` ${found}`)),
      ...(interval ? [h("span", {}, h("span", { class: "slw-random" }, "random maps"), ` ${interval}`)] : []),
    );
    setAttribute(marker, "d", `M${(at * WIDTH).toFixed(1)} -4V${HEIGHT + 4}`);
    setAttribute(plot, "aria-valuenow", Math.round(at * 100));
    setAttribute(plot, "aria-valuetext", [removed, ...parts.map((part) => part.join(" ")), interval && `random maps ${interval}`].filter(Boolean).join(", "));
  };
  dragged(plot, signal, (to) => {
    share = to;
    read();
  }, () => undefined);
  on(plot, "keydown", signal, (event) => {
    const at = shown?.[1].curves[0]!.at;
    const next = at && !hasModifier(event) ? keyTarget(event.key, nearest(at, share), at.length) : null;
    if (!at || next === null) return;
    event.preventDefault();
    share = at[next]!;
    read();
  });
  return {
    element,
    draw(verdict, measure) {
      shown = verdict && measure ? [verdict, measure] : null;
      element.hidden = !shown;
      if (!shown) return;
      const [{ percent, label }, { curves, band: random, title: name, advice: meaning }] = shown;
      const scale: Scale = percent ? [0, 1] : rangeOf([...curves.flatMap(({ values }) => values), ...(random ? [...random.low, ...random.high] : [])]);
      for (const [i, line] of lines.entries()) setAttribute(line, "d", curves[i] ? pathOf(curves[i].at, curves[i].values, scale) : "");
      setAttribute(band, "d", random ? bandPath(random.at, random.low, random.high, scale) : "");
      for (const [i, end] of ends.entries()) setText(end, valueText(shown[0], scale[1 - i]!));
      setText(title, name);
      setText(value, measureText(...shown));
      setText(advice, meaning);
      setAttribute(plot, "aria-label", `${name} of ${label}, read at a share of removed pixels`);
      read();
    },
  };
}

function nearest(shares: readonly number[], share: number): number {
  return shares.reduce((best, each, i) => (Math.abs(each - share) < Math.abs(shares[best]! - share) ? i : best), 0);
}
