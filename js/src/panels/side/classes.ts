/** The class to explain: a row of chips. */

import { formatScore } from "../../core/format.ts";
import { classesOf, labelOf } from "../../core/lookup.ts";
import type { ClassRow } from "../../core/result.ts";
import { shownCell } from "../../core/state.ts";
import { chooseClass } from "../ui/actions.ts";
import { compareBox } from "../ui/compare-box.ts";
import { h, on, reveal, roving, setAttribute, type Context } from "../ui/dom.ts";
import { searchButton } from "./search.ts";

export function classesPanel(context: Context): HTMLElement {
  const { signal, watch } = context;
  const chips = h("div", { class: "slw-chips", role: "radiogroup", "aria-label": "Class to explain" });
  const rove = roving(chips, signal);
  const boxes = new Map<number, HTMLElement>();
  const boxOf = ({ index, label }: ClassRow): HTMLElement => {
    const box = boxes.get(index) ?? compareBox(context, "targets", index, label);
    boxes.set(index, box);
    return box;
  };
  let shown: { readonly index: number; readonly chip: HTMLElement }[] = [];

  watch(
    (state) => [classesOf(state), state.shown.target],
    (state) => {
      const { target } = state.shown;
      const classes = classesOf(state);
      // before the prediction only the requested class is known, if there is one
      const known = target < 0 || classes.some(({ index }) => index === target);
      const bound: ClassRow = { index: target, label: labelOf(state, shownCell(state)), probability: NaN };
      const rows = known ? classes : [...classes, bound];
      // the class that has the focus keeps it, though its chip is replaced
      const focused = shown.find(({ chip }) => chip.matches(":focus"))?.index;
      shown = rows.map((row) => ({ index: row.index, chip: chip(context, row) }));
      chips.replaceChildren(...rows.map((row, i) => h("span", { class: "slw-slot" }, boxOf(row), shown[i]!.chip)));
      const current = shown.findIndex(({ index }) => index === target);
      for (const [i, one] of shown.entries()) setAttribute(one.chip, "aria-checked", String(i === current));
      const items = shown.map((one) => one.chip);
      rove.refresh(items, current);
      const chosen = items[current];
      if (focused !== undefined) (shown.find(({ index }) => index === focused)?.chip ?? chosen)?.focus({ preventScroll: true });
      if (!chosen) return;
      reveal(chips, chosen);
    },
  );
  return h("div", { class: "slw-classes" }, h("span", { class: "slw-muted slw-lead" }, "Explain"), chips, searchButton(context));
}

function chip(context: Context, row: ClassRow): HTMLElement {
  const bar = h("span", { class: "slw-bar" });
  bar.style.setProperty("--slw-share", String(row.probability || 0));
  const element = h(
    "button",
    { class: "slw-chip", role: "radio", title: row.label },
    h("span", { class: "slw-chip-label" }, row.label),
    h("span", { class: "slw-number" }, formatScore(row)),
    bar,
  );
  on(element, "click", context.signal, () => chooseClass(context, row));
  return element;
}
