/** One picture of the stage: its canvas, what is said about it, the cursor that all pictures share. */

import { formatNumber, formatPercent, formatShare } from "../../core/format.ts";
import { onCanvas } from "../../core/geometry.ts";
import { fits } from "../../core/picked.ts";
import {
  cellsOf, comparing, explainedOf, imageOf, jobOf, keepShown, labelOf, nameOf, namesOf, readingAt, regionCount, regionsOf, shownRegions, signOf, signsDiffer, statusOf,
} from "../../core/select.ts";
import { keyOf, shownCell, type Cell, type State } from "../../core/state.ts";
import { same } from "../../core/store.ts";
import { h, hasModifier, keyTarget, on, setAttribute, setText, type Context, type Glance } from "../ui/dom.ts";
import { followTools } from "./brush.ts";
import { followGestures } from "./gestures.ts";
import type { Grounds } from "../../paint/pictures.ts";
import { messageBox } from "../ui/message.ts";
import { progressText } from "../side/methods.ts";
import { selectionText } from "../drawer/selection.ts";
import { createPainter, layerOf, resize } from "../../paint/painter.ts";
import { stepTo } from "../side/regions.ts";
import { show } from "../ui/show.ts";

export interface CellView {
  readonly element: HTMLElement;
  /** Show one cell, or two that are laid over each other. */
  readonly show: (cells: readonly Cell[]) => void;
  /** Whether anything was painted; a canvas that shows the same is left alone. */
  readonly paint: (state: State, glance: Glance, version: number) => boolean;
  /** Move the cursor and its reading. */
  readonly point: (state: State, glance: Glance) => void;
  readonly remove: () => void;
}

export function createCellView(context: Context, grounds: Grounds): CellView {
  const life = new AbortController();
  const own: Context = { ...context, signal: AbortSignal.any([context.signal, life.signal]) };
  const { element, canvas, cursor, message, left, right } = elementsOf(own);
  const lay = canvasOf(canvas, grounds);
  let cells: readonly Cell[] = [shownCell(context.store.state)];
  let last: readonly unknown[] = [];
  let share = 1;

  const at = (glance: Glance): Cell => (glance.turned ? cells[1] : undefined) ?? cells[0]!;
  followTools(own, canvas, () => cells[0]!);
  followGestures(own, canvas, () => cells[0]!);
  on(canvas, "keydown", own.signal, (event) => stepByKeys(own, event));
  on(canvas, ["keyup", "blur"], own.signal, context.commit);

  return {
    element,
    show(next) {
      cells = next;
      last = [];
    },
    paint(state, glance, version) {
      const { shown } = state;
      const now = [
        version, shown, glance.view, glance.plain, glance.turned, glance.divider, glance.layout, state.spec, canvas.clientWidth,
        canvas.clientHeight, shown.scale === "shared" && state.explained, ...cells.map((cell) => explainedOf(state, cell)),
      ];
      const painted = same(now, last) ? null : lay(state, glance, cells);
      last = now;
      share = painted ?? share;
      const cell = at(glance);
      setAttribute(element, "aria-current", comparing(state) && keyOf(cell) === keyOf(shownCell(state)) ? "true" : false);
      const two = cells[1] && glance.layout === "swipe";
      setText(left, glance.plain ? "the picture" : cells[1] ? namesOf(state, cell).join(" · ") : captionOf(state, cell));
      setText(right, glance.plain ? "" : two ? namesOf(state, cells[1]!).join(" · ") : besideOf(state, cell, share, glance));
      setAttribute(canvas, "aria-label", `${describe(state, cell)}${glance.plain ? ", hidden while the picture is shown" : ""}`);
      for (const words of [left, right]) setAttribute(words, "title", words.textContent);
      message.show(state, cell);
      return painted !== null;
    },
    point(state, glance) {
      const { point, view } = glance;
      const place = point && onCanvas(view, point);
      cursor.hidden = !place || !comparing(state) || place.some((each) => each < 0 || each > 1);
      if (place) cursor.style.translate = `${place[0] * canvas.clientWidth}px ${place[1] * canvas.clientHeight}px`;
      if (comparing(state) && !glance.plain && glance.layout !== "swipe") setText(right, besideOf(state, at(glance), share, glance));
    },
    remove() {
      life.abort();
      element.remove();
    },
  };
}

function elementsOf(context: Context) {
  const canvas = h("canvas", { class: "slw-picture", role: "img", tabindex: 0 });
  const message = messageBox(context, canvas);
  const cursor = h("div", { class: "slw-cursor", "aria-hidden": "true", hidden: true });
  const left = h("span", { class: "slw-caption-left" });
  const right = h("span", { class: "slw-number" });
  const frame = h("div", { class: "slw-window" }, canvas, cursor, message.element);
  const element = h("div", { class: "slw-cell" }, frame, h("div", { class: "slw-caption slw-muted" }, left, right));
  return { element, canvas, cursor, message, left, right };
}

