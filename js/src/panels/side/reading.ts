/** The value under the pointer, the cost of the map, and the settings used. */

import { pairOf } from "../../core/cell.ts";
import { formatImages, formatNumber, formatSeconds, formatShare } from "../../core/format.ts";
import { pixelOf, type Point } from "../../core/geometry.ts";
import { imageOf, shownExplained, shownMethod } from "../../core/lookup.ts";
import { readingAt } from "../../core/reading.ts";
import type { Concern } from "../../core/result.ts";
import { shownCell, type State } from "../../core/state.ts";
import { failureOf } from "../../kernel/commands.ts";
import { button, h, on, setAttribute, setText, type Context } from "../ui/dom.ts";

const FIGURES = ["x", "y", "value", "region", "gain", "area"] as const;
type Figure = (typeof FIGURES)[number];

export function readingPanel(context: Context): HTMLElement {
  const figures = new Map(FIGURES.map((name) => [name, h("strong", { class: "slw-number" })]));
  const parts = FIGURES.map((name) => h("span", { class: `slw-figure slw-figure-${name}` }, `${name === "gain" ? "mean attribution" : name} `, figures.get(name) ?? ""));
  const hint = h("span", { class: "slw-hint slw-muted" }, "Hover to see values");
  const reading = h("div", { class: "slw-reading" }, hint, ...parts);
  const warning = h("p", { class: "slw-warning", role: "status" });
  const cost = h("span", { class: "slw-cost slw-muted" });
  const notes = h("ul", { class: "slw-notes", id: context.id("notes"), hidden: true });
  const decided = h("button", { class: "slw-decided slw-muted", "aria-controls": notes.id }, "Settings used");
  const open = (now: boolean): void => {
    notes.hidden = !now;
    setAttribute(decided, "aria-expanded", String(now));
  };
  open(false);
  on(decided, "click", context.signal, () => open(notes.hidden));
  on(decided, "keydown", context.signal, (event) => {
    if (event.key !== "Escape" || notes.hidden) return;
    open(false);
    event.preventDefault();
  });

  context.watch(
    (state, { point }) => [point, state.shown, shownExplained(state)],
    (state, { point }) => {
      const words = point ? figuresAt(state, point) : {};
      hint.hidden = point !== null;
      for (const [i, name] of FIGURES.entries()) {
        setText(figures.get(name) ?? reading, words[name] ?? "–");
        parts[i]?.classList.toggle("slw-none", words[name] === undefined);
      }
    },
  );
  context.watch(
    (state) => [warningOf(state)],
    (state) => setText(warning, warningOf(state)),
  );
  context.watch(
    (state) => [shownExplained(state), state.spec, state.shown.method],
    (state) => {
      setText(cost, costText(state));
      const sentences = notesOf(state);
      decided.hidden = sentences.length === 0;
      if (decided.hidden) open(false);
      notes.replaceChildren(...sentences.map((sentence) => h("li", {}, sentence)));
    },
  );
  return h("div", { class: "slw-foot" }, warning, concernPart(context), reading, cost, decided, notes);
}

/** A badge where the shown result is poor, with the reason and a button that improves it. */
function concernPart(context: Context): HTMLElement {
  const { store, commands, watch } = context;
  const words = h("span");
  const improve = button(context, {}, "", () => {
    const { state } = store;
    const { method } = state.shown;
    const remedy = concernOf(state)?.remedy;
    if (!remedy) return;
    const fields = { ...state.parameters[method], ...remedy.fields };
    commands.request("configure", { method, fields }).answer.catch((reason: unknown) => setText(words, failureOf(reason).message));
  });
  const badge = h("span", { class: "slw-badge", "aria-hidden": "true" }, "!");
  const element = h("div", { class: "slw-concern", role: "status", hidden: true }, badge, words, improve);
  watch((state) => [concernOf(state), state.link], (state) => {
    const concern = concernOf(state);
    element.hidden = concern === null;
    setText(words, concern?.sentence ?? "");
    improve.hidden = !concern?.remedy || state.link !== "live";
    setText(improve, concern?.remedy?.label ?? "");
    setAttribute(improve, "title", concern?.remedy ? "Compute this map again with this setting" : false);
  });
  return element;
}

/** What is poor about the shown result; null where nothing is, or while it is computed. */
function concernOf(state: State): Concern | null {
  const explained = shownExplained(state);
  return explained && explained.share >= 1 ? explained.result.concern : null;
}

function warningOf({ warnings, shown }: State): string {
  return warnings.get(pairOf(shown.model_index, shown.image_index)) ?? "";
}

function figuresAt(state: State, point: Point): Partial<Record<Figure, string>> {
  const cell = shownCell(state);
  const [x, y] = pixelOf(point, imageOf(state, cell).size);
  const { value, region } = readingAt(state, cell, point);
  return {
    x: String(x),
    y: String(y),
    ...(value === null ? {} : { value: formatNumber(value) }),
    ...(region && { region: String(region.rank), gain: formatNumber(region.gain), area: formatShare(region.cumulative) }),
  };
}

function costText(state: State): string {
  const result = shownExplained(state)?.result;
  const parts = result
    ? [
        shownMethod(state)?.name ?? result.method,
        result.layer ? `layer: ${result.layer}` : "",
        result.images > 0 ? `${formatImages(result.images)} evaluated` : "",
        result.seconds > 0 ? formatSeconds(result.seconds) : "",
      ]
    : [];
  return parts.filter(Boolean).join(" · ");
}

function notesOf(state: State): readonly string[] {
  const result = shownExplained(state)?.result;
  const paper = shownMethod(state)?.paper;
  const sentences = [...state.spec.notes, ...(result?.notes ?? []), result?.caption ?? "", paper ? `Paper: ${paper}` : ""];
  // settings of the model stand in its results too
  return [...new Set(sentences)].filter(Boolean);
}
