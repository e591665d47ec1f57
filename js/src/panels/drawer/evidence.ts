/** Evidence: whether the model supports the shown map, measured on request, and the ranking of compared maps. */

import { keyOf, type Cell } from "../../core/cell.ts";
import { costOf, costText, markOf, measureText, unmeasured, verdictOf } from "../../core/evidence.ts";
import { nameOf, shownExplained } from "../../core/lookup.ts";
import type { Measure, Verdict } from "../../core/result.ts";
import { shownCell, type State } from "../../core/state.ts";
import { h, setAttribute, setText, type Context } from "../ui/dom.ts";
import { createMeasuring } from "./measuring.ts";
import { rankingPanel } from "./ranking.ts";
import { removalPlot } from "./removal.ts";
import { obstacle, runnerRow, type Runner } from "./runner.ts";

export function evidencePanel(context: Context): HTMLElement {
  const { store, watch } = context;
  const measuring = createMeasuring(context, () => draw(store.state));
  const row = runnerRow(context, measuring.runner, "The evidence could not be measured", () => measuring.start([shownCell(store.state)]));
  const mark = h("span", { class: "slw-mark", "aria-hidden": "true" });
  const sentence = h("span", { role: "status" });
  const plots = [removalPlot(context), removalPlot(context)] as const;
  const others = h("dl", { class: "slw-measures" });
  const measures = h("section", { class: "slw-block slw-others-measured", hidden: true }, h("h3", {}, "Other measures"), others);
  const notes = h("p", { class: "slw-muted" });
  const ranking = rankingPanel(context, measuring);
  let drawn: Verdict | null = null;

  const draw = (state: State): void => {
    const cell = shownCell(state);
    const verdict = verdictOf(state, cell) ?? null;
    row.draw(state, keyOf(cell), unmeasured(state, [cell]).length > 0 ? "Measure evidence" : "", noteText(state, measuring.runner, verdict));
    const sign = markOf(state, cell);
    mark.hidden = !sign;
    setText(mark, sign?.sign ?? "");
    setAttribute(mark, "data-supported", sign ? sign.words : false);
    setText(sentence, verdict ? `${shownExplained(state)?.stale ? "Outdated, the weights changed. " : ""}${verdict.sentence}` : introduction(state, cell));
    setAttribute(sentence, "class", verdict ? "slw-sentence" : "slw-muted");
    ranking.draw(state);
    if (verdict === drawn) return;
    drawn = verdict;
    const deciding = verdict?.measures.filter(({ curves }) => curves.length > 0) ?? [];
    for (const [i, plot] of plots.entries()) plot.draw(verdict, deciding[i]);
    const rest = verdict?.measures.filter((measure) => !deciding.slice(0, plots.length).includes(measure)) ?? [];
    measures.hidden = rest.length === 0;
    others.replaceChildren(...rest.flatMap((measure) => measureRow(verdict!, measure)));
    setText(notes, verdict?.notes.join(" ") ?? "");
    notes.hidden = !notes.textContent;
  };
  watch((state) => [state.shown, state.explained, state.answers, state.link, state.spec, state.predictions], draw);
  const head = h("section", { class: "slw-block slw-verdict" }, h("p", { class: "slw-says-so" }, mark, sentence), ...row.parts);
  const curves = h("div", { class: "slw-removals" }, ...plots.map(({ element }) => element));
  return h("div", { class: "slw-drawer-body slw-evidence" }, head, curves, measures, notes, ranking.element);
}

/** The progress, or the cost: before a measurement that of all of it, afterwards what was evaluated. */
function noteText(state: State, { cell: running, share }: Runner, verdict: Verdict | null): string {
  const cell = shownCell(state);
  if (running) {
    const name = keyOf(running) === keyOf(cell) ? "" : `${nameOf(state, running)}: `;
    return `${name}${share < 1 ? `${Math.floor(share * 100)} %` : "running the method again"}`;
  }
  if (verdict?.finished) return costText(verdict.images);
  const cost = unmeasured(state, [cell]).length > 0 ? costOf(state, [cell]) : null;
  return cost && state.link === "live" ? `About ${costText(cost)}` : "";
}

/** What a measurement does, or why there is none. */
function introduction(state: State, cell: Cell): string {
  if (verdictOf(state, cell) === null) return "";
  return obstacle(state, cell) || "Removes the most and the least salient pixels, and compares the effect on the model with that of random maps.";
}

function measureRow(verdict: Verdict, measure: Measure): readonly HTMLElement[] {
  const { title, advice, value } = measure;
  if (value === null) return [h("dt", {}, title), h("dd", { class: "slw-muted slw-unmeasured" }, measureText(verdict, measure))];
  return [h("dt", {}, title), h("dd", { class: "slw-number" }, measureText(verdict, measure)), h("dd", { class: "slw-muted" }, advice)];
}
