/** The gallery of many pictures, which covers the frame while no picture is open; and the bar over an open picture that leads back. */

import { pairOf, TOP } from "../../core/cell.ts";
import { ended } from "../../core/store.ts";
import { failureOf } from "../../kernel/commands.ts";
import { h, hasFocus, setText, type Context } from "../ui/dom.ts";
import { backBar } from "./back.ts";
import { controls } from "./controls.ts";
import { createList } from "./list.ts";
import { orderOf, originalOrder } from "./order.ts";
import { createRequester } from "./requester.ts";
import { createShelf } from "./shelf.ts";

export function galleryPanel(context: Context): HTMLElement {
  const { store, signal, watch } = context;
  const shelf = createShelf();
  ended(signal, shelf.close);
  const note = h("p", { class: "slw-gallery-note", role: "status" });
  const report = (text: string): void => setText(note, text);
  const open = opener(context, report);
  let order = originalOrder(store.state.spec.gallery?.count ?? 0);

  const requester = createRequester(context, report);
  const list = createList(context, shelf, { imageAt: (at) => order.imageAt(at), open, seen: requester.see });
  const bar = controls(context, {
    report,
    atTop: () => list.element.scrollTop === 0,
    show(images, top) {
      order = orderOf(images);
      list.show(order.count, top ? 0 : Math.max(0, order.placeOf(store.state.shown.image_index)));
    },
    map(method) {
      shelf.forgetMaps();
      requester.map(method);
      list.mapped(method !== "");
    },
  });
  const receive = (): void => {
    const { items, link } = store.state;
    if (!items) return;
    if (!shelf.take(items)) requester.again();
    // a page without a kernel has the first pictures only
    if (link !== "live") order = orderOf(Uint32Array.from(shelf.items.keys()));
    if (link !== "live") list.show(order.count, 0);
    list.refresh();
  };
  receive();
  store.subscribe((state, before) => {
    if (state.items !== before.items) receive();
    if (state.shown.model_index !== before.shown.model_index || (before.silent && !state.silent)) requester.again();
  }, signal);

  watch(({ link, silent, items }) => [link, silent, items === null], ({ link, silent, items }) => {
    if (silent) report("Kernel not responding. Run the cell again.");
    else if (link === "packed" && !items) report("The pictures of the gallery need a running kernel. Run the cell again.");
    else report("");
  });
  const grid = h("div", { class: "slw-gallery", role: "group", "aria-label": "Gallery" }, bar, list.element);
  const back = backBar(context, shelf.items, () => order, open);
  const element = h("div", { class: "slw-gallery-frame" }, grid, back, note);
  watch(({ shown }) => [shown.gallery], ({ shown: { gallery, image_index } }) => {
    const root = element.closest<HTMLElement>(".slw-root");
    const hadFocus = root !== null && hasFocus(root);
    grid.hidden = !gallery;
    back.hidden = gallery;
    if (!gallery) return;
    list.show(order.count, Math.max(0, order.placeOf(image_index)));
    if (hadFocus) list.focus();
  });
  return element;
}

/** Return what opens a picture: at once where it is open, else by the kernel. */
function opener({ store, commands, choose }: Context, report: (text: string) => void): (image: number) => void {
  return (image) => {
    const { spec, shown, link, predictions } = store.state;
    report("");
    if (image === shown.image_index) choose({ gallery: false });
    else if (image in spec.images) {
      const target = predictions.get(pairOf(shown.model_index, image))?.[0]?.index ?? TOP;
      choose({ gallery: false, image_index: image, target, picked: {} });
    } else if (link !== "live") report("This picture was not opened before the page was saved. Opening it needs a running kernel.");
    else {
      report("Opening…");
      commands.request("open", { image }).answer.then(() => report(""), (reason: unknown) => report(failureOf(reason).message));
    }
  };
}
