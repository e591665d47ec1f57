/** Faithfulness ranking of the maps side by side: insertion and deletion of each, the best of a class and picture first. */

import { curveOf } from "../../core/answers.ts";
import { keyOf, pairOf, type Cell } from "../../core/cell.ts";
import { formatNumber } from "../../core/format.ts";
import { cellsOf, comparing, gridKey, namesOf } from "../../core/grid.ts";
import { explainedOf } from "../../core/lookup.ts";
import type { Curve } from "../../core/result.ts";
import { shownCell, type State } from "../../core/state.ts";
import { ended } from "../../core/store.ts";
import type { Request } from "../../kernel/commands.ts";
import { show } from "../ui/actions.ts";
import { button, h, setText, type Context } from "../ui/dom.ts";

/** A cell with its curves: `null` where they failed, `undefined` where they were not computed. */
type Ranked = readonly [Cell, Curve | null | undefined];

export function rankingPanel(context: Context): HTMLElement {
  const { store, watch } = context;
  const rows = h("ol", { class: "slw-ranks" });
  const note = h("span", { class: "slw-muted slw-number", role: "status" });
  const queue = createQueue(context, () => draw(store.state));
  const start = button(context, { title: "Compute the insertion and deletion curves of each map" }, "", queue.toggle);
  const draw = (state: State): void => {
    const cells = cellsOf(state);
    const left = missing(state).length;
    element.hidden = !comparing(state) || cells.length < 2;
    start.hidden = state.link !== "live" || left === 0;
    setText(start, queue.running ? "Stop" : "Compute all");
    setText(note, queue.running ? `${cells.length - left} of ${cells.length}` : "");
    const focused = rows.querySelector<HTMLElement>(":focus")?.dataset["key"];
    rows.replaceChildren(...ranked(cells.map((cell) => [cell, curveOf(state, cell)] as const)).map((one) => row(context, state, one)));
    if (focused) rows.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  };
  const title = h("div", { class: "slw-split" }, h("h3", {}, "Faithfulness ranking"), note, start);
  const heads = h("div", { class: "slw-ranks-head slw-muted" }, "best first", h("span", {}, "insertion"), h("span", {}, "deletion"));
  const element = h("section", { class: "slw-block slw-ranking", hidden: true }, title, heads, rows);
  watch((state) => [gridKey(state), state.explained, state.answers, state.shown, state.link, state.spec, state.predictions], (state) => {
    if (!state.shown.live || !comparing(state)) queue.stop();
    draw(state);
  });
  return element;
}

function row(context: Context, state: State, [cell, found]: Ranked): HTMLElement {
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
  const text = (area: number | undefined): string => (area === undefined ? (found === null ? "failed" : "–") : found?.ofValues ? formatNumber(area) : area.toFixed(2));
  return h("li", {}, name, h("span", { class: "slw-number slw-only" }, text(found?.insertionAuc)), h("span", { class: "slw-number slw-without" }, text(found?.deletionAuc)));
}

interface Queue {
  readonly running: boolean;
  /** Request all that are missing, one after another; or stop. */
  readonly toggle: () => void;
  readonly stop: () => void;
}

function createQueue({ store, commands, signal }: Context, changed: () => void): Queue {
  let running: Request<Curve> | null = null;
  const stop = (): void => {
    running?.cancel();
    running = null;
  };
  const next = (): void => {
    running = null;
    if (signal.aborted) return;
    const { state } = store;
    const [cell] = missing(state);
    const about = cell && explainedOf(state, cell);
    if (about) {
      const { fill } = state.shown;
      const mine = running = commands.request("curve", { ...cell, fill });
      const keep = (curve: Curve | null): void => {
        store.send({ kind: "curve", about, fill, curve });
        if (mine === running) next();
      };
      mine.answer.then(keep, () => keep(null));
    }
    changed();
  };
  ended(signal, stop);
  return {
    get running() {
      return running !== null;
    },
    stop,
    toggle() {
      if (running) {
        stop();
        changed();
      } else next();
    },
  };
}

/** The cells with a map whose curves were not computed. */
function missing(state: State): readonly Cell[] {
  return cellsOf(state).filter((cell) => (explainedOf(state, cell)?.share ?? 0) >= 1 && curveOf(state, cell) === undefined);
}

/** Areas compare maps of one class, model and picture: these stay together, in the order of the grid. */
export function ranked(cells: readonly Ranked[]): readonly Ranked[] {
  const group = ({ target, model, image }: Cell): string => `${target}:${pairOf(model, image)}`;
  const order = [...new Set(cells.map(([cell]) => group(cell)))];
  // what is not known comes last
  const gain = (found: Ranked[1]): number => (found ? found.insertionAuc - found.deletionAuc : -Number.MAX_VALUE);
  return [...cells].sort(([a, one], [b, other]) => order.indexOf(group(a)) - order.indexOf(group(b)) || gain(other) - gain(one));
}
