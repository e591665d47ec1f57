/** The difference of the two chosen maps: blue below zero, red above, with a legend and figures on how alike they are. */

import { keyOf } from "../../core/cell.ts";
import { differenceOf, type Difference } from "../../core/difference.ts";
import { formatAlike, formatNumber, formatScale, formatShare } from "../../core/format.ts";
import { fieldOf } from "../../core/field.ts";
import type { Glance } from "../../core/glance.ts";
import { comparing, namesOf, pairShown } from "../../core/grid.ts";
import { explainedOf } from "../../core/lookup.ts";
import { readingAt } from "../../core/reading.ts";
import type { Explained } from "../../core/result.ts";
import type { Settings } from "../../core/settings.ts";
import { shownCell, type State } from "../../core/state.ts";
import { ended, remembered } from "../../core/store.ts";
import { cssColours, lookupTable } from "../../paint/colormaps.ts";
import { layerOf, resize } from "../../paint/layer.ts";
import { createPainter } from "../../paint/painter.ts";
import { createPictures } from "../../paint/pictures.ts";
import { h, setAttribute, setText, type Context } from "../ui/dom.ts";
import { followGestures } from "./gestures.ts";

/** Of maps that are divided by the end of their scales: below it no difference can be seen in their colours. */
const VISIBLE = 0.01;

const FIGURES: readonly (readonly [string, string])[] = [
  ["Rank correlation", "Spearman's: 1 where both maps order the pixels alike, 0 where the orders are unrelated"],
  ["Correlation", "Pearson's, of the values"],
  ["Overlap of the top 20 %", "Intersection over union of the most salient 20 % of both; of unrelated maps about 11 %"],
];

export function differencePanel(context: Context): HTMLElement {
  const { store, glance, watch } = context;
  const view = picture(context);
  const legend = legendOf();
  const sentence = h("p", { class: "slw-muted", role: "status" });
  const numbers = FIGURES.map(() => h("strong", { class: "slw-number" }));
  const figures = h("p", { class: "slw-likeness" }, ...FIGURES.map(([name, title], i) => h("span", { title }, `${name} `, numbers[i]!)));
  const content = h("div", {}, view.element, legend.element, figures);
  const element = h("section", { class: "slw-difference", "aria-label": "Difference" }, content, sentence);
  const compute = remembered((first: Explained, second: Explained, sign: Settings["sign"], scale: Settings["scale"]) =>
    differenceOf({ ...store.state, shown: { ...store.state.shown, sign, scale } }, first, second));
  const active = (state: State, { layout, other }: Glance) => (layout === "difference" && comparing(state) ? pairShown(state, other) : null);

  watch(
    (state, now) => [active(state, now)?.map(keyOf).join(" "), state.explained, state.shown, state.spec, state.predictions, now.view, now.details, now.plain, view.version()],
    (state, now) => {
      const pair = active(state, now);
      element.hidden = !pair;
      if (!pair) return;
      const [one, two] = pair.map((cell) => namesOf(state, cell).join(" · ")) as [string, string];
      const [first, second] = pair.map((cell) => explainedOf(state, cell));
      content.hidden = !whole(first) || !whole(second);
      if (!whole(first) || !whole(second)) {
        setText(sentence, `${one} minus ${two} appears once both maps are computed.`);
        return;
      }
      const difference = compute(first, second, state.shown.sign, state.shown.scale);
      const { correlation, rankCorrelation, overlap } = difference;
      for (const [i, value] of [rankCorrelation, correlation, overlap].entries()) {
        setText(numbers[i]!, Number.isNaN(value) ? "–" : i < 2 ? formatAlike([1, value])[1]! : formatShare(value));
      }
      legend.show(difference, state.shown.gamma, one, two);
      setText(sentence, aboutOf(state, difference));
      view.draw(state, now, difference, `${one} minus ${two}`);
    },
  );
  watch((state, now) => [now.point, state.shown, now.other], (state, now) => {
    view.read(active(state, now) ? now.point && readingAt(view.state() ?? state, shownCell(state), now.point).value : null);
  });
  followGestures(context, view.canvas, () => shownCell(store.state));
  glance.send({});
  return element;
}

