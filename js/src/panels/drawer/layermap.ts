/** What the tabs about a layer share: its choice, and a map of it over the greyed picture. */

import { layersOf } from "../../core/answers.ts";
import { WHOLE } from "../../core/geometry.ts";
import { imageOf } from "../../core/lookup.ts";
import type { ChannelMaps } from "../../core/result.ts";
import { shownCell, type State } from "../../core/state.ts";
import { drawChannel } from "../../paint/channel.ts";
import { layerOf, resize } from "../../paint/layer.ts";
import { createPictures } from "../../paint/pictures.ts";
import { h, on, setAttribute, setText, type Context } from "../ui/dom.ts";

/** Longer side of the picture, in CSS pixels. */
const SIDE = 380;

export interface MapFigure {
  readonly element: HTMLElement;
  /** Draw the map at a rank, or without maps only the words; `name`: what it is the map of. */
  readonly draw: (state: State, maps: ChannelMaps | null, rank: number, words: string, name: string) => void;
}

/** `refresh` is called when the picture is decoded. */
export function mapFigure({ signal }: Context, refresh: () => void): MapFigure {
  const pictures = createPictures(signal, refresh);
  const canvas = h("canvas", { class: "slw-channel-map", role: "img" });
  const caption = h("figcaption", { class: "slw-muted" });
  const screen = layerOf(canvas);
  return {
    element: h("figure", { class: "slw-channel-figure" }, canvas, caption),
    draw(state, maps, rank, words, name) {
      canvas.hidden = !maps;
      setText(caption, words);
      setAttribute(canvas, "aria-label", `Map of ${name}`);
      if (!maps) return;
      const { image } = shownCell(state);
      const { size } = imageOf(state, shownCell(state));
      const scale = (SIDE * (window.devicePixelRatio || 1)) / Math.max(...size);
      resize(screen, Math.max(1, Math.round(size[1] * scale)), Math.max(1, Math.round(size[0] * scale)));
      canvas.style.aspectRatio = `${size[1]} / ${size[0]}`;
      pictures.load(state.pictures, [image]);
      const grey = pictures.at(image, canvas.width, canvas.height, WHOLE, true);
      if (grey) drawChannel(screen, grey, size, maps, rank, state.shown);
    },
  };
}

/** The layers are known from the first answer on; `automatic` returns the name of the automatic one, once it is known. */
export function layerField({ glance, signal, watch }: Context, automatic: (state: State) => string | undefined): HTMLElement {
  const field = h("select", { class: "slw-field" });
  let shown = "";
  on(field, "change", signal, () => glance.send({ layer: field.value }));
  watch((state, { layer, by }) => [state.answers, state.shown, layer, by], (state, { layer }) => {
    const known = automatic(state);
    const names = layersOf(state, shownCell(state));
    const options: readonly (readonly [string, string])[] = [["", known ? `automatic (${known})` : "automatic"], ...[...names].reverse().map((name) => [name, name] as const)];
    if (JSON.stringify(options) !== shown) field.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
    shown = JSON.stringify(options);
    field.value = layer;
  });
  return h("label", { class: "slw-row slw-muted" }, "Layer", field);
}
