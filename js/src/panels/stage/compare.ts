/** Comparison: on or off, and its layout (grid, swipe, blink, difference). */

import { keyOf } from "../../core/cell.ts";
import type { Glance } from "../../core/glance.ts";
import { cellsOf, comparing, firstGrid, namesOf, pairShown } from "../../core/grid.ts";
import { shownCell, type State } from "../../core/state.ts";
import { ended } from "../../core/store.ts";
import { show } from "../ui/actions.ts";
import { button, h, hasModifier, isTyping, on, setAttribute, setText, type Context } from "../ui/dom.ts";
import { segments, type Choices } from "../ui/segments.ts";

const LAYOUTS: Choices<Glance["layout"]> = [
  ["grid", "Grid", "All pictures side by side (g)"],
  ["swipe", "Swipe", "Two pictures with a line to drag (s)"],
  ["blink", "Blink", "Two pictures in turns (b)"],
  ["difference", "Difference", "One map minus another (d)"],
];
const KEYS: Readonly<Record<string, Glance["layout"]>> = { g: "grid", s: "swipe", b: "blink", d: "difference" };
const BEAT = 700;

export function compareButton(context: Context): HTMLElement {
  const { store, glance, watch, choose } = context;
  const title = "Show methods, classes, models or images side by side";
  const element = button(context, { class: "slw-button slw-compare", title }, "Compare", () => {
    const { state } = store;
    choose({ grid: comparing(state) ? {} : firstGrid(state) });
    glance.send({ layout: "grid" });
  });
  watch(
    (state) => [comparing(state)],
    (state) => setAttribute(element, "aria-pressed", String(comparing(state))),
  );
  return element;
}

export function comparePanel(context: Context, root: HTMLElement): HTMLElement {
  const { glance, signal, watch, store } = context;
  const lay = (layout: Glance["layout"]): void => glance.send({ layout, turned: false });
  const layouts = segments(context, "Arrangement", LAYOUTS, (_, { layout }) => layout, lay);
  const bar = h("div", { class: "slw-bench", hidden: true }, layouts.element, pairPanel(context));
  watch(
    (state) => [comparing(state), cellsOf(state).length],
    (state) => {
      bar.hidden = !comparing(state);
      setAttribute(root, "data-comparing", comparing(state));
      layouts.disable(cellsOf(state).length < 2);
    },
  );
  on(root, "keydown", signal, (event) => {
    const layout = KEYS[event.key];
    if (!layout || isTyping(event) || hasModifier(event) || !comparing(store.state)) return;
    event.preventDefault();
    lay(layout);
  });
  blink(context);
  return bar;
}

/** Choose the two cells of a swipe, a blink or a difference. */
function pairPanel(context: Context): HTMLElement {
  const { store, glance, signal, commit, watch } = context;
  const first = h("select", { class: "slw-field", "aria-label": "First" });
  const second = h("select", { class: "slw-field", "aria-label": "Second" });
  const between = h("span", { class: "slw-muted", "aria-hidden": "true" });
  const element = h("div", { class: "slw-two", hidden: true }, first, between, second);
  const cellOf = (select: HTMLSelectElement) => cellsOf(store.state).find((cell) => keyOf(cell) === select.value);
  on(first, "change", signal, () => {
    const cell = cellOf(first);
    // choosing the second as the first swaps them
    if (first.value === second.value) glance.send({ other: keyOf(shownCell(store.state)) });
    if (cell) show(context, cell);
    commit();
  });
  on(second, "change", signal, () => glance.send({ other: second.value }));
  watch(
    (state, { layout, other }) => [layout, other, cellsOf(state).map(keyOf).join(" "), keyOf(shownCell(state)), state.predictions],
    (state, { layout, other }) => {
      const pair = pairShown(state, other);
      element.hidden = layout === "grid" || !pair;
      if (!pair) return;
      setText(between, layout === "difference" ? "−" : "↔");
      const options = cellsOf(state);
      fill(first, state, options, keyOf(pair[0]));
      fill(second, state, options.filter((cell) => keyOf(cell) !== keyOf(pair[0])), keyOf(pair[1]));
    },
  );
  return element;
}

function fill(select: HTMLSelectElement, state: State, cells: ReturnType<typeof cellsOf>, value: string): void {
  const wanted = cells.map((cell) => [keyOf(cell), namesOf(state, cell).join(" · ")] as const);
  const options = [...select.options];
  if (wanted.length !== options.length || wanted.some(([key], i) => options[i]?.value !== key)) {
    select.replaceChildren(...wanted.map(([key, title]) => h("option", { value: key }, title)));
  } else for (const [i, [, title]] of wanted.entries()) setText(options[i]!, title);
  select.value = value;
}

/** Alternates between two pictures; under reduced motion only when clicked or by a key. */
function blink({ glance, signal, watch }: Context): void {
  let timer: ReturnType<typeof setInterval> | undefined;
  watch(
    (state, { layout }) => [layout === "blink" && comparing(state)],
    (state, { layout }) => {
      clearInterval(timer);
      if (layout !== "blink" || !comparing(state) || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
      timer = setInterval(() => {
        if (document.visibilityState === "visible") glance.send({ turned: !glance.state.turned });
      }, BEAT);
    },
  );
  ended(signal, () => clearInterval(timer));
}