/** Paints one cell or two onto a canvas of the size it has now; the share of the map that is kept, null where there is no room. */
function canvasOf(canvas: HTMLCanvasElement, grounds: Grounds): (state: State, glance: Glance, cells: readonly Cell[]) => number | null {
  const screen = layerOf(canvas);
  const painters = [createPainter(screen, grounds), createPainter(screen, grounds)] as const;
  return (state, { view, plain, layout, divider, turned }, [first, second]) => {
    const scale = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale);
    const height = Math.round(canvas.clientHeight * scale);
    if (width < 1 || height < 1 || !first) return null;
    resize(screen, width, height);
    const frame = { width, height, scale, view, plain, many: layout === "grid" && comparing(state) };
    if (!second) return painters[0].paint(state, first, frame);
    if (layout === "blink") return turned ? painters[1].paint(state, second, frame) : painters[0].paint(state, first, frame);
    painters[1].paint(state, second, frame, [divider, 1]);
    return painters[0].paint(state, first, frame, [0, divider]);
  };
}

/** In one picture the arrow keys step through its regions, in a grid from cell to cell; Home and End go to the ends. */
function stepByKeys(context: Context, event: KeyboardEvent): void {
  const { store } = context;
  const { state } = store;
  if (hasModifier(event) || event.shiftKey) return;
  if (comparing(state)) {
    const cells = cellsOf(state);
    const next = keyTarget(event.key, cells.findIndex((cell) => keyOf(cell) === keyOf(shownCell(state))), cells.length);
    const cell = next === null ? undefined : cells[next];
    if (!cell) return;
    event.preventDefault();
    show(context, cell);
    return;
  }
  const regions = shownRegions(state);
  const next = regions && keyTarget(event.key, regionCount(state) - 1, regions.length);
  if (next === null) return;
  event.preventDefault();
  stepTo(context, next + 1);
}

function captionOf(state: State, cell: Cell): string {
  const name = nameOf(state, cell);
  const explained = explainedOf(state, cell);
  const job = jobOf(state, cell);
  const [first = name] = comparing(state) ? namesOf(state, cell) : [name];
  if (job) return `${first} · ${progressText(job)}`;
  if (!explained) return state.link === "waiting" ? "waiting for the kernel" : first;
  const partial = explained.share < 1 ? " · unfinished" : explained.stale ? " · of earlier weights" : "";
  const sign = signsDiffer(explained) && signOf(state, explained) !== "absolute" ? `, ${signOf(state, explained)}` : "";
  const { mode, threshold } = state.shown;
  if (comparing(state)) return `${first}${partial}`;
  const regions = regionsOf(explained);
  if (mode === "area" && fits(explained, state.shown.picked)) return `${name} · ${selectionText(state)}${partial}`;
  if (mode === "area" && regions) return `${name} · region ${regionCount(state, cell)} of ${regions.length}${partial}`;
  if (mode === "area") return `${name} · top ${formatPercent(keepShown(state))}${partial}`;
  return `${name}${sign}${threshold > 0 ? ` · from percentile ${formatPercent(threshold).replace(" %", "")}` : ""}${partial}`;
}

/** In a grid what tells the cells apart, or the value under the cursor that they share. */
function besideOf(state: State, cell: Cell, share: number, { point }: Glance): string {
  if (comparing(state)) {
    const value = point && readingAt(state, cell, point).value;
    return typeof value === "number" ? formatNumber(value) : namesOf(state, cell).slice(1).join(" · ");
  }
  if (!explainedOf(state, cell)) return "";
  return state.shown.mode === "area" ? `${formatShare(share)} of the area` : labelOf(state, cell);
}

/** All that names a cell: the method, the class, and the model and image where there are several. */
export function titleOf(state: State, cell: Cell): string {
  return [nameOf(state, cell), ...subjectOf(state, cell)].join(" · ");
}

function subjectOf(state: State, cell: Cell): readonly string[] {
  const { models, images } = state.spec;
  const names = [labelOf(state, cell), models.length > 1 && models[cell.model], images.length > 1 && imageOf(state, cell).name];
  return names.filter((name) => typeof name === "string");
}

function describe(state: State, cell: Cell): string {
  const status = statusOf(state, cell).kind;
  const what = [...subjectOf(state, cell), `explained by ${comparing(state) ? nameOf(state, cell) : captionOf(state, cell)}`].join(", ");
  return status === "done" ? what : `${what} (${status === "idle" ? "not computed" : status})`;
}
