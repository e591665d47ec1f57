/** The list of regions, by rank: step, play, jump. */

import { formatNumber } from "../../core/format.ts";
import { clamp } from "../../core/geometry.ts";
import { keepShown, regionCount, shownRegions } from "../../core/regions.ts";
import type { Region } from "../../core/result.ts";
import type { State } from "../../core/state.ts";
import { ended } from "../../core/store.ts";
import { stepTo, toggleRegion } from "../ui/actions.ts";
import { button, h, on, reveal, roving, setAttribute, setText, type Context, type Roving } from "../ui/dom.ts";

const BEAT = 450;
const CALM_BEAT = 1500;

export function regionsPanel(context: Context): HTMLElement {
  const { store, commit, watch } = context;
  const count = h("span", { class: "slw-muted slw-number" });
  const list = h("div", { class: "slw-region-list", role: "listbox", "aria-label": "Regions" });
  const play = playButton(context);
  const move = (step: number): void => {
    play.stop();
    stepTo(context, regionCount(store.state) + step);
    commit();
  };
  const back = button(context, { "aria-label": "Previous region", title: "Previous region" }, "◀", () => move(-1));
  const forth = button(context, { "aria-label": "Next region", title: "Next region" }, "▶", () => move(1));
  const bar = h("div", { class: "slw-split" }, h("div", { class: "slw-row" }, back, forth, play.element), jumpField(context));
  const title = h("div", { class: "slw-split" }, h("h3", {}, "Regions"), count);
  const element = h("section", { class: "slw-block slw-regions" }, title, bar, list);

  let rows: readonly HTMLElement[] = [];
  watch(({ shown }) => [shown.mode], ({ shown }) => shown.mode === "heat" && play.stop());
  const rove = followRows(context, list, () => play.stop(), () => rows);
  watch(
    (state) => [shownRegions(state)],
    (state) => {
      const regions = shownRegions(state);
      play.stop();
      setAttribute(element, "data-absent", regions === null);
      const focused = rows.findIndex((row) => row.matches(":focus"));
      rows = regions ? regionRows(regions) : [];
      list.replaceChildren(...rows);
      if (focused >= 0) (rows[focused] ?? back).focus({ preventScroll: true });
    },
  );
  watch(
    (state) => [shownRegions(state), regionCount(state), state.shown.picked],
    (state) => {
      const picked = pickedRegions(state);
      const now = regionCount(state);
      setText(count, `${picked ? picked.length : now} / ${rows.length}`);
      setAttribute(list, "aria-multiselectable", picked ? "true" : false);
      for (const [i, row] of rows.entries()) {
        const chosen = picked ? picked.includes(i) : i === now - 1;
        setAttribute(row, "data-shown", chosen ? "current" : !picked && i < now - 1 ? "before" : "after");
        setAttribute(row, "aria-selected", String(chosen));
      }
      back.disabled = now <= 1;
      forth.disabled = now >= rows.length;
      rove.refresh(rows, now - 1);
      const row = picked ? undefined : rows[now - 1];
      if (row) reveal(list, row);
    },
  );
  return element;
}

/** A row steps to its region; while a selection is composed, or with Ctrl, it takes its region in or out. */
function followRows(context: Context, list: HTMLElement, stop: () => void, rows: () => readonly HTMLElement[]): Roving {
  const { store, glance, signal, commit } = context;
  const composing = (): boolean => glance.state.tool === "regions" || pickedRegions(store.state) !== null;
  const rowOf = (event: Event): number => rows().findIndex((row) => row.contains(event.target as Node));
  on(list, "click", signal, (event) => {
    const at = rowOf(event);
    if (at < 0) return;
    stop();
    if (composing() || event.ctrlKey || event.metaKey) toggleRegion(context, at);
    else {
      stepTo(context, at + 1);
      commit();
    }
  });
  on(list, "keydown", signal, (event) => {
    const at = rowOf(event);
    if (at < 0 || !composing() || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    event.stopPropagation();
    toggleRegion(context, at);
  });
  on(list, ["keyup", "focusout"], signal, commit);
  return roving(list, signal, (index) => {
    if (!composing()) stepTo(context, index + 1);
  });
}

/** The regions that were clicked on, where the selection consists of such. */
function pickedRegions(state: State): readonly number[] | null {
  return (shownRegions(state) && state.shown.picked.regions) ?? null;
}

/** As many regions as come nearest to a share of the area. */
function jumpField({ choose, signal, watch }: Context): HTMLElement {
  const input = h("input", { class: "slw-field slw-number slw-jump", type: "number", min: 0, max: 100, step: "any", "aria-label": "Share of the area, in per cent" });
  on(input, "change", signal, () => {
    if (!Number.isFinite(input.valueAsNumber)) return;
    choose({ mode: "area", keep: clamp(input.valueAsNumber, 0, 100) });
  });
  watch((state) => [keepShown(state)], (state) => {
    if (!input.matches(":focus")) input.value = String(keepShown(state));
  });
  return h("label", { class: "slw-row slw-muted" }, input, "% area");
}

function regionRows(regions: readonly Region[]): HTMLElement[] {
  const most = Math.max(...regions.map(({ gain }) => gain), 0) || 1;
  return regions.map(({ gain }, i) => {
    const bar = h("span", { class: "slw-gain" });
    bar.style.setProperty("--slw-share", String(Math.max(gain, 0) / most));
    const unseen = (text: string): HTMLElement => h("span", { class: "slw-hidden" }, text);
    return h(
      "div",
      { class: "slw-region", role: "option", tabindex: -1 },
      h("span", { class: "slw-number" }, unseen("region "), String(i + 1)),
      h("span", {}, bar),
      h("span", { class: "slw-number" }, unseen("mean attribution "), formatNumber(gain)),
    );
  });
}

interface Play {
  readonly element: HTMLElement;
  stop(): void;
}

/** Adds region after region; slower where the system prefers reduced motion. */
function playButton(context: Context): Play {
  const { store, signal, commit } = context;
  let timer: ReturnType<typeof setInterval> | undefined;
  const stop = (): void => {
    if (timer === undefined) return;
    clearInterval(timer);
    timer = undefined;
    setText(element, "Play");
    commit();
  };
  const beat = (): void => {
    const total = shownRegions(store.state)?.length ?? 0;
    const next = regionCount(store.state) + 1;
    if (next <= total) stepTo(context, next);
    if (next >= total) stop();
  };
  const element = button(context, { class: "slw-button slw-play" }, "Play", () => {
    if (timer !== undefined) {
      stop();
      return;
    }
    const total = shownRegions(store.state)?.length ?? 0;
    stepTo(context, regionCount(store.state) >= total ? 1 : regionCount(store.state));
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    timer = setInterval(beat, calm ? CALM_BEAT : BEAT);
    setText(element, "Stop");
  });
  ended(signal, () => clearInterval(timer));
  return { element, stop };
}
