/** Above the gallery: what its pictures are sorted and filtered by, their maps, and the prediction of all of them. */

import { nameOf } from "../../core/lookup.ts";
import { shownCell, type ItemsMessage } from "../../core/state.ts";
import { ended } from "../../core/store.ts";
import { failureOf, type OrderRequest, type Request } from "../../kernel/commands.ts";
import { button, h, on, setText, type Context } from "../ui/dom.ts";
import { imagesIn } from "./order.ts";
import { createPredictor } from "./predicting.ts";

interface Callbacks {
  /** List the pictures in this order; `top`: from the first. */
  readonly show: (images: Uint32Array, top: boolean) => void;
  /** Draw the maps of a method on the pictures; "" for none. */
  readonly map: (method: string) => void;
  /** Report a failure; "" for none. */
  readonly report: (text: string) => void;
  /** Whether the first pictures are in sight: then a new order does not move what is looked at. */
  readonly atTop: () => boolean;
}

/** Keys that need the predictions of all pictures, and those whose order begins with the largest. */
const PREDICTED: readonly string[] = ["score", "label", "wrong", "confident", "right"];
const FALLING: readonly string[] = ["score", "evidence"];
/** Between two requests for an order: while one types, and while predictions arrive (milliseconds). */
const TYPING = 250;
const ARRIVING = 1500;

export function controls(context: Context, callbacks: Callbacks): HTMLElement {
  const { store, signal, watch } = context;
  const { gallery } = store.state.spec;
  const count = gallery?.count ?? 0;
  const fields = {
    sort: select("Sort by", gallery?.sorts ?? []),
    show: select("Show", gallery?.shows ?? []),
    query: h("input", { class: "slw-field slw-gallery-query", type: "search", placeholder: "Name or class", "aria-label": "Find pictures by name or class" }),
  };
  const status = h("span", { class: "slw-muted slw-number slw-gallery-status", role: "status" });
  const update = button(context, { hidden: true, title: "Sort and filter by the predictions made since" }, "Update", () => ordering.send(true));
  const predictor = createPredictor(context, {
    count,
    report: callbacks.report,
    changed(over) {
      if (callbacks.atTop()) ordering.soon(over ? 0 : ARRIVING);
      else if (over) update.hidden = false;
    },
  });
  const ordering = createOrdering(context, () => ({ sort: fields.sort.value, show: fields.show.value, query: fields.query.value, descending }), (answer, top) => {
    const images = imagesIn(answer);
    const predicted = Number(answer.raw["predicted"]) || 0;
    update.hidden = true;
    setText(status, words(images.length, count, predicted, answer.raw));
    predictor.known(predicted);
    callbacks.report("");
    callbacks.show(images, top);
  }, callbacks.report);
  const direction = button(context, { class: "slw-button slw-icon", title: "Reverse the order", "aria-label": "Reverse the order" }, "↑", () => turn(!descending));
  let descending = false;
  const turn = (now: boolean): void => {
    descending = now;
    setText(direction, descending ? "↓" : "↑");
    ordering.send(true);
  };
  const chosen = (): void => {
    context.glance.send({ near: null });
    if (fields.show.value === "confident") fields.sort.value = "score";
    if (PREDICTED.includes(fields.sort.value) || PREDICTED.includes(fields.show.value)) predictor.start();
    turn(FALLING.includes(fields.sort.value));
  };
  on(fields.sort, "change", signal, chosen);
  on(fields.show, "change", signal, chosen);
  on(fields.query, "input", signal, () => ordering.soon(TYPING));
  const near = nearPart(context, () => ordering.send(true));
  const maps = mapsBox(context, callbacks.map);
  setText(status, words(count, count, 0, {}));
  watch(({ link }) => [link], ({ link }) => {
    for (const control of [...Object.values(fields), direction]) control.disabled = link !== "live";
    if (link === "live") ordering.send(false);
  });
  return h(
    "div", { class: "slw-gallery-bar" },
    h("label", {}, h("span", { class: "slw-muted" }, "Sort by"), fields.sort), direction,
    h("label", {}, h("span", { class: "slw-muted" }, "Show"), fields.show), fields.query,
    maps, near, h("span", { class: "slw-row" }, predictor.button, update), status,
  );
}

interface Ordering {
  /** Request the order; `top`: to list it from the first. */
  readonly send: (top: boolean) => void;
  readonly soon: (delay: number) => void;
}

/** Requests the order that the controls name, one at a time. */
function createOrdering(
  { store, glance, commands, signal }: Context, wanted: () => Pick<OrderRequest, "sort" | "show" | "query" | "descending">,
  arrived: (answer: ItemsMessage, top: boolean) => void, report: (text: string) => void,
): Ordering {
  let running: Request<ItemsMessage> | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const send = (top: boolean): void => {
    clearTimeout(timer);
    timer = undefined;
    if (store.state.link !== "live") return;
    running?.cancel();
    const { model_index: model, method } = store.state.shown;
    running = commands.request("order", { model, method, near: glance.state.near, ...wanted() });
    running.answer.then((answer) => arrived(answer, top), (reason: unknown) => report(failureOf(reason).message));
  };
  ended(signal, () => clearTimeout(timer));
  return {
    send,
    soon(delay) {
      timer ??= setTimeout(() => send(true), delay);
    },
  };
}

/** Names the picture whose nearest are listed, and ends that; `changed` follows either. */
function nearPart(context: Context, changed: () => void): HTMLElement {
  const { store, glance, watch } = context;
  const name = h("span", {});
  const end = button(context, { class: "slw-button slw-icon", "aria-label": "List all pictures", title: "List all pictures" }, "×", () => glance.send({ near: null }));
  const element = h("span", { class: "slw-row", hidden: true }, name, end);
  watch((_, { near }) => [near], (_, { near }) => {
    const before = element.hidden;
    element.hidden = near === null;
    if (near !== null) setText(name, `Nearest maps to ${store.state.spec.images[near]?.name ?? ""}`);
    if (near !== null || !before) changed();
  });
  return element;
}

/** Whether the maps of the shown method are drawn on the pictures. */
function mapsBox({ store, signal, watch }: Context, map: (method: string) => void): HTMLElement {
  const box = h("input", { type: "checkbox" });
  const name = h("span", {});
  const draw = (): void => map(box.checked ? store.state.shown.method : "");
  on(box, "change", signal, draw);
  watch(({ shown, spec, link }) => [shown.method, spec.methods, link], (state) => {
    box.disabled = state.link !== "live";
    setText(name, `Maps: ${nameOf(state, shownCell(state))}`);
  });
  watch(({ shown, parameters }) => [shown.method, shown.colormap, parameters], () => {
    if (box.checked) draw();
  });
  return h("label", { class: "slw-check" }, box, name);
}

function words(listed: number, count: number, predicted: number, raw: ItemsMessage["raw"]): string {
  const n = (value: number): string => value.toLocaleString("en");
  const all = listed === count ? `${n(count)} pictures` : `${n(listed)} of ${n(count)} pictures`;
  const known = predicted > 0 && predicted < count ? [`${n(predicted)} predicted`] : [];
  const [right, wrong] = [Number(raw["right"]) || 0, Number(raw["wrong"]) || 0];
  const judged = right + wrong > 0 ? [`${n(right)} right, ${n(wrong)} wrong`] : [];
  return [all, ...known, ...judged].join(" · ");
}

function select(name: string, options: readonly (readonly [key: string, name: string])[]): HTMLSelectElement {
  return h("select", { class: "slw-field", "aria-label": name }, ...options.map(([value, text]) => h("option", { value }, text)));
}
