/** The models and images: shown only where there are several. */

import { choosing } from "../../core/grid.ts";
import { openImages } from "../../core/lookup.ts";
import type { State } from "../../core/state.ts";
import { layerOf, resize } from "../../paint/layer.ts";
import { compareBox } from "../ui/compare-box.ts";
import { h, on, reveal, roving, setAttribute, type Context } from "../ui/dom.ts";

/** Height of a picture in the strip, in CSS pixels. */
const THUMB = 40;

export function subjectsPanel(context: Context): HTMLElement {
  const element = h("div", { class: "slw-subjects", hidden: true });
  // what there is does not change in the widget's life
  context.watch(
    ({ spec }) => [spec.models.join("\n"), openImages(spec).map(([i, { name }]) => `${i} ${name}`).join("\n")],
    ({ spec }) => {
      const parts: HTMLElement[] = [];
      if (spec.models.length > 1) parts.push(strip(context, "Model", "models", spec.models.map((name, i) => [i, h("span", {}, name)])));
      const images = openImages(spec);
      if (images.length > 1) {
        const pictures = images.map(([i, { name }]) => [i, filmstrip(i), h("span", { class: "slw-chip-label" }, name)] as const);
        parts.push(strip(context, spec.gallery ? "Opened" : "Image", "images", pictures));
      }
      element.hidden = parts.length === 0;
      element.replaceChildren(...parts);
    },
  );
  // drawn after the strip, which makes its canvases
  const filmstrip = createFilmstrip(context);
  return element;
}

function strip(context: Context, title: string, axis: "models" | "images", contents: readonly (readonly [index: number, ...content: HTMLElement[]])[]): HTMLElement {
  const { store, signal, choose, watch } = context;
  const row = h("div", { class: "slw-chips", role: "radiogroup", "aria-label": title });
  const rove = roving(row, signal);
  const indices = contents.map(([index]) => index);
  const chips = contents.map(([i, ...content]) => {
    const chip = h("button", { class: `slw-chip slw-subject slw-of-${axis}`, role: "radio" }, ...content);
    setAttribute(chip, "title", chip.textContent);
    on(chip, "click", signal, () => {
      choose(choosing(store.state, axis, i));
    });
    row.append(h("span", { class: "slw-slot" }, compareBox(context, axis, i, `${title.toLowerCase()} ${chip.textContent}`), chip));
    return chip;
  });
  const shownIndex = (state: State): number => indices.indexOf(axis === "models" ? state.shown.model_index : state.shown.image_index);
  watch(
    (state) => [shownIndex(state)],
    (state) => {
      for (const [i, chip] of chips.entries()) setAttribute(chip, "aria-checked", String(i === shownIndex(state)));
      rove.refresh(chips, shownIndex(state));
      const chip = chips[shownIndex(state)];
      if (chip) reveal(row, chip);
    },
  );
  return h("div", { class: "slw-classes" }, h("span", { class: "slw-muted slw-lead" }, title), row);
}

/** Small copies of the pictures, made once. */
function createFilmstrip({ watch, signal }: Context): (image: number) => HTMLElement {
  const done = new Map<number, Blob>();
  const canvases = new Map<number, HTMLCanvasElement>();
  const draw = async (image: number, blob: Blob): Promise<void> => {
    const bitmap = await createImageBitmap(blob);
    const canvas = canvases.get(image);
    if (canvas && !signal.aborted) {
      const scale = (THUMB * (window.devicePixelRatio || 1)) / bitmap.height;
      const layer = layerOf(canvas);
      resize(layer, Math.max(1, Math.round(bitmap.width * scale)), Math.round(bitmap.height * scale));
      layer.context.imageSmoothingQuality = "high";
      layer.context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    }
    bitmap.close();
  };
  watch(
    ({ pictures, spec }) => [pictures, spec.images],
    ({ pictures }) => {
      for (const [image, blob] of pictures) {
        if (!canvases.has(image) || done.get(image) === blob) continue;
        done.set(image, blob);
        draw(image, blob).catch((error: unknown) => console.warn("saliency-widget: no picture:", error));
      }
    },
  );
  return (image) => {
    const canvas = h("canvas", { class: "slw-thumb", "aria-hidden": "true" });
    canvas.height = THUMB;
    canvas.width = THUMB;
    canvases.set(image, canvas);
    done.delete(image);
    return canvas;
  };
}
