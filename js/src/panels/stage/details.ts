/** Details of large pictures: what is zoomed beyond the copy in the browser is requested at the resolution of the screen. */

import { clamp } from "../../core/geometry.ts";
import type { Detail } from "../../core/glance.ts";
import { cellsOf } from "../../core/grid.ts";
import { ended } from "../../core/store.ts";
import { list } from "../../kernel/messages.ts";
import { unexpected } from "../../kernel/packet.ts";
import { greyOf, magnified } from "../../paint/pictures.ts";
import { h, type Context } from "../ui/dom.ts";

/** Milliseconds for which the view has to rest. */
const REST = 150;
/** What is requested around the part on the screen, as a share of it. */
const MARGIN = 0.1;
/** The number of details that are kept. */
const KEPT = 8;
/** The kernel gives no wider ones. */
const WIDEST = 4096;
/** Of shares of the picture. */
const ROUNDING = 1e-9;

/** An empty element: the stage draws the details. */
export function detailsPanel({ store, glance, commands, signal, watch }: Context): HTMLElement {
  const element = h("span", { hidden: true });
  /** The last one first dropped. */
  const kept: Detail[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let left = new AbortController();

  const take = (detail: Detail): void => {
    kept.push(detail);
    const dropped = kept.length > KEPT && kept.shift();
    glance.send({ details: [...kept].sort((one, other) => resolution(one) - resolution(other)) });
    if (dropped) dropped.sources[0].close();
  };
  const request = async (image: number, [height, width]: readonly [number, number], box: readonly number[], pixels: number): Promise<void> => {
    const { answer, cancel } = commands.request("detail", { image, box, width: pixels });
    ended(left.signal, cancel);
    const { raw, buffers } = await answer;
    const file = buffers.get("picture");
    const [x, y, right, bottom] = list(raw, "box") as readonly [number, number, number, number?];
    if (!file || bottom === undefined) throw unexpected("a picture and its box", raw);
    const bitmap = await createImageBitmap(new Blob([file.slice()], { type: "image/jpeg" }));
    if (signal.aborted) bitmap.close();
    else take({ image, box: { x: x / width, y: y / height, width: (right - x) / width, height: (bottom - y) / height }, sources: [bitmap, greyOf(bitmap)] });
  };
  const look = (): void => {
    const { state } = store;
    const { view } = glance.state;
    const canvas = element.parentElement?.querySelector("canvas");
    if (!canvas || state.link !== "live" || state.silent) return;
    const wide = canvas.clientWidth * (window.devicePixelRatio || 1);
    const share = 1 / view.zoom;
    const spans = (from: number, length: number, at: number): boolean => from <= at && from + length >= at + share - ROUNDING;
    /** From where to where, in pixels of a side of the picture. */
    const ends = (at: number, side: number): readonly [number, number] =>
      [Math.floor(Math.max(at - MARGIN * share, 0) * side), Math.ceil(Math.min(at + share + MARGIN * share, 1) * side)];
    for (const image of new Set(cellsOf(state).map((cell) => cell.image))) {
      const { size, full } = state.spec.images[image] ?? {};
      if (!size || !full || !magnified(size[1], wide, view.zoom)) continue;
      const needed = Math.min(wide * view.zoom, full[1]);
      const shows = (detail: Detail): boolean =>
        detail.image === image && resolution(detail) >= 0.99 * needed
        && spans(detail.box.x, detail.box.width, view.u) && spans(detail.box.y, detail.box.height, view.v);
      if (kept.some(shows)) continue;
      const [[from, to], [top, bottom]] = [ends(view.u, full[1]), ends(view.v, full[0])];
      request(image, full, [from, top, to, bottom], clamp(Math.ceil(((to - from) / full[1]) * needed), 1, WIDEST))
        .catch((reason: unknown) => console.warn("saliency-widget: no detail:", reason));
    }
  };
  watch((state, { view }) => [view, state.link, state.silent, state.spec.images, state.shown.image_index, state.shown.grid], () => {
    clearTimeout(timer);
    left.abort();
    left = new AbortController();
    timer = setTimeout(look, REST);
  });
  ended(signal, () => {
    clearTimeout(timer);
    left.abort();
    for (const { sources } of kept) sources[0].close();
  });
  return element;
}

/** The width of the whole picture, in pixels of a detail. */
function resolution({ sources, box }: Detail): number {
  return sources[0].width / box.width;
}
