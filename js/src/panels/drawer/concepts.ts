/** The effect of concepts on the score, each in the band of random sets; regions that are brushed are concepts. */

import { conceptsKey, shared } from "../../core/answers.ts";
import { keyOf } from "../../core/cell.ts";
import { formatNumber } from "../../core/format.ts";
import { shownExplained } from "../../core/lookup.ts";
import { fits, keepPicked, runsOf } from "../../core/picked.ts";
import type { Concept, Concepts } from "../../core/result.ts";
import { shownCell, type State } from "../../core/state.ts";
import { button, h, on, setAttribute, setText, type Context } from "../ui/dom.ts";
import { layerField, mapFigure } from "./layermap.ts";
import { listBox } from "./listbox.ts";
import { createRunner, obstacle, runnerRow } from "./runner.ts";
import { selectionTools } from "./selection.ts";

const ABOUT = "Tests whether the score of the class rises or falls in the direction of concepts, by more than for random images.";
const NONE = "Select a region of the picture by regions, brush or box, and give it a name: crops of it are a concept.";

export function conceptsPanel(context: Context): HTMLElement {
  const { store, glance, watch } = context;
  const runner = createRunner(context, () => draw(store.state));
  const row = runnerRow(context, runner, "The concepts could not be tested", () => start());
  const sentence = h("p", { role: "status" });
  const list = listBox<Concepts>(context, "slw-channel-list", "Concepts", () => draw(store.state));
  const legend = h("p", { class: "slw-muted" });
  const picture = mapFigure(context, () => draw(store.state));
  const found = h("div", { class: "slw-channel-table", hidden: true }, h("div", { class: "slw-block" }, list.element, legend), picture.element);
  const notes = h("p", { class: "slw-muted" });

  const requested = (state: State): string => conceptsKey(glance.state.layer, state.shown.brushed);
  const start = (): void => {
    const { state } = store;
    const [cell, about, { layer }, { brushed }] = [shownCell(state), shownExplained(state), glance.state, state.shown];
    if (!about) return;
    const key = requested(state);
    runner.run(`${keyOf(cell)} ${key}`, "concepts", { ...cell, layer, brushed }, (concepts) => {
      if (concepts) store.send({ kind: "concepts", about, key, concepts });
    });
  };
  const fill = (concepts: Concepts): readonly HTMLElement[] => {
    const rows = rowsOf(concepts);
    list.element.replaceChildren(...rows);
    setText(legend, `Grey: 95 % of ${concepts.sets} random sets. * significant at ${concepts.alpha}, two-sided, corrected for ${concepts.concepts.length} ${concepts.concepts.length === 1 ? "test" : "tests"}.`);
    setText(notes, concepts.notes.join(" · "));
    return rows;
  };
  const draw = (state: State): void => {
    const [cell, key] = [shownCell(state), requested(state)];
    const answer = shared(state, cell, ({ concepts }) => concepts?.get(key));
    const hindrance = answer ? "" : obstacle(state, cell);
    const count = new Set([...(state.spec.concepts ?? []), ...state.shown.brushed.map(({ name }) => name)]).size;
    const offer = answer || hindrance || count === 0 ? "" : `Test ${count === 1 ? "the concept" : `${count} concepts`}`;
    row.draw(state, `${keyOf(cell)} ${key}`, offer, runner.cell ? `${Math.floor(runner.share * 100)} %` : "");
    setText(sentence, answer ? `${answer.about.stale ? "Outdated, the weights changed. " : ""}${summaryOf(answer.answer)}` : hindrance || (count === 0 ? NONE : ABOUT));
    setAttribute(sentence, "class", answer ? "slw-sentence" : "slw-muted");
    found.hidden = notes.hidden = !answer;
    if (!answer) return;
    const { answer: concepts } = answer;
    const rank = list.draw(concepts, fill);
    const chosen = concepts.concepts[rank]!;
    picture.draw(state, concepts.maps, rank, wordsOf(concepts, chosen), chosen.name);
  };
  watch((state, { layer }) => [state.spec, state.shown, state.explained, state.answers, state.pictures, state.link, layer], draw);
  const automatic = (state: State): string | undefined => shared(state, shownCell(state), ({ concepts }) => concepts?.get(conceptsKey("", state.shown.brushed)))?.answer.layer;
  const choices = h("div", { class: "slw-row slw-channel-choices" }, layerField(context, automatic), brushedNames(context));
  return h("div", { class: "slw-drawer-body" },
    h("section", { class: "slw-block slw-concepts" }, maker(context, () => start()), choices, sentence, ...row.parts, found, notes));
}

function summaryOf({ layer, label, concepts }: Concepts): string {
  const [supports, opposes] = [1, -1].map((sign) => concepts.filter(({ significant, sensitivity }) => significant && sensitivity * sign > 0).map(({ name }) => name)) as [string[], string[]];
  const parts = [supports.length > 0 && `${supports.join(", ")} support${supports.length === 1 ? "s" : ""} it`, opposes.length > 0 && `${opposes.join(", ")} oppose${opposes.length === 1 ? "s" : ""} it`].filter(Boolean);
  return `Layer ${layer} for ${label}: ${parts.join("; ") || "no concept matters more than random images"}.`;
}