function whole(explained: Explained | undefined): explained is Explained {
  return explained !== undefined && explained.share >= 1;
}

function aboutOf({ shown: { scale } }: State, { map, common }: Difference): string {
  const most = map.magnitudeTable?.[1000] ?? 0;
  return [
    most === 0 ? "The maps are equal." : most < VISIBLE && scale === "own" ? "The maps are nearly equal." : "",
    scale === "own" ? "Each map is divided by the end of its colour scale first." : "In the unit of the values.",
    common < 1 ? `Both maps cover ${formatShare(common)} of the first; the rest has no colour.` : "",
  ].filter(Boolean).join(" ");
}

interface Legend {
  readonly element: HTMLElement;
  readonly show: (difference: Difference, gamma: number, one: string, two: string) => void;
}

/** The colours, their numbers, and which map is higher at either end. */
function legendOf(): Legend {
  const ramp = h("div", { class: "slw-ramp", "aria-hidden": "true" });
  const numbers = [h("span"), h("span"), h("span")] as const;
  const names = [h("span"), h("span")] as const;
  return {
    element: h("div", { class: "slw-scale" }, ramp, h("div", { class: "slw-split slw-muted slw-number" }, ...numbers), h("div", { class: "slw-split slw-ends" }, ...names)),
    show({ map }, gamma, one, two) {
      ramp.style.background = `linear-gradient(to right, ${cssColours(lookupTable("diverging", gamma), 33).join(", ")})`;
      for (const [i, word] of formatScale(fieldOf(map, "signed")).entries()) setText(numbers[i]!, word);
      setText(names[0], `Blue: higher in ${two}`);
      setText(names[1], `Red: higher in ${one}`);
    },
  };
}

interface DifferencePicture {
  readonly element: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  /** Changes when the canvas must be painted again although the state is the same. */
  readonly version: () => number;
  readonly draw: (state: State, glance: Glance, difference: Difference, name: string) => void;
  /** The state that was painted, in which the shown cell has the difference; null before. */
  readonly state: () => State | null;
  /** Show the value under the pointer. */
  readonly read: (value: number | null) => void;
}

function picture({ glance, signal }: Context): DifferencePicture {
  const canvas = h("canvas", { class: "slw-picture", role: "img", tabindex: 0 });
  const screen = layerOf(canvas);
  const [left, right] = [h("span"), h("span", { class: "slw-number" })];
  let version = 0;
  let painted: State | null = null;
  const refresh = (): void => {
    version++;
    glance.send({});
  };
  const pictures = createPictures(signal, refresh);
  const paint = createPainter(screen, pictures.at);
  const resized = new ResizeObserver(refresh);
  resized.observe(canvas);
  ended(signal, () => resized.disconnect());
  return {
    element: h("div", { class: "slw-cell" }, h("div", { class: "slw-window" }, canvas), h("div", { class: "slw-caption slw-muted" }, left, right)),
    canvas,
    version: () => version,
    state: () => painted,
    draw(state, { view, plain, details }, { map }, name) {
      const cell = shownCell(state);
      const scale = window.devicePixelRatio || 1;
      resize(screen, Math.max(1, Math.round(canvas.clientWidth * scale)), Math.max(1, Math.round(canvas.clientHeight * scale)));
      painted = { ...state, explained: new Map([[keyOf(cell), map]]), shown: { ...state.shown, mode: "heat", sign: "signed", scale: "own", live: false } };
      pictures.load(state.pictures, [cell.image], details);
      paint(painted, cell, { width: canvas.width, height: canvas.height, scale, view, plain, many: false });
      setText(left, plain ? "Original" : name);
      setAttribute(canvas, "aria-label", name);
    },
    read: (value) => setText(right, typeof value === "number" ? formatNumber(value) : ""),
  };
}
