/** The smallest part of the picture without which the answer changes, or that is enough for it: computed on request, then selected. */

import { changeKey, type ChangeKind } from "../../core/answers.ts";
import { keyOf } from "../../core/cell.ts";
import { valueText } from "../../core/evidence.ts";
import { formatImages } from "../../core/format.ts";
import { classesOf, labelOf, shownExplained } from "../../core/lookup.ts";
import type { Picked } from "../../core/picked.ts";
import type { Change } from "../../core/result.ts";
import { shownCell, type State } from "../../core/state.ts";
import { button, h, on, setAttribute, setText, type Context } from "../ui/dom.ts";
import { segments, type Choices } from "../ui/segments.ts";
import { figure, fillField } from "./parts.ts";
import { createRunner, obstacle, runnerRow } from "./runner.ts";

const KINDS: Choices<ChangeKind> = [
  ["remove", "Must go", "The smallest part without which the answer changes"],
  ["keep", "Is enough", "The smallest part that alone gives the answer"],
];
const EFFECTS: Readonly<Record<ChangeKind, string>> = { remove: "with this part replaced", keep: "with the rest replaced" };
const ABOUT: Readonly<Record<ChangeKind, readonly [any: string, to: string]>> = {
  remove: ["Searches the smallest set of segments without which the model's answer changes.", "Searches the smallest set of segments without which the model's answer is "],
  keep: ["Searches the smallest set of segments that alone gives the model's answer.", "Searches the smallest set of segments that alone gives the answer "],
};

export function changePanel(context: Context): HTMLElement {
  const { store, glance, watch, choose } = context;
  const runner = createRunner(context, () => draw(store.state));
  const row = runnerRow(context, runner, "The smallest change could not be computed", () => start());
  const sentence = h("p", { role: "status" });
  const figures = [figure("Whole picture", ""), figure("", "")] as const;
  const sets = h("div", { class: "slw-row slw-sets", role: "group", "aria-label": "Sets of segments" });
  const notes = h("p", { class: "slw-muted" });
  const found = h("div", { class: "slw-block", hidden: true }, h("div", { class: "slw-says" }, ...figures.map(({ element }) => element)), sets, notes);
  let drawn: Change | null = null;

  const select = (picked: Picked): void => choose({ mode: "area", picked });
  const start = (): void => {
    const { state } = store;
    const [cell, about, kind, { fill }] = [shownCell(state), shownExplained(state), glance.state.change, state.shown];
    if (!about) return;
    const to = goalOf(state);
    const key = changeKey(kind, fill, to);
    runner.run(`${keyOf(cell)} ${key}`, "change", { ...cell, kind, fill, to }, (change) => {
      if (!change) return;
      store.send({ kind: "change", about, key, change });
      if (change.sets[0] && shownExplained(store.state) === about) select(change.sets[0]);
    });
  };
  const draw = (state: State): void => {
    const [cell, kind] = [shownCell(state), glance.state.change];
    const to = goalOf(state);
    const key = changeKey(kind, state.shown.fill, to);
    const change = state.answers.get(keyOf(cell))?.changes?.get(key);
    const hindrance = obstacle(state, cell);
    const cost = change ? `${formatImages(change.images)} evaluated` : hindrance ? "" : "About 100 images evaluated";
    row.draw(state, `${keyOf(cell)} ${key}`, change || hindrance ? "" : "Find smallest change", runner.cell ? `${Math.floor(runner.share * 100)} %` : cost);
    setText(sentence, change ? `${shownExplained(state)?.stale ? "Outdated, the weights changed. " : ""}${change.sentence}` : hindrance || (to === null ? ABOUT[kind][0] : `${ABOUT[kind][1]}${labelOf(state, { ...cell, target: to })}.`));
    setAttribute(sentence, "class", change ? "slw-sentence" : "slw-muted");
    found.hidden = !change;
    if (change && change !== drawn) {
      drawn = change;
      setText(figures[0].number, valueText(change, change.before));
      setText(figures[1].number, valueText(change, change.after));
      setText(figures[1].words, `${change.label}, ${EFFECTS[kind]}`);
      sets.replaceChildren(...change.sets.map((set, i) => button(context, {}, change.sets.length > 1 ? `Set ${i + 1}` : "Show on the picture", () => select(set))));
      setText(notes, change.notes.join(" "));
    }
    const shown = JSON.stringify(state.shown.picked);
    for (const [i, set] of (change?.sets ?? []).entries()) setAttribute(sets.children[i]!, "aria-pressed", String(JSON.stringify(set) === shown));
  };
  watch((state, { change }) => [state.shown, state.explained, state.answers, state.predictions, state.link, change], draw);
  const kinds = segments(context, "Part of the picture", KINDS, (_, { change }) => change, (change) => glance.send({ change }));
  const block = h("section", { class: "slw-block slw-change" }, h("div", { class: "slw-row" }, kinds.element, goalField(context), fillField(context)), sentence, ...row.parts, found);
  return h("div", { class: "slw-drawer-body slw-evidence" }, block);
}

/** The class that the answer is to change to; null for any other. The answer cannot change to itself. */
function goalOf(state: State): number | null {
  const { change_to } = state.shown;
  return change_to < 0 || change_to === classesOf(state)[0]?.index ? null : change_to;
}

/** The classes that are listed above the picture, but for the answer; a value has none. */
function goalField({ signal, choose, watch }: Context): HTMLElement {
  const field = h("select", { class: "slw-field slw-goal" });
  const element = h("label", { class: "slw-row slw-muted" }, "Change to", field);
  on(field, "change", signal, () => choose({ change_to: Number(field.value) }));
  watch((state) => [classesOf(state), state.shown.change_to, state.shown], (state) => {
    const [answer, ...others] = classesOf(state);
    const to = goalOf(state);
    const known = to === null || others.some(({ index }) => index === to) ? [] : [{ index: to, label: labelOf(state, { ...shownCell(state), target: to }) }];
    element.hidden = answer?.value !== undefined;
    field.replaceChildren(h("option", { value: -1 }, "any other class"), ...[...others, ...known].map(({ index, label }) => h("option", { value: index }, label)));
    field.value = String(to ?? -1);
  });
  return element;
}
