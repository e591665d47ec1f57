/** The channels of a layer with the largest attributions to the class, as bars; the map of the selected one on the picture. */

import { channelsKey, channelsOf, type ChannelMethod } from "../../core/answers.ts";
import { keyOf } from "../../core/cell.ts";
import { formatImages, formatNumber, formatShare } from "../../core/format.ts";
import { shownExplained } from "../../core/lookup.ts";
import type { Channels } from "../../core/result.ts";
import { shownCell, type State } from "../../core/state.ts";
import { h, on, setAttribute, setText, type Context } from "../ui/dom.ts";
import { layerField, mapFigure } from "./layermap.ts";
import { listBox } from "./listbox.ts";
import { createRunner, obstacle, runnerRow } from "./runner.ts";

const METHODS: readonly (readonly [ChannelMethod, string])[] = [
  ["input_x_gradient", "gradient × activation"],
  ["integrated_gradients", "integrated gradients"],
  ["deep_lift", "DeepLIFT"],
  ["lrp", "LRP"],
];
const ABOUT = "Ranks the channels of a layer by their contribution to the score of the class.";

export function channelsPanel(context: Context): HTMLElement {
  const { store, glance, watch } = context;
  const runner = createRunner(context, () => draw(store.state));
  const row = runnerRow(context, runner, "The channels could not be computed", () => start());
  const sentence = h("p", { role: "status" });
  const list = listBox<Channels>(context, "slw-channel-list", "Channels", () => draw(store.state));
  const picture = mapFigure(context, () => draw(store.state));
  const found = h("div", { class: "slw-channel-table", hidden: true }, list.element, picture.element);
  const notes = h("p", { class: "slw-muted" });

  const start = (): void => {
    const { state } = store;
    const [cell, about, { layer, by }] = [shownCell(state), shownExplained(state), glance.state];
    if (!about) return;
    const key = channelsKey(layer, by);
    runner.run(`${keyOf(cell)} ${key}`, "channels", { ...cell, layer, by }, (channels) => {
      if (channels) store.send({ kind: "channels", about, key, channels });
    });
  };
  const fill = (channels: Channels): readonly HTMLElement[] => {
    const rows = rowsOf(channels);
    list.element.replaceChildren(...rows);
    setText(notes, channels.notes.join(" · "));
    return rows;
  };
  const draw = (state: State): void => {
    const [cell, { layer, by }] = [shownCell(state), glance.state];
    const key = channelsKey(layer, by);
    const answer = channelsOf(state, cell, key);
    const hindrance = answer ? "" : obstacle(state, cell);
    const cost = answer ? `${formatImages(answer.channels.images)} evaluated` : "";
    row.draw(state, `${keyOf(cell)} ${key}`, answer || hindrance ? "" : "Rank channels", runner.cell ? `${Math.floor(runner.share * 100)} %` : cost);
    setText(sentence, answer ? `${answer.about.stale ? "Outdated, the weights changed. " : ""}${summaryOf(answer.channels)}` : hindrance || ABOUT);
    setAttribute(sentence, "class", answer ? "slw-sentence" : "slw-muted");
    found.hidden = notes.hidden = !answer;
    if (!answer) return;
    const { channels } = answer;
    const rank = list.draw(channels, fill);
    picture.draw(state, channels.maps, rank, ...wordsOf(channels, rank));
  };
  watch((state, { layer, by }) => [state.shown, state.explained, state.answers, state.pictures, state.link, layer, by], draw);
  const automatic = (state: State): string | undefined => channelsOf(state, shownCell(state), channelsKey("", glance.state.by))?.channels.layer;
  const choices = h("div", { class: "slw-row slw-channel-choices" }, layerField(context, automatic), methodField(context));
  return h("div", { class: "slw-drawer-body" }, h("section", { class: "slw-block slw-channels" }, choices, sentence, ...row.parts, found, notes));
}

function summaryOf({ layer, label, count, channels }: Channels): string {
  const share = channels.reduce((sum, each) => sum + each.share, 0);
  const top = channels.length < count ? `the top ${channels.length} of ${count} channels hold ${formatShare(share)} of the attribution` : `all ${count} channels`;
  return `Layer ${layer} for ${label}: ${top}.`;
}

/** What the map of a channel shows, and its name. */
function wordsOf({ channels, maps, layer }: Channels, rank: number): [words: string, name: string] {
  const { index, sum } = channels[rank]!;
  const effect = sum < 0 ? "opposes" : "supports";
  return [
    maps ? `Channel ${index} ${effect} the class: sum ${formatNumber(sum)}. Red supports, blue opposes; each map has its own scale.` : `The layer ${layer} has no grid on the picture, so its channels have no maps.`,
    `channel ${index}`,
  ];
}

/** One bar a channel: to the right where it supports the class, to the left where it opposes it. */
function rowsOf({ channels }: Channels): HTMLElement[] {
  const most = Math.max(...channels.map(({ share }) => share)) || 1;
  return channels.map(({ index, sum, share }) => {
    const bar = h("span", { class: `slw-channel-bar ${sum < 0 ? "slw-opposes" : "slw-supports"}` });
    bar.style.setProperty("--slw-share", String(share / most));
    const signed = `${sum < 0 ? "−" : ""}${formatShare(share)}`;
    return h("div", { class: "slw-channel", role: "option", tabindex: -1, title: `Channel ${index}: ${formatNumber(sum)}` },
      h("span", { class: "slw-number" }, h("span", { class: "slw-hidden" }, "channel "), String(index)), h("span", { class: "slw-channel-track" }, bar), h("span", { class: "slw-number" }, signed));
  });
}

function methodField({ glance, signal, watch }: Context): HTMLElement {
  const field = h("select", { class: "slw-field" }, ...METHODS.map(([value, name]) => h("option", { value }, name)));
  on(field, "change", signal, () => glance.send({ by: field.value as ChannelMethod }));
  watch((_, { by }) => [by], (_, { by }) => {
    field.value = by;
  });
  return h("label", { class: "slw-row slw-muted" }, "Method", field);
}
