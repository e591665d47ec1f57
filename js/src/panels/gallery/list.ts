/** The pictures of the gallery as a list box: only the tiles in sight exist. */

import { formatScore } from "../../core/format.ts";
import { ended } from "../../core/store.ts";
import { h, hasModifier, on, setAttribute, setText, type Context } from "../ui/dom.ts";
import { heightOf, inSight, layoutOf, movedBy, placeOf, revealing, type Layout } from "./layout.ts";
import type { Item, Shelf } from "./shelf.ts";

export interface List {
  readonly element: HTMLElement;
  /** List so many pictures, with one of them selected and in sight. */
  readonly show: (count: number, selected: number) => void;
  /** Draw the tiles in sight again. */
  readonly refresh: () => void;
  /** Whether maps are drawn on the pictures. */
  readonly mapped: (mapped: boolean) => void;
  readonly focus: () => void;
}

interface Callbacks {
  /** The image at a place of the list. */
  readonly imageAt: (at: number) => number;
  readonly open: (image: number) => void;
  /** Called with the images in sight. */
  readonly seen: (images: readonly number[]) => void;
}

export function createList({ id, signal }: Context, shelf: Shelf, { imageAt, open, seen }: Callbacks): List {
  const room = h("div", { class: "slw-gallery-room", role: "presentation" });
  const element = h("div", { class: "slw-gallery-list", role: "listbox", tabindex: 0, "aria-label": "Pictures" }, room);
  const tiles = createTiles(room, id);
  let layout: Layout = layoutOf(0, 0);
  let active = 0;
  let withMaps = false;

  const draw = (): void => {
    if (room.clientWidth === 0) return;
    layout = layoutOf(room.clientWidth, layout.count);
    room.style.height = `${heightOf(layout)}px`;
    const [first, end] = inSight(layout, element.scrollTop, element.clientHeight);
    tiles.keep(first, end);
    for (let at = first; at < end; at++) {
      const image = imageAt(at);
      tiles.at(at).draw(shelf.items.get(image), shelf.picture(image, withMaps), at, layout, at === active);
    }
    setAttribute(element, "aria-activedescendant", first <= active && active < end ? tiles.at(active).element.id : false);
    seen(Array.from({ length: end - first }, (_, i) => imageAt(first + i)));
  };
  const activate = (at: number): void => {
    active = at;
    element.scrollTop = revealing(layout, at, element.scrollTop, element.clientHeight);
    draw();
  };
  const enter = (at: number): void => {
    activate(at);
    open(imageAt(at));
  };
  const schedule = onScroll(element, signal, draw);
  on(element, "click", signal, (event) => {
    const at = tiles.placeOf(event.target as Node);
    if (at !== undefined) enter(at);
  });
  on(element, "keydown", signal, (event) => {
    if (hasModifier(event)) return;
    const next = movedBy(event.key, layout, active, element.clientHeight);
    if (next !== null) activate(next);
    else if ((event.key === "Enter" || event.key === " ") && layout.count > 0) enter(active);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return {
    element,
    show(count, selected) {
      layout = layoutOf(room.clientWidth, count);
      room.style.height = `${heightOf(layout)}px`;
      activate(Math.min(selected, Math.max(0, count - 1)));
    },
    refresh: schedule,
    mapped(mapped) {
      withMaps = mapped;
      schedule();
    },
    focus: () => element.focus({ preventScroll: true }),
  };
}

/** Call `draw` in the next frame after a scroll, another size, or a call of what is returned. */
function onScroll(element: HTMLElement, signal: AbortSignal, draw: () => void): () => void {
  let frame = 0;
  const schedule = (): void => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  };
  element.addEventListener("scroll", schedule, { signal, passive: true });
  const resized = new ResizeObserver(schedule);
  resized.observe(element);
  ended(signal, () => {
    resized.disconnect();
    cancelAnimationFrame(frame);
  });
  return schedule;
}

interface Tiles {
  /** The tile of a place, which is created if there is none. */
  readonly at: (at: number) => Tile;
  /** Remove the tiles of other places. */
  readonly keep: (first: number, end: number) => void;
  readonly placeOf: (node: Node) => number | undefined;
}

function createTiles(room: HTMLElement, id: Context["id"]): Tiles {
  const tiles = new Map<number, Tile>();
  return {
    at(at) {
      const tile = tiles.get(at) ?? createTile(id(`item-${at}`));
      if (!tiles.has(at)) room.append(tile.element);
      tiles.set(at, tile);
      return tile;
    },
    keep(first, end) {
      for (const [at, tile] of tiles) {
        if (at >= first && at < end) continue;
        tile.element.remove();
        tiles.delete(at);
      }
    },
    placeOf: (node) => [...tiles].find(([, { element }]) => element.contains(node))?.[0],
  };
}

interface Tile {
  readonly element: HTMLElement;
  readonly draw: (item: Item | undefined, picture: string, at: number, layout: Layout, active: boolean) => void;
}

function createTile(name: string): Tile {
  const image = h("img", { class: "slw-item-picture", alt: "", draggable: "false" });
  const failure = h("span", { class: "slw-item-error" });
  const label = h("span", { class: "slw-item-label" });
  const score = h("span", { class: "slw-muted slw-number" });
  const below = h("span", { class: "slw-item-below" });
  const frame = h("span", { class: "slw-item-frame" }, image, failure);
  const element = h("div", { class: "slw-item", role: "option", id: name }, frame, h("span", { class: "slw-item-line" }, label, score), below);
  return {
    element,
    draw(item, picture, at, layout, active) {
      const { left, top } = placeOf(layout, at);
      element.style.cssText = `transform: translate(${left}px, ${top}px); width: ${layout.width}px; height: ${layout.height}px`;
      for (const [key, value] of Object.entries({ "aria-posinset": at + 1, "aria-setsize": layout.count, "aria-selected": String(active) })) setAttribute(element, key, value);
      setAttribute(element, "data-right", item?.right == null ? false : String(item.right));
      image.hidden = !picture;
      if (picture && image.getAttribute("src") !== picture) image.src = picture;
      setText(failure, picture ? "" : (item?.error ?? ""));
      setText(label, item ? item.label || item.name : "");
      setText(score, item ? scoreOf(item) : "");
      setText(below, item ? belowOf(item) : "");
      setAttribute(element, "title", item ? described(item) : false);
      setAttribute(element, "aria-label", item ? described(item) : `Picture ${at + 1}`);
    },
  };
}

function scoreOf({ score, percent }: Item): string {
  if (score === null) return "";
  return formatScore(percent ? { probability: score } : { probability: NaN, value: score });
}

function belowOf({ label, name, truth, right }: Item): string {
  if (right !== null) return right ? `✓ ${name}` : `✕ true: ${truth}`;
  return label ? name : truth && `true: ${truth}`;
}

function described(item: Item): string {
  const { name, label, truth, right, error } = item;
  const verdict = right === null ? "" : right ? "right" : "wrong";
  return [name, label && `predicted ${label} ${scoreOf(item)}`.trim(), truth && `true class ${truth}`, verdict, error].filter(Boolean).join(", ");
}
