/** Buttons for the command palette and the full screen. */

import { button, h, setAttribute, shape, type Context } from "./dom.ts";

const MAGNIFIER = "M10.5 10.5 14 14M6.8 2.2a4.6 4.6 0 1 0 0 9.2 4.6 4.6 0 0 0 0-9.2";
const CORNERS = "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10";

export function toolsPanel(context: Context, root: HTMLElement, openPalette: () => void): HTMLElement {
  const palette = iconButton(context, "Commands", "Find a method, class, view or action (Ctrl K)", MAGNIFIER, openPalette);
  return h("div", { class: "slw-tools" }, palette, fullScreenButton(context, root));
}

/** Hidden in hosts that allow no full screen, such as frames without this permission. */
function fullScreenButton(context: Context, root: HTMLElement): HTMLElement {
  const { signal, watch, present } = context;
  const element = iconButton(context, "Full screen", "Show the widget on the full screen; Esc ends it", CORNERS, present);
  const mark = (): void => setAttribute(element, "aria-pressed", String(root.matches(":fullscreen")));
  root.addEventListener("fullscreenchange", mark, { signal });
  mark();
  watch((_, { presentable }) => [presentable], (_, { presentable }) => {
    element.hidden = !presentable;
  });
  return element;
}

function iconButton(context: Context, name: string, title: string, path: string, run: () => void): HTMLButtonElement {
  const element = button(context, { class: "slw-button slw-icon", "aria-label": name, title }, "", run);
  element.append(shape("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, shape("path", { d: path })));
  return element;
}
