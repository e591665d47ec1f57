/** The tools on the picture: a pointer, or the arrow keys with Enter, pick regions, brush, and draw rectangles. */

import { clamp, cellAt, pointAt, type Point } from "../../core/geometry.ts";
import { box, brush, fits, keepPicked, runsOf, toggled, type Spot } from "../../core/picked.ts";
import { explainedOf, imageOf, pixelOf, regionCount, regionsOf } from "../../core/select.ts";
import { keyOf, shownCell, type Cell, type Explained } from "../../core/state.ts";
import { hasModifier, on, setAttribute, type Context } from "../ui/dom.ts";
import { show } from "../ui/show.ts";

const KEY_STEP = 0.04;
const FINE_STEP = 0.005;
const ARROWS: Readonly<Record<string, Point>> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Goes before the gestures that look closer: while a tool is chosen, these are for the tool. */
export function followTools(context: Context, canvas: HTMLElement, cellOf: () => Cell): void {
  const { store, glance, signal, commit, watch } = context;
  let stroke: Stroke | null = null;

  const begin = (point: Point): Stroke | null => {
    const cell = cellOf();
    if (keyOf(cell) !== keyOf(shownCell(store.state))) show(context, cell);
    const explained = explainedOf(store.state, cell);
    if (!explained) return null;
    const { tool } = glance.state;
    if (tool === "regions") {
      toggleAt(context, cell, explained, point);
      return null;
    }
    return strokeOf(context, cell, explained, point);
  };
  const end = (): void => {
    stroke = null;
    commit();
  };
  const using = (): boolean => glance.state.tool !== "look";
  const pointOf = (event: PointerEvent): Point | null => pointAt(canvas.getBoundingClientRect(), glance.state.view, event.clientX, event.clientY);

  on(canvas, "pointerdown", signal, (event) => {
    if (!using() || event.button !== 0) return;
    event.stopImmediatePropagation();
    const point = pointOf(event);
    if (!point) return;
    canvas.setPointerCapture(event.pointerId);
    glance.send({ point });
    stroke = begin(point);
    stroke?.to(point);
  });
  on(canvas, "pointermove", signal, (event) => {
    if (!using() || !stroke) return;
    event.stopImmediatePropagation();
    const point = pointOf(event);
    if (!point) return;
    glance.send({ point });
    stroke.to(point);
  });
  on(canvas, ["pointerup", "pointercancel"], signal, () => using() && end());
  on(canvas, ["click", "dblclick"], signal, (event) => using() && event.stopImmediatePropagation());
  followKeys(context, canvas, {
    move: (point) => stroke?.to(point),
    press(point) {
      if (stroke) {
        end();
        return;
      }
      stroke = begin(point);
      stroke?.to(point);
      if (glance.state.tool !== "box") end();
    },
    end,
  });
  on(canvas, "blur", signal, () => stroke && end());
  watch((_, { tool }) => [tool], (_, { tool }) => setAttribute(canvas, "data-tool", tool === "look" ? false : tool));
}

interface Hand {
  readonly move: (point: Point) => void;
  readonly press: (point: Point) => void;
  readonly end: () => void;
}

/** Arrow keys move the cursor, with Shift finely; Enter is the pointer's button, Escape puts the tool away. */
function followKeys({ glance, signal }: Context, canvas: HTMLElement, hand: Hand): void {
  on(canvas, "keydown", signal, (event) => {
    if (glance.state.tool === "look" || hasModifier(event)) return;
    const way = ARROWS[event.key];
    const at = glance.state.point ?? ([0.5, 0.5] as const);
    if (way) {
      const step = event.shiftKey ? FINE_STEP : KEY_STEP;
      const within = (value: number): number => clamp(value, 0, 0.9999);
      const point = [within(at[0] + way[0] * step), within(at[1] + way[1] * step)] as const;
      glance.send({ point });
      hand.move(point);
    } else if (event.key === "Enter") {
      glance.send({ point: at });
      hand.press(at);
    } else if (event.key === "Escape") {
      hand.end();
      glance.send({ tool: "look" });
    } else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  });
}

interface Stroke {
  readonly to: (point: Point) => void;
}

function strokeOf({ store, set, glance }: Context, cell: Cell, explained: Explained, from: Point): Stroke {
  const { shape, place } = explained.result;
  const before = new Uint8Array(explained.values.length);
  const { picked } = store.state.shown;
  if (fits(explained, picked)) keepPicked(explained, picked, before);
  const { tool, radius, erases } = glance.state;
  const value = erases ? 0 : 1;
  const spot = ([u, v]: Point): Spot => {
    const [height, width] = imageOf(store.state, cell).size;
    return [((v * height - place[1]) / place[3]) * shape[0], ((u * width - place[0]) / place[2]) * shape[1]];
  };
  const first = spot(from);
  let last = first;
  return {
    to(point) {
      const now = spot(point);
      const mask = tool === "box" ? before.slice() : before;
      if (tool === "box") box(mask, shape, first, now, value);
      else brush(mask, shape, last, now, Math.max(radius * Math.max(...shape), 0.5), value);
      last = now;
      set({ mode: "area", picked: { shape, runs: runsOf(mask) } });
    },
  };
}

function toggleAt(context: Context, cell: Cell, explained: Explained, point: Point): void {
  const [x, y] = pixelOf(point, imageOf(context.store.state, cell).size);
  const at = cellAt(explained.result.place, explained.result.shape, x, y);
  const rank = at && explained.step?.[at[0] * explained.result.shape[1] + at[1]];
  if (typeof rank !== "number" || rank === 65535 || !regionsOf(explained)) return;
  toggleRegion(context, rank);
}

export function toggleRegion({ store: { state }, choose }: Context, rank: number): void {
  // from what is seen: the first regions, as long as none was picked
  const before = state.shown.picked.regions ?? Array.from({ length: regionCount(state) }, (_, i) => i);
  const regions = toggled(before, rank);
  choose({ mode: "area", picked: { regions } });
}
