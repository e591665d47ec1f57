/** Ranking of the maps side by side by their verdicts, the strongest of a class, model and picture first. */

import { keyOf, type Cell } from "../../core/cell.ts";
import { costOf, markOf, ranked, unmeasured, verdictOf } from "../../core/evidence.ts";
import { formatImages } from "../../core/format.ts";
import { cellsOf, comparing, namesOf } from "../../core/grid.ts";
import { explainedOf } from "../../core/lookup.ts";
import { shownCell, type State } from "../../core/state.ts";
import { show } from "../ui/actions.ts";
import { button, h, setText, type Context } from "../ui/dom.ts";
import type { Measuring } from "./measuring.ts";

export interface RankingPanel {
  readonly element: HTMLElement;
  readonly draw: (state: State) => void;
}

export function rankingPanel(context: Context, measuring: Measuring): RankingPanel {
  const { store } = context;
  const rows = h("ol", { class: "slw-ranks" });
  const note = h("span", { class: "slw-muted slw-number" });
  const start = button(context, {}, "Measure all", () => measuring.start(cellsOf(store.state)));
  const title = h("div", { class: "slw-split" }, h("h3", {}, "Ranking by evidence"), start, note);
  const heads = h("div", { class: "slw-ranks-head slw-muted" }, "strongest first", h("span", {}, "verdict"), h("span", {}, "strength"));
  const element = h("section", { class: "slw-block slw-ranking", hidden: true }, title, heads, rows);
  return {
    element,
    draw(state) {
      const cells = cellsOf(state);
      const left = unmeasured(state, cells);
      element.hidden = !comparing(state) || cells.length < 2;
      if (element.hidden) return;
      start.hidden = state.link !== "live" || left.length === 0 || measuring.cell !== null;
      const cost = start.hidden ? null : costOf(state, left);
      setText(note, cost ? `About ${formatImages(cost[0] + cost[1] + cost[2])} evaluated` : measuring.cell ? `${cells.length - left.length} of ${cells.length}` : "");
      const focused = rows.querySelector<HTMLElement>(":focus")?.dataset["key"];
      rows.replaceChildren(...ranked(state, cells).map((cell) => row(context, state, cell)));
      if (focused) rows.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    },
  };
}

function row(context: Context, state: State, cell: Cell): HTMLElement {
  const key = keyOf(cell);
  const name = button(
    context,
    { class: "slw-rank", "data-key": key, "aria-current": key === keyOf(shownCell(state)) ? "true" : false },
    namesOf(state, cell).join(" · "),
    () => {
      show(context, cell);
      context.commit();
    },
  );
  const verdict = verdictOf(state, cell);
  const mark = markOf(state, cell);
  const words = mark?.words ?? (verdict === null ? "failed" : explainedOf(state, cell)?.stale ? "outdated" : "–");
  const sign = h("span", { class: "slw-mark", "aria-hidden": "true", "data-supported": mark ? mark.words : false }, mark?.sign ?? "");
  const strength = typeof verdict?.strength === "number" ? verdict.strength.toFixed(2).replace("-", "\u2212") : "–";
  return h("li", {}, name, h("span", { class: "slw-row" }, sign, words), h("span", { class: "slw-number" }, strength));
}
