/** Insertion and deletion curves, with the selection on them. */

import { curveOf } from "../../core/answers.ts";
import type { Cell } from "../../core/cell.ts";
import { formatNumber, formatPercent, formatScore } from "../../core/format.ts";
import { shownExplained } from "../../core/lookup.ts";
import type { Curve, Explained, Failure, WhatIf } from "../../core/result.ts";
import { shownCell, type State } from "../../core/state.ts";
import { ended } from "../../core/store.ts";
import { failureOf, type Request } from "../../kernel/commands.ts";
import { button, dragged, h, setAttribute, setText, shape, type Context } from "../ui/dom.ts";
import { failureBox } from "../ui/failure.ts";
import { slowNotice } from "../ui/slow.ts";
import { HEIGHT, pathOf, plane, rangeOf, shareOf, WIDTH, type Scale } from "./plot.ts";

export interface CurvePanel {
  readonly element: HTMLElement;
  /** With the answer to the selection, which places the dots. */
  readonly draw: (answer: WhatIf | null) => void;
}

export function curvePanel(context: Context, answer: () => WhatIf | null): CurvePanel {
  const { store, signal, watch } = context;
  const plot = plotOf();
  const legend = [h("span", { class: "slw-only" }), h("span", { class: "slw-without" })] as const;
  const requester = createRequester(context);
  const draw = (selection: WhatIf | null): void => {
    const cell = shownCell(store.state);
    const { target } = cell;
    const found = curveOf(store.state, cell) ?? null;
    const of = (rows: WhatIf["only"] | undefined): number | null => {
      const row = rows?.find(({ index }) => index === target);
      return row ? row.value ?? row.probability : null;
    };
    const areaText = (area: number): string => (found?.ofValues ? formatNumber(area) : area.toFixed(2));
    const text = (height: number | null): string => (height === null ? "–" : found?.ofValues ? formatNumber(height) : formatScore({ probability: height }));
    plot.draw(found, selection && { area: selection.area, only: of(selection.only), without: of(selection.without) });
    setText(legend[0], found ? `insertion ${areaText(found.insertionAuc)}` : "insertion");
    setText(legend[1], found ? `deletion ${areaText(found.deletionAuc)}` : "deletion");
    const at = selection ? ` At ${formatPercent(Math.round(selection.area * 1000) / 10)} of the pixels: ${text(of(selection.only))} selection only, ${text(of(selection.without))} selection removed.` : "";
    setAttribute(plot.element, "aria-label", found ? `Insertion curve, ${ofArea(found)} ${areaText(found.insertionAuc)}; deletion curve, ${ofArea(found)} ${areaText(found.deletionAuc)}.${at}` : "Insertion and deletion curves, not computed yet");
  };
  watch((state) => [shownExplained(state), state.shown.fill, state.shown.live, state.link, state.answers], (state) => {
    requester.follow(state);
    draw(answer());
  });
  followPointer(context, plot.element);
  const title = h("div", { class: "slw-split" }, h("h3", {}, "Insertion and deletion curves"), requester.note);
  const names = h("div", { class: "slw-split slw-number" }, ...legend);
  const element = h("section", { class: "slw-block" }, title, plot.element, names, ...requester.troubles);
  setAttribute(names, "title", "The areas under the curves: a good map has a large area for insertion and a small one for deletion (arXiv:1806.07421)");
  ended(signal, requester.cancel);
  return { element, draw };
}

interface Requester {
  /** Progress of the request. */
  readonly note: HTMLElement;
  /** Why there are no curves. */
  readonly troubles: readonly HTMLElement[];
  readonly follow: (state: State) => void;
  readonly cancel: () => void;
}

/** Requests the curves of the shown cell once, while the panel is open. */
function createRequester(context: Context): Requester {
  const { store, commands, signal } = context;
  const note = h("span", { class: "slw-muted slw-number" });
  const slow = slowNotice(signal);
  const again = button(context, {}, "Try again", () => {
    about = undefined;
    follow(store.state);
  });
  const trouble = failureBox(context, "The curves failed", again);
  let about: Explained | undefined;
  let fill = "";
  let request: Request<Curve> | null = null;

  const report = (text: string, failure: Failure | null, waiting: boolean): void => {
    setText(note, text);
    trouble.show(failure);
    slow.wait(waiting);
  };
  const start = (explained: Explained, cell: Cell): void => {
    const of = fill;
    const mine = commands.request("curve", { ...cell, fill }, { progress: (share) => report(`${Math.round(share * 100)} %`, null, true) });
    request = mine;
    report("computing…", null, true);
    const ended = (failure: Failure | null, found?: Curve): void => {
      if (mine !== request || signal.aborted) return;
      report("", failure, false);
      if (found) store.send({ kind: "curve", about: explained, fill: of, curve: found });
    };
    mine.answer.then((found) => ended(null, found), (reason: unknown) => ended(failureOf(reason)));
  };
  const follow = (state: State): void => {
    const explained = shownExplained(state);
    const cell = shownCell(state);
    const found = curveOf(state, cell);
    const wanted = state.shown.live && state.link === "live" && explained !== undefined && explained.share >= 1 && !found;
    const same = explained === about && fill === state.shown.fill;
    // finished curves stay while the panel is closed
    if (same && (wanted || found)) return;
    request?.cancel();
    [request, about] = [null, undefined];
    report("", null, false);
    if (!wanted) return;
    [about, fill] = [explained, state.shown.fill];
    start(explained, cell);
  };
  return { note, follow, troubles: [slow.element, trouble.element], cancel: () => request?.cancel() };
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
  const svg = plane(marker, insertion, deletion);
  const dots = [h("i", { class: "slw-spot slw-spot-only" }), h("i", { class: "slw-spot slw-spot-without" })] as const;
  const element = h("div", { class: "slw-curve", role: "img" }, svg, ...dots);
  return {
    element,
    draw(found, at) {
      const scale = scaleOf(found);
      setAttribute(insertion, "d", found ? pathOf(found.shares, found.insertion, scale) : "");
      setAttribute(deletion, "d", found ? pathOf(found.shares, found.deletion, scale) : "");
      setAttribute(marker, "d", at ? `M${(at.area * WIDTH).toFixed(1)} -4V${HEIGHT + 4}` : "");
      for (const [dot, value] of [[dots[0], at?.only], [dots[1], at?.without]] as const) {
        // without the curves a value has no scale
        dot.hidden = typeof value !== "number" || !(value >= scale[0] && value <= scale[1]);
        if (!at || typeof value !== "number") continue;
        dot.style.left = `${at.area * 100}%`;
        dot.style.top = `${((1 - shareOf(value, scale)) * HEIGHT + 4) / (HEIGHT + 8) * 100}%`;
      }
    },
  };
}

/** Probabilities are drawn between 0 and 1, values between their own minimum and maximum. */
function scaleOf(found: Curve | null): Scale {
  return found?.ofValues ? rangeOf([...found.insertion, ...found.deletion]) : [0, 1];
}

/** The area under a curve of values over a width of 1 is their mean. */
function ofArea({ ofValues }: Curve): string {
  return ofValues ? "mean" : "area";
}

/** The plot is a slider too: a click sets the share of pixels that is kept. */
function followPointer({ set, commit, signal }: Context, plot: HTMLElement): void {
  dragged(plot, signal, (share) => set({ mode: "area", keep: Math.round(share * 1000) / 10 }), commit);
}
