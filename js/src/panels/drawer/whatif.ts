/** The model's prediction for the selection alone, and for the picture without it, while the selection changes. */

import { whatIfOf, whatIfRequest } from "../../core/answers.ts";
import { selectionText } from "../../core/captions.ts";
import { keyOf } from "../../core/cell.ts";
import { formatScore } from "../../core/format.ts";
import { classesOf, labelOf, shownExplained } from "../../core/lookup.ts";
import type { ClassRow, Explained, Failure, WhatIf } from "../../core/result.ts";
import { shownCell, type State } from "../../core/state.ts";
import { failureOf } from "../../kernel/commands.ts";
import { h, setText, type Context } from "../ui/dom.ts";
import { failureBox } from "../ui/failure.ts";
import { slowNotice } from "../ui/slow.ts";
import { curvePanel } from "./curve.ts";
import { figure, fillField } from "./parts.ts";
import { selectionPanel } from "./selection.ts";

/** Three blocks: the selection, the numbers, and the curves. */
export function whatIfPanel(context: Context): HTMLElement {
  const { store, watch } = context;
  const requester = createRequester(context, () => draw(store.state));
  const figures = [figure("Selection only", "slw-only"), figure("Selection removed", "slw-without"), figure("Whole picture", "")] as const;
  const spoken = h("div", { class: "slw-hidden", role: "status" });
  const what = h("span", { class: "slw-muted" });
  const trouble = failureBox(context, "The model failed");
  const rows = h("div", { class: "slw-tops" });
  const curves = curvePanel(context, () => requester.answer);

  const draw = (state: State): void => {
    const { answer, failure } = requester;
    const cell = shownCell(state);
    const words = [answer?.only, answer?.without].map((found) => scoreText(found, cell.target, answer?.read));
    for (const [i, text] of [...words, scoreText(classesOf(state), cell.target)].entries()) setText(figures[i]!.number, text);
    // not while a slider is dragged: a screen reader would never stop
    if (answer && state.saved === state.shown) setText(spoken, `${labelOf(state, cell)}: ${words[0]} selection only, ${words[1]} selection removed`);
    setText(what, whyNot(state, answer) || `${labelOf(state, cell)} in ${selectionText(state)}${answer?.read ? ", interpolated from the curves" : ""}`);
    trouble.show(failure);
    rows.hidden = answer?.read === true || failure !== null;
    rows.replaceChildren(list("selection only", answer?.only ?? [], cell.target), list("selection removed", answer?.without ?? [], cell.target));
    curves.draw(answer);
  };
  watch(
    (state) => [state.shown, shownExplained(state), state.answers, state.link, state.silent, state.predictions, state.saved],
    (state) => {
      requester.follow(state);
      draw(state);
    },
  );
  const title = h("h3", {}, "Model's prediction");
  const numbers = h("section", { class: "slw-block" }, title, what, fillField(context), h("div", { class: "slw-says" }, ...figures.map(({ element }) => element)), spoken, requester.slow, trouble.element, rows);
  return h("div", { class: "slw-drawer-body slw-ask" }, selectionPanel(context), numbers, curves.element);
}

/** Why there is no request; empty where there is one. */
function whyNot(state: State, answer: WhatIf | null): string {
  if (state.link === "packed" && answer) return "";
  if (state.link !== "live") return "This needs a running kernel.";
  if ((shownExplained(state)?.share ?? 0) < 1) return "Available once this method finishes.";
  return "";
}

function scoreText(rows: readonly ClassRow[] | undefined, target: number, read = false): string {
  const found = rows?.find(({ index }) => index === target);
  return found === undefined ? "–" : `${read ? "≈\u00a0" : ""}${formatScore(found)}`;
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

interface Requester {
  readonly answer: WhatIf | null;
  readonly failure: Failure | null;
  /** The notice that the model takes long. */
  readonly slow: HTMLElement;
  readonly follow: (state: State) => void;
}

/** One request at a time, always about the present selection. An answer that the state holds is not requested again. */
function createRequester({ store, commands, signal }: Context, changed: () => void): Requester {
  let about: Explained | undefined;
  let requested = "";
  let running = false;
  let answer: WhatIf | null = null;
  let failure: Failure | null = null;
  const slow = slowNotice(signal);

  const follow = (state: State): void => {
    const explained = shownExplained(state);
    if (explained !== about) {
      // another result, or the same after its weights or parameters have changed: then its answer stays until the next
      requested = "";
      if (!about || !explained || keyOf(about.result) !== keyOf(explained.result)) answer = null;
      about = explained;
    }
    const known = whatIfOf(state);
    const request = whatIfRequest(state);
    const wanted = JSON.stringify(request);
    if (known) [answer, requested, failure] = [known, wanted, null];
    else if (state.link === "packed") answer = null;
    if (running || wanted === requested || !state.shown.live || state.link !== "live" || !explained || explained.share < 1) return;
    running = true;
    slow.wait(true);
    requested = wanted;
    commands.request("what_if", request).answer.then(
      (found) => store.send({ kind: "answered", about: explained, request, answer: found }),
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
