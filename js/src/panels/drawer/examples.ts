/** The training images for and against the answer; of the selected one, what it shares with the picture. */

import { shared } from "../../core/answers.ts";
import { keyOf } from "../../core/cell.ts";
import { formatNumber } from "../../core/format.ts";
import { WHOLE } from "../../core/geometry.ts";
import { imageOf, shownExplained } from "../../core/lookup.ts";
import type { Example, Examples, Shared } from "../../core/result.ts";
import { shownCell, type State } from "../../core/state.ts";
import { layerOf, resize } from "../../paint/layer.ts";
import { createPictures, type PictureCache } from "../../paint/pictures.ts";
import { drawShared } from "../../paint/shared.ts";
import { h, setAttribute, setText, type Context } from "../ui/dom.ts";
import { listBox } from "./listbox.ts";
import { createRunner, obstacle, runnerRow } from "./runner.ts";

/** Longer sides of a thumbnail and of the two pictures, in CSS pixels. */
const [SMALL, LARGE] = [84, 240];
const ABOUT = "Finds the training images that speak most for the answer, and most against it.";

export function examplesPanel(context: Context): HTMLElement {
  const { store, signal, watch } = context;
  const runner = createRunner(context, () => draw(store.state));
  const row = runnerRow(context, runner, "The training images could not be found", () => start());
  const sentence = h("p", { role: "status" });
  const list = listBox<Examples>(context, "slw-examples", "Training images", () => draw(store.state));
  const pictures = createPictures(signal, () => draw(store.state));
  const both = sharedParts(pictures);
  const notes = h("p", { class: "slw-muted" });
  const found = h("div", { class: "slw-block", hidden: true }, list.element, both.element, notes);
  let canvases: readonly HTMLCanvasElement[] = [];

  const start = (): void => {
    const [cell, about] = [shownCell(store.state), shownExplained(store.state)];
    if (!about) return;
    runner.run(keyOf(cell), "examples", cell, (examples) => {
      if (examples) store.send({ kind: "examples", about, examples });
    });
  };
  const fill = (examples: Examples): readonly HTMLElement[] => {
    canvases = examples.examples.map(canvas);
    const rows = examples.examples.map((each, i) => exampleOf(each, canvases[i]!));
    list.element.replaceChildren(...[1, -1].map((sign) => sideOf(examples, rows, sign)));
    setText(notes, examples.notes.join(" · "));
    return rows;
  };
  const draw = (state: State): void => {
    const cell = shownCell(state);
    const answer = shared(state, cell, ({ examples }) => examples);
    const hindrance = answer ? "" : obstacle(state, cell);
    row.draw(state, keyOf(cell), answer || hindrance ? "" : "Find training images", runner.cell ? `${Math.floor(runner.share * 100)} %` : "");
    setText(sentence, answer ? `${answer.about.stale ? "Outdated, the weights changed. " : ""}${summaryOf(answer.answer)}` : hindrance || ABOUT);
    setAttribute(sentence, "class", answer ? "slw-sentence" : "slw-muted");
    found.hidden = !answer;
    if (!answer) return;
    const { answer: examples } = answer;
    const chosen = list.draw(examples, fill);
    const blobs = [state.pictures.get(cell.image), ...examples.examples.map(({ picture }) => picture)].flatMap((each, i) => (each ? [[i, each] as const] : []));
    pictures.load(new Map(blobs), blobs.map(([i]) => i));
    for (const [i, { size, picture }] of examples.examples.entries()) {
      canvases[i]!.hidden = !picture;
      paint(canvases[i]!, pictures, i + 1, size, SMALL);
    }
    both.draw(state, examples.examples[chosen], chosen);
  };
  watch((state) => [state.shown, state.explained, state.answers, state.pictures, state.link], draw);
  return h("div", { class: "slw-drawer-body" }, h("section", { class: "slw-block" }, sentence, ...row.parts, found));
}

function summaryOf({ label, method, unit, count, examples }: Examples): string {
  return `${examples.length} of ${count} training images for and against ${label}, by the ${method}. Score: ${unit}.`;
}

/** The images on one side, after its heading. */
function sideOf({ label, examples }: Examples, rows: readonly HTMLElement[], sign: number): HTMLElement {
  const name = `${sign > 0 ? "For" : "Against"} ${label}`;
  const own = rows.filter((_, i) => examples[i]!.score * sign > 0);
  return h("div", { class: "slw-examples-side", role: "group", "aria-label": name },
    h("p", { class: "slw-muted" }, name), h("div", { class: "slw-examples-row" }, ...(own.length > 0 ? own : [h("span", { class: "slw-muted" }, "none")])));
}

function exampleOf({ name, label, score }: Example, canvas: HTMLElement): HTMLElement {
  return h("div", { class: "slw-example", role: "option", tabindex: -1, title: `${name}: ${label}` },
    canvas, h("span", { class: "slw-example-label" }, label), h("span", { class: "slw-number" }, signed(score)));
}

function signed(score: number): string {
  return `${score > 0 ? "+" : ""}${formatNumber(score)}`;
}

interface Parts {
  readonly element: HTMLElement;
  /** `index`: that of the example in its list. */
  readonly draw: (state: State, example: Example | undefined, index: number) => void;
}

/** The picture beside a training image, with what they share lit. */
function sharedParts(pictures: PictureCache): Parts {
  const canvases = [canvas(), canvas()] as const;
  const words = canvases.map(() => h("figcaption", { class: "slw-muted" })) as [HTMLElement, HTMLElement];
  const element = h("div", { class: "slw-shared" }, ...canvases.map((each, i) => h("figure", {}, each, words[i]!)));
  return {
    element,
    draw(state, example, index) {
      element.hidden = !example?.picture;
      if (!example) return;
      const { shared, size, name, label, score, loss } = example;
      paint(canvases[0], pictures, 0, imageOf(state, shownCell(state)).size, LARGE, shared?.[0]);
      paint(canvases[1], pictures, index + 1, size, LARGE, shared?.[1]);
      setText(words[0], shared ? "The picture. Lit: what resembles the training image." : "The picture.");
      setText(words[1], `Training image ${name}: ${label}. Score ${signed(score)}, loss ${formatNumber(loss)}.`);
    },
  };
}

function canvas(): HTMLCanvasElement {
  return h("canvas", { "aria-hidden": "true" });
}

/** Paint a picture once it is decoded, with a longer side of so many CSS pixels. */
function paint(element: HTMLCanvasElement, pictures: PictureCache, id: number, [height, width]: Example["size"], side: number, lit?: Shared): void {
  const scale = side / Math.max(height, width);
  const sharp = scale * (window.devicePixelRatio || 1);
  const layer = layerOf(element);
  element.style.width = `${Math.round(width * scale)}px`;
  resize(layer, Math.max(1, Math.round(width * sharp)), Math.max(1, Math.round(height * sharp)));
  const decoded = pictures.at(id, element.width, element.height, WHOLE, false);
  if (!decoded) return;
  if (lit) drawShared(layer, decoded, lit);
  else layer.context.drawImage(decoded, 0, 0);
}
