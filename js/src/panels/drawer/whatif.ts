/** What the model says to the selection alone, and to the picture without it, while the selection changes. */

import { whatIf, type WhatIf } from "../../kernel/answers.ts";
import { failureOf } from "../../kernel/asking.ts";
import { formatScore } from "../../core/format.ts";
import { classesOf, labelOf, shownExplained } from "../../core/select.ts";
import { keyOf, shownCell, type ClassRow, type Explained, type Failure, type State } from "../../core/state.ts";
import type { Raw } from "../../kernel/packet.ts";
import { curvePanel } from "./curve.ts";
import { h, on, setText, type Context } from "../ui/dom.ts";
import { failureBox } from "../ui/message.ts";
import { quiet } from "../ui/slow.ts";
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
  const figures = [figure("only this", "slw-only"), figure("without this", "slw-without"), figure("whole picture", "")] as const;
  const spoken = h("div", { class: "slw-hidden", role: "status" });
  const what = h("span", { class: "slw-muted" });
  const fill = h("select", { class: "slw-field slw-fill", "aria-label": "What stands where pixels are taken away" }, ...FILLS.map((name) => h("option", { value: name }, name)));
  const trouble = failureBox(context, "The model failed");
  const rows = h("div", { class: "slw-tops" });
  const curves = curvePanel(context, () => answerTo(store.state));
  on(fill, "change", signal, () => {
    choose({ fill: fill.value });
  });

  const draw = (state: State): void => {
    const { failure } = asker;
    const answer = answerTo(state);
    const cell = shownCell(state);
    const words = [answer?.only, answer?.without].map((found) => scoreText(found, cell.target, answer?.read));
    for (const [i, text] of [...words, scoreText(classesOf(state), cell.target)].entries()) setText(figures[i]!.number, text);
    // not while a slider is dragged: it would never stop talking
    if (answer && state.saved === state.shown) setText(spoken, `${labelOf(state, cell)}: ${words[0]} only this, ${words[1]} without`);
    setText(what, whyNot(state, answer) || `${labelOf(state, cell)} in ${selectionText(state)}${answer?.read ? ", read from the curves" : ""}`);
    trouble.show(failure);
    rows.hidden = answer?.read === true || failure !== null;
    rows.replaceChildren(list("only this", answer?.only ?? [], cell.target), list("without this", answer?.without ?? [], cell.target));
    curves.draw(answer);
  };
  watch(
    (state) => [questionOf(state), shownExplained(state), state.shown.live, state.link, state.silent, state.predictions, state.saved],
    (state) => {
      asker.follow(state);
      draw(state);
      fill.value = state.shown.fill;
    },
  );
  const title = h("div", { class: "slw-split" }, h("h3", {}, "What the model says"), h("label", { class: "slw-row slw-muted" }, "fill", fill));
  return [h("section", { class: "slw-block" }, title, what, h("div", { class: "slw-says" }, ...figures.map(({ element }) => element)), spoken, asker.slow, trouble.element, rows), curves.element];
}

/** Why the model is not asked; empty where it is. */
function whyNot(state: State, answer: WhatIf | null): string {
  if (state.link === "packed" && answer) return "";
  if (state.link !== "live") return "Asking the model needs a running kernel.";
  if ((shownExplained(state)?.share ?? 0) < 1) return "As soon as this method has its map.";
  return "";
}

function scoreText(rows: readonly ClassRow[] | undefined, target: number, read = false): string {
  const found = rows?.find(({ index }) => index === target);
  return found === undefined ? "–" : `${read ? "≈\u00a0" : ""}${formatScore(found)}`;
}

function figure(words: string, name: string): { readonly element: HTMLElement; readonly number: HTMLElement } {
  const number = h("strong", { class: `slw-number ${name}` });
  return { element: h("div", {}, number, h("span", { class: "slw-muted" }, words)), number };
}

function list(words: string, rows: readonly ClassRow[], target: number): HTMLElement {
  return h(
    "ol",
    { class: "slw-top", "aria-label": `Top classes, ${words}` },
    ...rows.slice(0, 5).map((row) => {
      const { label, index } = row;
      const bar = h("span", { class: "slw-bar" });
      bar.style.setProperty("--slw-share", String(row.probability || 0));
      return h("li", index === target ? { "aria-current": "true" } : {}, h("span", { title: label }, label), h("span", { class: "slw-number" }, formatScore(row)), bar);
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
  /** Says when the model is silent. */
  readonly slow: HTMLElement;
  readonly follow: (state: State) => void;
}

/** One question at a time, always about what is selected now; what was answered once is not asked again. */
function createAsker({ store, commands, signal }: Context, changed: () => void): Asker {
  let known = new Map<string, WhatIf>();
  let about: Explained | undefined;
  let asked = "";
  let running = false;
  const slow = quiet(signal);
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
    slow.wait(true);
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
        [answer, failure] = [null, failureOf(reason)];
      },
    ).finally(() => {
      running = false;
      slow.wait(false);
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
    slow: slow.element,
    follow,
  };
}
