/** What the model says to the selection alone, and to the picture without it, while the selection changes. */

import { whatIf, type WhatIf } from "../answers.ts";
import { Refusal } from "../asking.ts";
import { classesOf, labelOf, shownExplained } from "../select.ts";
import { keyOf, shownCell, type ClassRow, type Explained, type Failure, type State } from "../state.ts";
import type { Raw } from "../packet.ts";
import { curvePanel } from "./curve.ts";
import { h, on, setText, type Context } from "./dom.ts";
import { createRecall } from "./recall.ts";
import { selectionText } from "./selection.ts";

export const FILLS = ["blur", "mean", "grey", "noise", "black", "white"] as const;
const REMEMBERED = 500;

/** Two blocks: the numbers, and the curves. */
export function whatIfPanel(context: Context): readonly HTMLElement[] {
  const { store, signal, choose, watch } = context;
  const asker = createAsker(context, () => draw(store.state));
  const recall = createRecall(context.commands);
  const answerTo = (state: State): WhatIf | null => (state.link === "packed" ? recall(state) : asker.answer);
  const only = figure("only this", "slw-only");
  const without = figure("without this", "slw-without");
  const what = h("span", { class: "slw-muted" });
  const fill = h("select", { class: "slw-field slw-fill", "aria-label": "What stands where pixels are taken away" }, ...FILLS.map((name) => h("option", { value: name }, name)));
  const trouble = h("p", { class: "slw-trouble", role: "alert", hidden: true });
  const rows = h("div", { class: "slw-tops" });
  const curves = curvePanel(context, () => answerTo(store.state));
  on(fill, "change", signal, () => {
    choose({ fill: fill.value });
  });

  const draw = (state: State): void => {
    const { failure } = asker;
    const answer = answerTo(state);
    const cell = shownCell(state);
    const whole = classesOf(state).find(({ index }) => index === cell.target)?.probability;
    only.show(probability(answer?.only, cell.target), whole, answer?.read);
    without.show(probability(answer?.without, cell.target), whole, answer?.read);
    setText(what, whyNot(state, answer) || `${labelOf(state, cell)} in ${selectionText(state)}${answer?.read ? ", read from the curves" : ""}`);
    trouble.hidden = failure === null;
    setText(trouble, failure ? `The model failed: ${failure.kind}: ${failure.message}` : "");
    rows.hidden = answer?.read === true;
    rows.replaceChildren(list("only this", answer?.only ?? [], cell.target), list("without this", answer?.without ?? [], cell.target));
    curves.draw(answer);
  };
  watch(
    (state) => [questionOf(state), shownExplained(state), state.shown.live, state.link, state.silent, state.predictions],
    (state) => {
      asker.follow(state);
      draw(state);
      fill.value = state.shown.fill;
    },
  );
  const title = h("div", { class: "slw-split" }, h("h3", {}, "What the model says"), h("label", { class: "slw-row slw-muted" }, "fill", fill));
  return [h("section", { class: "slw-block" }, title, what, h("div", { class: "slw-pair" }, only.element, without.element), trouble, rows), curves.element];
}

/** Why the model is not asked; empty where it is. */
function whyNot(state: State, answer: WhatIf | null): string {
  if (state.link === "packed" && answer) return "";
  if (state.link !== "live") return "Asking the model needs a running kernel.";
  if ((shownExplained(state)?.share ?? 0) < 1) return "As soon as this method has its map.";
  return "";
}

function probability(rows: readonly ClassRow[] | undefined, target: number): number | null {
  return rows?.find(({ index }) => index === target)?.probability ?? null;
}

function figure(words: string, name: string): { readonly element: HTMLElement; readonly show: (value: number | null, whole: number | undefined, read?: boolean) => void } {
  const number = h("strong", { class: `slw-number ${name}` }, "–");
  const than = h("span", { class: "slw-muted slw-number" });
  return {
    element: h("div", { class: "slw-says" }, number, h("span", {}, words, than)),
    show(value, whole, read) {
      setText(number, value === null ? "–" : `${read ? "≈ " : ""}${value.toFixed(2)}`);
      setText(than, whole === undefined ? "" : ` (whole: ${whole.toFixed(2)})`);
    },
  };
}

function list(words: string, rows: readonly ClassRow[], target: number): HTMLElement {
  return h(
    "ol",
    { class: "slw-top", "aria-label": `Top classes, ${words}` },
    ...rows.slice(0, 5).map(({ label, index, probability: share }) => {
      const bar = h("span", { class: "slw-bar" });
      bar.style.setProperty("--slw-share", String(share));
      return h("li", index === target ? { "aria-current": "true" } : {}, h("span", { title: label }, label), h("span", { class: "slw-number" }, share.toFixed(2)), bar);
    }),
  );
}

/** What is asked, in the words of the protocol; the model's answer depends on nothing else. */
function questionOf(state: State): string {
  const { sign, keep, region, picked, fill } = state.shown;
  return JSON.stringify({ ...shownCell(state), sign, keep, region, picked, fill });
}

interface Asker {
  readonly answer: WhatIf | null;
  readonly failure: Failure | null;
  readonly follow: (state: State) => void;
}

/** One question at a time, always about what is selected now; what was answered once is not asked again. */
function createAsker({ store, commands, signal }: Context, changed: () => void): Asker {
  let known = new Map<string, WhatIf>();
  let about: Explained | undefined;
  let asked = "";
  let running = false;
  let answer: WhatIf | null = null;
  let failure: Failure | null = null;

  const follow = (state: State): void => {
    const explained = shownExplained(state);
    if (explained !== about) {
      // another explanation, or the same after its weights or fields have changed
      known = new Map();
      asked = "";
      if (!about || !explained || keyOf(about.result) !== keyOf(explained.result)) answer = null;
      about = explained;
    }
    const wanted = questionOf(state);
    const old = known.get(wanted);
    if (old) {
      answer = old;
      asked = wanted;
      failure = null;
    }
    if (running || wanted === asked || !state.shown.live || state.link !== "live" || !explained || explained.share < 1) return;
    running = true;
    asked = wanted;
    commands.request("what_if", JSON.parse(wanted) as Raw).answer.then(
      (raw) => {
        const found = whatIf(raw);
        known.set(wanted, found);
        const [oldest] = known.keys();
        if (known.size > REMEMBERED && oldest !== undefined) known.delete(oldest);
        if (explained === about) [answer, failure] = [found, null];
      },
      (reason: unknown) => {
        const message = reason instanceof Error ? reason.message : String(reason);
        [answer, failure] = [null, reason instanceof Refusal ? reason.failure : { kind: "Error", message, details: "" }];
      },
    ).finally(() => {
      running = false;
      if (signal.aborted) return;
      follow(store.state);
      changed();
    });
  };
  return {
    get answer() {
      return answer;
    },
    get failure() {
      return failure;
    },
    follow,
  };
}
