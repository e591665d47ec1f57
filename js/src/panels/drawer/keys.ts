/** Which key does what, opened by "?". */

import { h } from "../ui/dom.ts";

const KEYS: readonly (readonly [string, string])[] = [
  ["Tab", "from one control to the next; within a group the arrow keys"],
  ["Space, held", "the plain picture"],
  ["← →, Home, End", "on the picture: region by region; in a grid from cell to cell"],
  ["+ − 0", "on the picture: nearer, further, the whole"],
  ["Shift ← → ↑ ↓", "on the picture: over it, where it is seen from near"],
  ["G S B", "while comparing: grid, swipe, blink"],
  ["Arrows, Enter, Esc", "with a tool: move it, use it, put it away; Shift for small steps"],
  ["Page Up, Page Down", "on a slider: ten steps"],
  ["?", "this list; Esc closes what is open"],
];

export function keysPanel(): HTMLElement {
  const rows = KEYS.flatMap(([keys, meaning]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, meaning)]);
  return h("div", { class: "slw-drawer-body" }, h("dl", { class: "slw-keys" }, ...rows));
}
