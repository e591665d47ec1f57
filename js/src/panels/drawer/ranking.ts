/** Which of the maps side by side the model bears out: insertion and deletion of each, the best of a class and picture first. */

import { curve, type Curve } from "../../kernel/answers.ts";
import type { Request } from "../../kernel/commands.ts";
import { formatNumber } from "../../core/format.ts";
import { cellsOf, comparing, explainedOf, gridKey, namesOf } from "../../core/select.ts";
import { keyOf, pairOf, shownCell, type Cell, type Explained, type State } from "../../core/state.ts";
import { ended } from "../../core/store.ts";
import { storedCurve } from "./curve.ts";
import { button, h, setText, type Context } from "../ui/dom.ts";
import { show } from "../ui/show.ts";

/** A cell with its curves: `null` where they could not be asked, `undefined` where they were not. */
type Ranked = readonly [Cell, Curve | null | undefined];

export function rankingPanel(context: Context): HTMLElement {
  const { store, watch } = context;
  const rows = h("ol", { class: "slw-ranks" });
  const note = h("span", { class: "slw-muted slw-number", role: "status" });
  const curves = createCurves(context, () => draw(store.state));
  const ask = button(context, { title: "The model is asked about each map as it comes and goes, one map after another" }, "", curves.toggle);
  const draw = (state: State): void => {
    const cells = cellsOf(state);
    const left = curves.missing(state).length;
    element.hidden = !comparing(state) || cells.length < 2;
    ask.hidden = state.link !== "live" || left === 0;
    setText(ask, curves.running ? "Stop" : "Ask for all");
    setText(note, curves.running ? `${cells.length - left} of ${cells.length}` : "");
    const focused = rows.querySelector<HTMLElement>(":focus")?.dataset["key"];
    rows.replaceChildren(...ranked(cells.map((cell) => [cell, curves.of(state, cell)] as const)).map((one) => row(context, state, one)));
    if (focused) rows.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  };
  const title = h("div", { class: "slw-split" }, h("h3", {}, "Which map the model bears out"), note, ask);
  const heads = h("div", { class: "slw-ranks-head slw-muted" }, "most insertion and least deletion first", h("span", {}, "insertion"), h("span", {}, "deletion"));
  const element = h("section", { class: "slw-block slw-ranking", hidden: true }, title, heads, rows);
  watch((state) => [gridKey(state), state.explained, state.shown, state.link, state.spec, state.predictions], (state) => {
    if (!state.shown.live || !comparing(state)) curves.stop();
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
  const says = (area: number | undefined): string => (area === undefined ? (found === null ? "failed" : "–") : found?.ofValues ? formatNumber(area) : area.toFixed(2));
  return h("li", {}, name, h("span", { class: "slw-number slw-only" }, says(found?.insertionAuc)), h("span", { class: "slw-number slw-without" }, says(found?.deletionAuc)));
}

interface Curves {
  readonly running: boolean;
  readonly of: (state: State, cell: Cell) => Ranked[1];
  /** The cells with a map whose curves nobody has asked for. */
  readonly missing: (state: State) => readonly Cell[];
  /** Ask for all that are missing, one after another; or no longer. */
  readonly toggle: () => void;
  readonly stop: () => void;
}

function createCurves({ store, commands, signal }: Context, changed: () => void): Curves {
  /** By explanation and fill: another explanation has other curves. */
  const known = new WeakMap<Explained, Map<string, Curve | null>>();
  let running: Request | null = null;

  const of = (state: State, cell: Cell): Ranked[1] => {
    const explained = explainedOf(state, cell);
    const stored = state.link === "packed" ? storedCurve(commands, state, cell) : null;
    return stored ?? (explained && known.get(explained)?.get(state.shown.fill));
  };
  const missing = (state: State): readonly Cell[] =>
    cellsOf(state).filter((cell) => (explainedOf(state, cell)?.share ?? 0) >= 1 && of(state, cell) === undefined);
  const stop = (): void => {
    running?.cancel();
    running = null;
  };
  const next = (): void => {
    running = null;
    if (signal.aborted) return;
    const [cell] = missing(store.state);
    const explained = cell && explainedOf(store.state, cell);
    if (explained) {
      const { fill } = store.state.shown;
      const mine = running = commands.request("curve", { ...cell, fill });
      const keep = (found: Curve | null): void => {
        known.set(explained, new Map(known.get(explained)).set(fill, found));
        if (mine === running) next();
      };
      mine.answer.then(curve).then(keep, () => keep(null));
    }
    changed();
  };
  ended(signal, stop);
  return {
    get running() {
      return running !== null;
    },
    of, missing, stop,
    toggle() {
      if (running) {
        stop();
        changed();
      } else next();
    },
  };
}

/** Areas compare maps of one class, model and picture: these stay together, in the order of the grid. */
export function ranked(cells: readonly Ranked[]): readonly Ranked[] {
  const group = ({ target, model, image }: Cell): string => `${target}:${pairOf(model, image)}`;
  const order = [...new Set(cells.map(([cell]) => group(cell)))];
  // what is not known comes last
  const gain = (found: Ranked[1]): number => (found ? found.insertionAuc - found.deletionAuc : -Number.MAX_VALUE);
  return [...cells].sort(([a, one], [b, other]) => order.indexOf(group(a)) - order.indexOf(group(b)) || gain(other) - gain(one));
}
