/** What the command palette offers: methods, classes, views, tabs and actions. */

import { choosing, comparing, firstGrid } from "../../core/grid.ts";
import { formatScore } from "../../core/format.ts";
import { WHOLE } from "../../core/geometry.ts";
import { classesOf } from "../../core/lookup.ts";
import type { State } from "../../core/state.ts";
import type { ClassRow } from "../../core/result.ts";
import { chooseClass } from "../ui/actions.ts";
import type { Context } from "../ui/dom.ts";
import { isGuided } from "../ui/guide.ts";
import { isOffered, openTab, TABS } from "../ui/tabs.ts";
import type { Option } from "./combobox.ts";

export interface Entry extends Option {
  /** Other words by which it is found. */
  readonly also: string;
}

const LAYOUTS = [["grid", "Grid"], ["swipe", "Swipe"], ["blink", "Blink"], ["difference", "Difference"]] as const;

/** The entries that match what is typed, each group together; every word must be found. */
export function matching(entries: readonly Entry[], typed: string): readonly Entry[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  return entries.filter(({ group, name, also }) => {
    const text = `${name} ${also} ${group}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

export function classOption(context: Context, row: ClassRow): Option {
  return { name: row.label, note: row.probability < 0.005 ? "" : formatScore(row), group: "", run: () => chooseClass(context, row) };
}

/** Everything that can be done now. */
export function entriesOf(context: Context, state: State): readonly Entry[] {
  return [...actions(context, state), ...views(context, state), ...tabs(context, state), ...methods(context, state), ...classes(context, state)];
}

function methods({ store, choose }: Context, { spec, shown }: State): readonly Entry[] {
  return spec.methods.filter(({ lacks }) => !lacks[shown.model_index]).map(({ id, name, family }) => ({
    group: "Methods", name, note: family ?? "", also: id, run: () => choose(choosing(store.state, "methods", id)),
  }));
}

function classes(context: Context, state: State): readonly Entry[] {
  const rows = new Map<number, ClassRow>([...classesOf(state), ...state.found].map((row) => [row.index, row]));
  return [...rows.values()].map((row) => ({ ...classOption(context, row), group: "Classes", also: `class ${row.index}` }));
}

function views({ glance, choose }: Context, state: State): readonly Entry[] {
  const entry = (name: string, also: string, note: string, run: () => void): Entry => ({ group: "Views", name, note, also, run });
  const layouts = LAYOUTS.map(([layout, name]) => entry(name, "layout comparison", name[0]!, () => glance.send({ layout, turned: false })));
  return [
    entry("Heat map", "colours overlay", "", () => choose({ mode: "heat" })),
    entry("Top pixels", "area mask", "", () => choose({ mode: "area" })),
    entry(state.shown.contours ? "Hide contours" : "Show contours", "lines", "", () => choose({ contours: !state.shown.contours })),
    entry("Fit the picture", "zoom reset whole", "0", () => glance.send({ view: WHOLE })),
    ...(comparing(state) ? layouts : []),
  ];
}

function tabs(context: Context, state: State): readonly Entry[] {
  return TABS.filter(([tab]) => isOffered(state, tab)).map(([tab, name, title]) => ({ group: "Tabs", name, note: tab === "keys" ? "?" : "", also: title, run: () => openTab(context, tab) }));
}

function actions({ store, glance, choose, present, guide }: Context, state: State): readonly Entry[] {
  const entry = (name: string, also: string, note: string, run: () => void): Entry => ({ group: "Actions", name, note, also, run });
  return [
    ...(comparing(state)
      ? [entry("Stop comparing", "single picture", "", () => choose({ grid: {} }))]
      : [entry("Compare", "side by side grid", "", () => { choose({ grid: firstGrid(state) }); glance.send({ layout: "grid" }); })]),
    ...(state.spec.gallery ? [entry("All pictures", "gallery back", "Esc", () => choose({ gallery: true }))] : []),
    entry("Undo", "back", "Ctrl Z", () => store.send({ kind: "undo" })),
    entry("Redo", "forward", "Ctrl Shift Z", () => store.send({ kind: "redo" })),
    entry("Reset the view", "default settings", "", () => store.send({ kind: "reset" })),
    ...(isGuided(state) ? [entry("Guide", "help tour first steps", "", guide)] : []),
    ...(glance.state.presentable ? [entry("Full screen", "presentation", "", present)] : []),
  ];
}
