/** Insertion and deletion: the whole way from nothing to everything, with the selection's place on it. */

import { curve, type Curve, type WhatIf } from "../answers.ts";
import type { Commands, Request } from "../commands.ts";
import { formatPercent } from "../format.ts";
import { shownExplained } from "../select.ts";
import { shownCell, type Explained, type State } from "../state.ts";
import { ended } from "../store.ts";
import { dragged, h, setAttribute, setText, shape, type Context } from "./dom.ts";

const WIDTH = 240;
const HEIGHT = 92;

export interface CurvePanel {
  readonly element: HTMLElement;
  /** With the answer to the selection, which is where the dots lie. */
  readonly draw: (answer: WhatIf | null) => void;
}

export function curvePanel(context: Context, answer: () => WhatIf | null): CurvePanel {
  const { store, commands, signal, watch } = context;
  const plot = plotOf();
  const legend = [h("span", { class: "slw-only" }), h("span", { class: "slw-without" })] as const;
  const note = h("span", { class: "slw-muted slw-number" });
  let found: Curve | null = null;
  let about: Explained | undefined;
  let fill = "";
  let request: Request | null = null;

  const draw = (told: WhatIf | null): void => {
    const target = shownCell(store.state).target;
    const of = (rows: WhatIf["only"] | undefined): number | null => rows?.find(({ index }) => index === target)?.probability ?? null;
    plot.draw(found, told && { area: told.area, only: of(told.only), without: of(told.without) });
    setText(legend[0], found ? `insertion ${found.insertionAuc.toFixed(2)}` : "insertion");
    setText(legend[1], found ? `deletion ${found.deletionAuc.toFixed(2)}` : "deletion");
    const at = told ? ` At ${formatPercent(Math.round(told.area * 1000) / 10)} of the pixels: ${of(told.only)?.toFixed(2) ?? "–"} only this, ${of(told.without)?.toFixed(2) ?? "–"} without.` : "";
    setAttribute(plot.element, "aria-label", found ? `Insertion curve, area ${found.insertionAuc.toFixed(2)}; deletion curve, area ${found.deletionAuc.toFixed(2)}.${at}` : "Insertion and deletion curves, not asked yet");
  };
  const ask = (state: State): void => {
    const explained = shownExplained(state);
    const wanted = state.shown.live && state.link === "live" && explained !== undefined && explained.share >= 1;
    if (state.link === "packed") {
      found = storedCurve(commands, state);
      return;
    }
    const same = explained === about && fill === state.shown.fill;
    // what has come is kept while nobody looks
    if (same && (wanted || found)) return;
    request?.cancel();
    [request, found, about] = [null, null, undefined];
    setText(note, "");
    if (!wanted) return;
    [about, fill] = [explained, state.shown.fill];
    const mine = commands.request("curve", { ...shownCell(state), fill }, { progress: (share) => setText(note, `${Math.round(share * 100)} %`) });
    request = mine;
    setText(note, "asking…");
    mine.answer.then(
      (raw) => {
        if (mine !== request) return;
        found = curve(raw);
        setText(note, "");
      },
      () => mine === request && setText(note, "could not be asked"),
    ).finally(() => !signal.aborted && mine === request && draw(answer()));
  };
  watch((state) => [shownExplained(state), state.shown.fill, state.shown.live, state.link], (state) => {
    ask(state);
    draw(answer());
  });
  ended(signal, () => request?.cancel());
  followPointer(context, plot.element);
  const title = h("div", { class: "slw-split" }, h("h3", {}, "From nothing to everything"), note);
  const names = h("div", { class: "slw-split slw-number" }, ...legend);
  const element = h("section", { class: "slw-block" }, title, plot.element, names);
  setAttribute(names, "title", "The areas under the curves: a good map has a large one for insertion and a small one for deletion (arXiv:1806.07421)");
  return { element, draw };
}

/** The curves of what is shown, if they were asked for while there was a kernel. */
export function storedCurve(commands: Commands, state: State): Curve | null {
  const [raw] = commands.recall("curve", { ...shownCell(state), fill: state.shown.fill });
  return raw ? curve(raw) : null;
}

interface Position {
  readonly area: number;
  readonly only: number | null;
  readonly without: number | null;
}

interface Plot {
  readonly element: HTMLElement;
  readonly draw: (found: Curve | null, at: Position | null) => void;
}

function plotOf(): Plot {
  const insertion = shape("path", { class: "slw-line-only" });
  const deletion = shape("path", { class: "slw-line-without" });
  const marker = shape("path", { class: "slw-line-at" });
  const axis = shape("path", { class: "slw-line-axis", d: `M0 ${HEIGHT}H${WIDTH}M0 0H${WIDTH}` });
  const svg = shape("svg", { viewBox: `0 -4 ${WIDTH} ${HEIGHT + 8}`, preserveAspectRatio: "none" }, axis, marker, insertion, deletion);
  const dots = [h("i", { class: "slw-spot slw-spot-only" }), h("i", { class: "slw-spot slw-spot-without" })] as const;
  const element = h("div", { class: "slw-curve", role: "img" }, svg, ...dots);
  return {
    element,
    draw(found, at) {
      setAttribute(insertion, "d", found ? pathOf(found.shares, found.insertion) : "");
      setAttribute(deletion, "d", found ? pathOf(found.shares, found.deletion) : "");
      setAttribute(marker, "d", at ? `M${(at.area * WIDTH).toFixed(1)} -4V${HEIGHT + 4}` : "");
      for (const [dot, value] of [[dots[0], at?.only], [dots[1], at?.without]] as const) {
        dot.hidden = typeof value !== "number";
        if (!at || typeof value !== "number") continue;
        dot.style.left = `${at.area * 100}%`;
        dot.style.top = `${((1 - value) * HEIGHT + 4) / (HEIGHT + 8) * 100}%`;
      }
    },
  };
}

export function pathOf(shares: readonly number[], heights: readonly number[]): string {
  return shares.map((share, i) => `${i ? "L" : "M"}${(share * WIDTH).toFixed(1)} ${((1 - heights[i]!) * HEIGHT).toFixed(1)}`).join("");
}

/** The plot is a slider too: where it is clicked, so much of the picture is kept. */
function followPointer({ set, commit, signal }: Context, plot: HTMLElement): void {
  dragged(plot, signal, (share) => set({ mode: "area", keep: Math.round(share * 1000) / 10 }), commit);
}
