/** The list of keyboard shortcuts. */

import { button, h, type Context } from "../ui/dom.ts";
import { isGuided } from "../ui/guide.ts";

const KEYS: readonly (readonly [string, string])[] = [
  ["Tab", "next control; arrow keys within a group"],
  ["Space, held", "the original picture"],
  ["← →, Home, End", "on the picture: region by region; in a grid from cell to cell"],
  ["+ − 0", "on the picture: zoom in, zoom out, fit"],
  ["Shift ← → ↑ ↓", "on the picture: move the view when zoomed in"],
  ["G S B D", "while comparing: grid, swipe, blink, difference"],
  ["Arrows, Enter, Esc", "with a tool: move, use, close it; Shift for small steps"],
  ["Page Up, Page Down", "on a slider: ten steps"],
  ["Ctrl Z, Ctrl Shift Z", "undo and redo: selections, regions, view and settings"],
  ["Ctrl K", "find a method, class, view or action"],
  ["?", "this list; Esc closes it"],
];

export function keysPanel(context: Context): HTMLElement {
  const rows = KEYS.flatMap(([keys, meaning]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, meaning)]);
  const guide = button(context, {}, "Show the guide", context.guide);
  context.watch((state) => [isGuided(state)], (state) => {
    guide.hidden = !isGuided(state);
  });
  return h("div", { class: "slw-drawer-body" }, h("dl", { class: "slw-keys" }, ...rows), h("div", {}, guide));
}
