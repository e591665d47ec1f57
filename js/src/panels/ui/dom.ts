/** Helpers for the DOM. Text becomes text nodes only: nothing here parses HTML. */

import { clamp } from "../../core/geometry.ts";
import type { Glance } from "../../core/glance.ts";
import type { Settings } from "../../core/settings.ts";
import type { State } from "../../core/state.ts";
import type { Store } from "../../core/store.ts";
import type { StateStore } from "../../core/update.ts";
import type { Commands } from "../../kernel/commands.ts";

export interface Context {
  readonly store: StateStore;
  readonly glance: Store<Glance, Partial<Glance>>;
  readonly commands: Commands;
  readonly signal: AbortSignal;
  /** Change settings while a gesture lasts; `commit` ends it and sends them to Python. */
  readonly set: (settings: Partial<Settings>) => void;
  readonly commit: () => void;
  /** Change settings at one stroke. */
  readonly choose: (settings: Partial<Settings>) => void;
  /** Run `draw` in the next frame after any of what `select` gives has changed. */
  readonly watch: (
    select: (state: State, glance: Glance) => readonly unknown[],
    draw: (state: State, glance: Glance) => void,
  ) => void;
  /** An element id that is unique in the page. */
  readonly id: (name: string) => string;
  /** Show the widget on the whole screen, or no longer. */
  readonly present: () => void;
  /** Open the guide, and move the focus to it. */
  readonly guide: () => void;
  /** Load a panel that the first module lacks. */
  readonly load: (name: LazyPanel) => Promise<Panel>;
}

export type Panel = (context: Context) => HTMLElement;

/** The panels of the second module, see more.ts. */
export type LazyPanel = Exclude<Glance["drawer"], ""> | Exclude<Glance["popup"], ""> | "difference" | "details" | "gallery" | "guide" | "linked";

type Attributes = Readonly<Record<string, string | number | boolean>>;

/** An element with attributes and children; `false` leaves an attribute out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  if (FOCUSABLE.has(tag) || "tabindex" in attributes) keepKeys(element);
  if (tag === "button") element.setAttribute("type", "button");
  element.append(...children);
  return element;
}

/** A button that does something. */
export function button({ signal }: Pick<Context, "signal">, attributes: Attributes, text: string, run: () => void): HTMLButtonElement {
  const element = h("button", { class: "slw-button", ...attributes }, text);
  on(element, "click", signal, run);
  return element;
}

/** An element of a drawing. */
export function shape(name: string, attributes: Attributes, ...children: readonly SVGElement[]): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) setAttribute(element, key, value);
  element.append(...children);
  return element;
}

/** Bars side by side, from heights between 0 and 1, at least as high as can be seen; none where a height is negative. */
export function barsPath(heights: readonly number[], top: number, least: number): string {
  return heights.map((height, i) => {
    const rise = Math.max(height * top, least).toFixed(2);
    return height < 0 ? "" : `M${i} ${top}v-${rise}h.8v${rise}z`;
  }).join("");
}

const FOCUSABLE: ReadonlySet<string> = new Set(["button", "input", "select", "summary"]);

/** Notebook shortcuts override a control's own keys unless the control itself has this attribute (an ancestor does not count). */
function keepKeys(element: HTMLElement): void {
  element.setAttribute("data-lm-suppress-shortcuts", "true");
}

export function setAttribute(element: Element, name: string, value: string | number | boolean): void {
  if (value === false) element.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** Written only where it differs, so that screen readers and layout notice real changes only. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Listen until `signal` aborts. */
export function on<K extends keyof HTMLElementEventMap>(
  element: HTMLElement,
  names: K | readonly K[],
  signal: AbortSignal,
  listener: (event: HTMLElementEventMap[K]) => void,
): void {
  for (const name of typeof names === "string" ? [names] : names) {
    element.addEventListener(name, listener as EventListener, { signal });
  }
}

/** Dragging along an element: how far, from 0 at its left end to 1 at its right, and that it is over. */
export function dragged(element: HTMLElement, signal: AbortSignal, along: (share: number) => void, done: () => void): void {
  const follow = (event: PointerEvent): void => {
    const box = element.getBoundingClientRect();
    along(clamp((event.clientX - box.x) / box.width, 0, 1));
  };
  on(element, "pointerdown", signal, (event) => {
    element.setPointerCapture(event.pointerId);
    follow(event);
  });
  on(element, "pointermove", signal, (event) => {
    if (element.hasPointerCapture(event.pointerId)) follow(event);
  });
  on(element, ["pointerup", "pointercancel"], signal, done);
}

const STEPS: Readonly<Record<string, number>> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/** The index that a key moves to in a row of `count` items; null for other keys. */
export function keyTarget(key: string, at: number, count: number): number | null {
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  const step = STEPS[key];
  return step === undefined ? null : clamp(at + step, 0, count - 1);
}

export interface Roving {
  /** Set the items, and the one that Tab leads to. */
  refresh(items: readonly HTMLElement[], current: number): void;
}

/** One tab stop for a group of items; the arrow keys, Home and End go from one to the next. */
export function roving(group: HTMLElement, signal: AbortSignal, onMove?: (index: number) => void): Roving {
  let items: readonly HTMLElement[] = [];
  const stopAt = (index: number): void => {
    for (const [i, item] of items.entries()) setAttribute(item, "tabindex", i === index ? 0 : -1);
  };
  on(group, "keydown", signal, (event) => {
    const at = items.indexOf(event.target as HTMLElement);
    const next = at < 0 || hasModifier(event) ? null : keyTarget(event.key, at, items.length);
    if (next === null) return;
    event.preventDefault();
    items[next]?.focus();
    onMove?.(next);
  });
  on(group, "focusin", signal, (event) => {
    const at = items.indexOf(event.target as HTMLElement);
    if (at >= 0) stopAt(at);
  });
  return {
    refresh(next, current) {
      items = next;
      const focused = items.findIndex((item) => item.matches(":focus"));
      stopAt(focused >= 0 ? focused : Math.max(current, 0));
    },
  };
}

/** Whether a text could be put into the clipboard: many pages may not, and those without a secure address have none. */
export async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Whether an element or a descendant has the focus; some hosts put widgets into a shadow tree, where `activeElement` does not look. */
export function hasFocus(element: Element): boolean {
  return element.matches(":focus") || element.querySelector(":focus") !== null;
}

/** Whether a key is text for the control that has the focus. */
export function isTyping(event: KeyboardEvent): boolean {
  return (event.target as HTMLElement).matches("input:not([type=checkbox], [type=range]), select, textarea");
}

export function hasModifier(event: KeyboardEvent): boolean {
  return event.ctrlKey || event.metaKey || event.altKey;
}

/** Scrolls a list, and nothing else on the page, until an item is in sight. */
export function reveal(list: HTMLElement, item: HTMLElement): void {
  const room = list.getBoundingClientRect();
  const box = item.getBoundingClientRect();
  // with half of its neighbour, so that one sees that there is more; without, where there is room for one only
  const more = Math.min(box.height, room.height - box.height) / 2;
  if (box.top < room.top + more) list.scrollTop -= room.top + more - box.top;
  else if (box.bottom > room.bottom - more) list.scrollTop += box.bottom - room.bottom + more;
  if (box.left < room.left) list.scrollLeft -= room.left - box.left;
  else if (box.right > room.right) list.scrollLeft += box.right - room.right;
}
