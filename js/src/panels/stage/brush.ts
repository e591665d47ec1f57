/** The selection tools on the picture: regions, brush and rectangle, by the pointer or by the arrow keys with Enter. */

import { keyOf, type Cell } from "../../core/cell.ts";
import { cellAt, clamp, pixelOf, pointAt, type Point } from "../../core/geometry.ts";
import { explainedOf, imageOf } from "../../core/lookup.ts";
import { box, brush, keepPicked, runsOf, type Spot } from "../../core/picked.ts";
import { regionsOf } from "../../core/regions.ts";
import type { Explained } from "../../core/result.ts";
import { shownCell } from "../../core/state.ts";
import { show, toggleRegion } from "../ui/actions.ts";
import { hasModifier, on, setAttribute, type Context } from "../ui/dom.ts";

const KEY_STEP = 0.04;
const FINE_STEP = 0.005;
const ARROWS: Readonly<Record<string, Point>> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Continues a stroke to a point. */
type Stroke = (point: Point) => void;

/** Comes before the gestures that zoom and pan: while a tool is chosen, pointer and keys are for the tool. */
export function followTools(context: Context, canvas: HTMLElement, cellOf: () => Cell): void {
  const { store, glance, signal, commit, watch } = context;
  let stroke: Stroke | null = null;
  const using = (): boolean => glance.state.tool !== "look";
  const pointOf = (event: PointerEvent): Point | null => pointAt(canvas.getBoundingClientRect(), glance.state.view, event.clientX, event.clientY);
  const move = (point: Point): void => {
    glance.send({ point });
    stroke?.(point);
  };
  const begin = (point: Point): void => {
    const cell = cellOf();
    if (keyOf(cell) !== keyOf(shownCell(store.state))) show(context, cell);
    const explained = explainedOf(store.state, cell);
    if (explained && glance.state.tool === "regions") toggleAt(context, cell, explained, point);
    else if (explained) stroke = strokeOf(context, cell, explained, point);
    move(point);
  };
  const end = (): void => {
    stroke = null;
    commit();
  };

  on(canvas, "pointerdown", signal, (event) => {
    if (!using() || event.button !== 0) return;
    event.stopImmediatePropagation();
    const point = pointOf(event);
    if (!point) return;
    canvas.setPointerCapture(event.pointerId);
    begin(point);
  });
  on(canvas, "pointermove", signal, (event) => {
    if (!using() || !stroke) return;
    event.stopImmediatePropagation();
    const point = pointOf(event);
    if (point) move(point);
  });
  on(canvas, ["pointerup", "pointercancel"], signal, () => using() && end());
  on(canvas, ["click", "dblclick"], signal, (event) => using() && event.stopImmediatePropagation());
  on(canvas, "blur", signal, () => stroke && end());
  on(canvas, "keydown", signal, (event) => {
    if (!using() || hasModifier(event)) return;
    const at = glance.state.point ?? ([0.5, 0.5] as const);
    const way = ARROWS[event.key];
    if (way) move(moved(at, way, event.shiftKey ? FINE_STEP : KEY_STEP));
    else if (event.key === "Enter") {
      // Enter is the pointer's button: a rectangle needs it twice
      const drawing = stroke !== null;
      if (!drawing) begin(at);
      if (drawing || glance.state.tool !== "box") end();
    } else if (event.key === "Escape") {
      end();
      glance.send({ tool: "look" });
    } else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  });
  watch((_, { tool }) => [tool], (_, { tool }) => setAttribute(canvas, "data-tool", tool === "look" ? false : tool));
}

function moved(at: Point, way: Point, step: number): Point {
  return [clamp(at[0] + way[0] * step, 0, 0.9999), clamp(at[1] + way[1] * step, 0, 0.9999)];
}

function strokeOf({ store, set, glance }: Context, cell: Cell, explained: Explained, from: Point): Stroke {
  const { shape, place } = explained.result;
  const { tool, radius, erases } = glance.state;
  const value = erases ? 0 : 1;
  const [height, width] = imageOf(store.state, cell).size;
  const spot = ([u, v]: Point): Spot => [((v * height - place[1]) / place[3]) * shape[0], ((u * width - place[0]) / place[2]) * shape[1]];
  // what was selected before; the brush adds to it, a rectangle starts again from it
  const before = new Uint8Array(explained.values.length);
  keepPicked(explained, store.state.shown.picked, before);
  const first = spot(from);
  let last = first;
  return (point) => {
    const now = spot(point);
    const mask = tool === "box" ? before.slice() : before;
    if (tool === "box") box(mask, shape, first, now, value);
    else brush(mask, shape, last, now, Math.max(radius * Math.max(...shape), 0.5), value);
    last = now;
    set({ mode: "area", picked: { shape, runs: runsOf(mask) } });
  };
}

function toggleAt(context: Context, cell: Cell, explained: Explained, point: Point): void {
  const [x, y] = pixelOf(point, imageOf(context.store.state, cell).size);
  const at = cellAt(explained.result.place, explained.result.shape, x, y);
  const rank = at && explained.step?.[at[0] * explained.result.shape[1] + at[1]];
  if (typeof rank !== "number" || rank === 65535 || !regionsOf(explained)) return;
  toggleRegion(context, rank);
}
