/** Regions in the order in which they were added: step, play, jump. */

import { formatNumber } from "../format.ts";
import { regionCount, shownRegions } from "../select.ts";
import type { Region } from "../state.ts";
import { h, on, reveal, roving, setAttribute, setText, type Context } from "./dom.ts";

const BEAT = 450;
const CALM_BEAT = 1500;

/** Show the first `region` regions; in the heat map there are none to see, so it becomes the area. */
export function stepTo({ store }: Context, region: number): void {
  store.send({ kind: "set", settings: { mode: "area", region } });
}

export function regionsPanel(context: Context): HTMLElement {
  const { store, signal, watch } = context;
  const count = h("span", { class: "slw-muted slw-number" });
  const list = h("div", { class: "slw-region-list", role: "listbox", "aria-label": "Regions" });
  const play = playButton(context);
  const move = (step: number): void => {
    play.stop();
    stepTo(context, regionCount(store.state) + step);
    store.send({ kind: "commit" });
  };
  const back = h("button", { class: "slw-button", "aria-label": "Previous region", title: "Previous region" }, "◀");
  const forth = h("button", { class: "slw-button", "aria-label": "Next region", title: "Next region" }, "▶");
  on(back, "click", signal, () => move(-1));
  on(forth, "click", signal, () => move(1));
  const bar = h("div", { class: "slw-split" }, h("div", { class: "slw-row" }, back, forth, play.element), count);
  const element = h("section", { class: "slw-block slw-regions" }, h("h3", {}, "Regions"), bar, list);

  const rove = roving(list, signal, (index) => stepTo(context, index + 1));
  let rows: HTMLElement[] = [];
  on(list, "click", signal, (event) => {
    const at = rows.findIndex((row) => row.contains(event.target as Node));
    if (at < 0) return;
    play.stop();
    stepTo(context, at + 1);
    store.send({ kind: "commit" });
  });
  on(list, ["keyup", "focusout"], signal, () => store.send({ kind: "commit" }));
  watch(
    (state) => [shownRegions(state)],
    (state) => {
      const regions = shownRegions(state);
      play.stop();
      setAttribute(element, "data-absent", regions === null);
      rows = regions ? regionRows(regions) : [];
      list.replaceChildren(...rows);
    },
  );
  watch(
    (state) => [shownRegions(state), regionCount(state)],
    (state) => {
      const now = regionCount(state);
      setText(count, `${now} / ${rows.length}`);
      for (const [i, row] of rows.entries()) {
        setAttribute(row, "data-shown", i < now - 1 ? "before" : i === now - 1 ? "current" : "after");
        setAttribute(row, "aria-selected", i === now - 1 ? "true" : "false");
      }
      back.disabled = now <= 1;
      forth.disabled = now >= rows.length;
      rove.refresh(rows, now - 1);
      const row = rows[now - 1];
      if (row) reveal(list, row);
    },
  );
  return element;
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
      h("span", { class: "slw-number" }, unseen("gain "), formatNumber(gain)),
    );
  });
}

interface Play {
  readonly element: HTMLElement;
  stop(): void;
}

/** Adds region after region; slower where the system asks for less motion. */
function playButton(context: Context): Play {
  const { store, signal } = context;
  const element = h("button", { class: "slw-button slw-play" }, "Play");
  let timer: ReturnType<typeof setInterval> | null = null;
  const stop = (): void => {
    if (timer === null) return;
    clearInterval(timer);
    timer = null;
    setText(element, "Play");
    store.send({ kind: "commit" });
  };
  const beat = (): void => {
    const total = shownRegions(store.state)?.length ?? 0;
    const next = regionCount(store.state) + 1;
    if (next <= total) stepTo(context, next);
    if (next >= total) stop();
  };
  on(element, "click", signal, () => {
    if (timer !== null) {
      stop();
      return;
    }
    const total = shownRegions(store.state)?.length ?? 0;
    stepTo(context, regionCount(store.state) >= total ? 1 : regionCount(store.state));
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    timer = setInterval(beat, calm ? CALM_BEAT : BEAT);
    setText(element, "Stop");
  });
  signal.addEventListener("abort", () => timer !== null && clearInterval(timer), { once: true });
  return { element, stop };
}
