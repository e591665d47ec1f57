/** One picture of the stage: its canvas, its caption, and the cursor that all pictures share. */

import { besideOf, captionOf, describeCell } from "../../core/captions.ts";
import { keyOf, type Cell } from "../../core/cell.ts";
import { onCanvas } from "../../core/geometry.ts";
import type { Glance } from "../../core/glance.ts";
import { cellsOf, comparing, namesOf } from "../../core/grid.ts";
import { explainedOf } from "../../core/lookup.ts";
import { regionCount, shownRegions } from "../../core/regions.ts";
import { shownCell, type State } from "../../core/state.ts";
import { same } from "../../core/store.ts";
import { layerOf, resize } from "../../paint/layer.ts";
import { createPainter } from "../../paint/painter.ts";
import type { Pictures } from "../../paint/pictures.ts";
import { show, stepTo } from "../ui/actions.ts";
import { h, hasModifier, keyTarget, on, setAttribute, setText, type Context } from "../ui/dom.ts";
import { followTools } from "./brush.ts";
import { followGestures } from "./gestures.ts";
import { messageBox } from "./message.ts";

export interface CellView {
  readonly element: HTMLElement;
  /** Show one cell, or two that are laid over each other; `headed`: under headers that name it. */
  readonly show: (cells: readonly Cell[], headed: boolean) => void;
  /** Whether anything was painted; a canvas that shows the same is left alone. */
  readonly paint: (state: State, glance: Glance, version: number) => boolean;
  /** Move the cursor and its reading. */
  readonly point: (state: State, glance: Glance) => void;
  readonly remove: () => void;
}

export function createCellView(context: Context, pictures: Pictures): CellView {
  const life = new AbortController();
  const own: Context = { ...context, signal: AbortSignal.any([context.signal, life.signal]) };
  const { element, canvas, cursor, message, left, right } = elementsOf(own);
  const lay = canvasOf(canvas, pictures);
  let cells: readonly Cell[] = [shownCell(context.store.state)];
  let last: readonly unknown[] = [];
  let share = 1;
  let headed = false;

  const at = (glance: Glance): Cell => (glance.turned ? cells[1] : undefined) ?? cells[0]!;
  followTools(own, canvas, () => cells[0]!);
  followGestures(own, canvas, () => cells[0]!);
  on(canvas, "keydown", own.signal, (event) => stepByKeys(own, event));
  on(canvas, ["keyup", "blur"], own.signal, context.commit);

  return {
    element,
    show(next, under) {
      cells = next;
      headed = under;
      last = [];
    },
    paint(state, glance, version) {
      const { shown } = state;
      const now = [
        version, shown, glance.view, glance.details, glance.plain, glance.turned, glance.divider, glance.layout, state.spec, canvas.clientWidth,
        canvas.clientHeight, shown.scale === "shared" && state.explained, ...cells.map((cell) => explainedOf(state, cell)),
      ];
      const painted = same(now, last) ? null : lay(state, glance, cells);
      last = now;
      share = painted ?? share;
      const cell = at(glance);
      setAttribute(element, "aria-current", comparing(state) && keyOf(cell) === keyOf(shownCell(state)) ? "true" : false);
      const two = cells[1] && glance.layout === "swipe";
      setText(left, glance.plain ? "Original" : cells[1] ? namesOf(state, cell).join(" · ") : captionOf(state, cell, headed));
      setText(right, glance.plain ? "" : two ? namesOf(state, cells[1]!).join(" · ") : besideOf(state, cell, share, glance, headed));
      setAttribute(canvas, "aria-label", `${describeCell(state, cell)}${glance.plain ? ", hidden while the picture is shown" : ""}`);
      for (const words of [left, right]) setAttribute(words, "title", words.textContent);
      message.show(state, cell);
      return painted !== null;
    },
    point(state, glance) {
      const { point, view } = glance;
      const place = point && onCanvas(view, point);
      cursor.hidden = !place || !(comparing(state) || glance.afar) || place.some((each) => each < 0 || each > 1);
      if (place) cursor.style.translate = `${place[0] * canvas.clientWidth}px ${place[1] * canvas.clientHeight}px`;
      if (comparing(state) && !glance.plain && glance.layout !== "swipe") setText(right, besideOf(state, at(glance), share, glance, headed));
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
function canvasOf(canvas: HTMLCanvasElement, pictures: Pictures): (state: State, glance: Glance, cells: readonly Cell[]) => number | null {
  const screen = layerOf(canvas);
  const painters = [createPainter(screen, pictures), createPainter(screen, pictures)] as const;
  return (state, { view, plain, layout, divider, turned }, [first, second]) => {
    const scale = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale);
    const height = Math.round(canvas.clientHeight * scale);
    if (width < 1 || height < 1 || !first) return null;
    resize(screen, width, height);
    const frame = { width, height, scale, view, plain, many: layout === "grid" && comparing(state) };
    if (!second) return painters[0](state, first, frame);
    if (layout === "blink") return turned ? painters[1](state, second, frame) : painters[0](state, first, frame);
    painters[1](state, second, frame, [divider, 1]);
    return painters[0](state, first, frame, [0, divider]);
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