function wordsOf({ maps, layer }: Concepts, concept: Concept): string {
  const { name, p, significant, accuracy } = concept;
  const where = maps ? "Map: red points in the concept’s direction, blue away from it." : `The layer ${layer} has no grid on the picture, so its concepts have no maps.`;
  return `${name}: ${scoreOf(concept)}; p ${p < 1e-4 ? "< 0.0001" : `= ${formatNumber(p)}`}, ${significant ? "significant" : "not significant"}. Accuracy of its classifiers ${Math.round(accuracy * 100)} %. ${where}`;
}

/** A sensitivity is never given without the band of random sets. */
function scoreOf({ sensitivity, low, high }: Concept): string {
  return `sensitivity ${signed(sensitivity)}, random sets ${signed(low)} to ${signed(high)}`;
}

function signed(value: number): string {
  return `${value > 0 ? "+" : ""}${value.toFixed(2).replace("-", "−")}`;
}

/** One bar a concept, over the band of random sets. */
function rowsOf({ concepts }: Concepts): HTMLElement[] {
  const most = Math.max(...concepts.flatMap(({ sensitivity, low, high }) => [sensitivity, low, high].map(Math.abs))) || 1;
  const place = (value: number): string => `${(50 * (1 + value / most)).toFixed(2)}%`;
  return concepts.map((concept) => {
    const { name, sensitivity, low, high, significant } = concept;
    const band = h("span", { class: "slw-concept-band" });
    const bar = h("span", { class: `slw-concept-bar ${significant ? (sensitivity < 0 ? "slw-concept-opposes" : "slw-concept-supports") : ""}` });
    for (const [element, from, to] of [[band, low, high], [bar, Math.min(0, sensitivity), Math.max(0, sensitivity)]] as const) {
      element.style.left = place(from);
      element.style.right = `calc(100% - ${place(to)})`;
    }
    return h("div", { class: "slw-channel slw-concept", role: "option", tabindex: -1, title: `${name}: ${scoreOf(concept)}` },
      h("span", { class: "slw-concept-name" }, name), h("span", { class: "slw-concept-track" }, band, bar),
      h("span", { class: "slw-number" }, `${signed(sensitivity)}${significant ? " *" : ""}`, h("span", { class: "slw-hidden" }, `, random sets ${signed(low)} to ${signed(high)}`)));
  });
}

/** The tools of the selection, a name, and the button that makes a concept of the selection. */
function maker(context: Context, test: () => void): HTMLElement {
  const { store, signal, choose, watch } = context;
  const name = h("input", { class: "slw-field slw-concept-field", maxlength: 60, placeholder: "Name of the concept", "aria-label": "Name of the concept" });
  const make = (): void => {
    const { state } = store;
    const [explained, { brushed, image_index: image }] = [shownExplained(state), state.shown];
    if (!explained || !fits(explained, state.shown.picked)) return;
    const kept = new Uint8Array(explained.values.length);
    if (!keepPicked(explained, state.shown.picked, kept)) return;
    choose({ brushed: [...brushed, { name: name.value.trim() || `concept ${brushed.length + 1}`, image, shape: explained.result.shape, runs: runsOf(kept) }] });
    name.value = "";
    test();
  };
  const add = button(context, {}, "Make a concept", make);
  on(name, "keydown", signal, (event) => {
    if (event.key === "Enter") make();
  });
  const element = h("div", { class: "slw-block slw-concept-maker" }, ...selectionTools(context), h("div", { class: "slw-row" }, name, add));
  watch((state) => [state.shown.picked, shownExplained(state), state.link], (state) => {
    const explained = shownExplained(state);
    add.disabled = !explained || explained.share < 1 || !fits(explained, state.shown.picked);
    setAttribute(add, "title", add.disabled ? "Select a region by regions, brush or box first" : "Crops of the selected region become a concept");
    element.hidden = state.link === "packed";
  });
  return element;
}

/** The concepts that were brushed, each with a button that removes it. */
function brushedNames(context: Context): HTMLElement {
  const { store, choose, watch } = context;
  const element = h("div", { class: "slw-row slw-concept-names", role: "group", "aria-label": "Brushed concepts" });
  watch((state) => [state.shown.brushed, state.link], (state) => {
    const names = [...new Set(state.shown.brushed.map(({ name }) => name))];
    const remove = (name: string): void => choose({ brushed: store.state.shown.brushed.filter((each) => each.name !== name) });
    element.replaceChildren(...names.map((name) => button(context, { "aria-label": `Remove ${name}`, title: "Remove this concept", disabled: state.link !== "live" }, `${name} ×`, () => remove(name))));
  });
  return element;
}
