/**
 * Links the views of composed widgets in one page, without the kernel: pointer, zoom, mode and percentile, and the class by its label.
 * Each widget has its own copy of this module, so that they reach each other through events of the page.
 */

import type { Viewport, Point } from "../../core/geometry.ts";
import { classesOf, labelOf } from "../../core/lookup.ts";
import type { Settings } from "../../core/settings.ts";
import { shownCell, type State } from "../../core/state.ts";
import { h, type Context } from "../ui/dom.ts";

const CHANNEL = "slw-linked";
const LINKED = ["mode", "keep", "threshold"] as const satisfies readonly (keyof Settings)[];

interface News {
  readonly group: string;
  /** The view that it comes from. */
  readonly from: string;
  readonly look?: { readonly point: Point | null; readonly view: Viewport };
  readonly settings?: Partial<Settings>;
  /** The class that was chosen. */
  readonly row?: { readonly index: number; readonly label: string };
}

export function linkedPanel(context: Context): HTMLElement {
  const { store, glance, signal, watch, set, id } = context;
  const from = id("linked");
  let receiving = false;
  const send = (news: Omit<News, "group" | "from">): void => {
    const { group } = store.state.spec;
    if (group && !receiving) document.dispatchEvent(new CustomEvent<News>(CHANNEL, { detail: { group, from, ...news } }));
  };
  const receive = ({ group, from: sender, look, settings, row }: News): void => {
    if (group !== store.state.spec.group || sender === from) return;
    receiving = true;
    if (look) glance.send({ ...look, afar: true });
    if (settings) set(settings);
    const target = row && sameClass(store.state, row);
    if (target !== undefined && target !== store.state.shown.target) set({ target });
    receiving = false;
  };
  glance.subscribe(({ point, view }, before) => {
    if (point !== before.point || view !== before.view) send({ look: { point, view } });
  }, signal);
  store.subscribe((state, { shown: before }) => {
    const { shown } = state;
    const changed = LINKED.filter((name) => shown[name] !== before[name]);
    if (changed.length > 0) send({ settings: Object.fromEntries(changed.map((name) => [name, shown[name]])) });
    // a top class that has just become known was not chosen: Python decides whose counts
    if (shown.target !== before.target && before.target >= 0 && shown.target >= 0) send({ row: { index: shown.target, label: labelOf(state, shownCell(state)) } });
  }, signal);
  document.addEventListener(CHANNEL, (event) => receive((event as CustomEvent<News>).detail), { signal });
  const element = h("span", { class: "slw-muted", title: "Shares zoom, pointer, class and percentile" }, "Linked");
  watch(({ spec }) => [spec.group], ({ spec }) => {
    element.hidden = !spec.group;
  });
  return element;
}

/** A class of this widget's model with the same label; of several the one with the same index. Classes that are not listed are left to Python. */
function sameClass(state: State, { index, label }: { readonly index: number; readonly label: string }): number | undefined {
  const same = classesOf(state).filter((row) => row.label === label).map((row) => row.index);
  return same.includes(index) ? index : same[0];
}
