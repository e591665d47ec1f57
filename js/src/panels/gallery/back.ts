/** The bar over an open picture: back to the gallery, to the pictures before and after it, and its true class. */

import { button, h, isTyping, on, setAttribute, setText, type Context } from "../ui/dom.ts";
import type { Order } from "./order.ts";
import type { Item } from "./shelf.ts";

export function backBar(context: Context, items: ReadonlyMap<number, Item>, order: () => Order, open: (image: number) => void): HTMLElement {
  const { store, glance, watch, signal, choose } = context;
  const back = (): void => choose({ gallery: true });
  const step = (by: number): void => open(order().imageAt(order().placeOf(store.state.shown.image_index) + by));
  const before = button(context, { class: "slw-button slw-icon", title: "Previous picture", "aria-label": "Previous picture" }, "‹", () => step(-1));
  const after = button(context, { class: "slw-button slw-icon", title: "Next picture", "aria-label": "Next picture" }, "›", () => step(1));
  const place = h("span", { class: "slw-muted slw-number" });
  const name = h("strong", { class: "slw-back-name" });
  const truth = h("span", { class: "slw-item-below" });
  const all = button(context, { title: "Back to all pictures (Esc)" }, "All pictures", back);
  const nearest = button(context, { title: "List the pictures whose maps are most like this one", hidden: !store.state.spec.gallery?.nearest }, "Nearest maps", () => {
    glance.send({ near: store.state.shown.image_index });
    back();
  });
  const element = h("div", { class: "slw-back", role: "group", "aria-label": "Place in the gallery" }, all, before, after, place, name, truth, nearest);
  let listens = false;
  watch(
    ({ shown, spec, items: news }) => [shown.image_index, shown.gallery, spec, news],
    ({ shown: { image_index, gallery }, spec }) => {
      const { count, placeOf } = order();
      const at = placeOf(image_index);
      before.disabled = at <= 0;
      after.disabled = at < 0 || at >= count - 1;
      setText(place, at < 0 ? "" : `${(at + 1).toLocaleString("en")} of ${count.toLocaleString("en")}`);
      setText(name, spec.images[image_index]?.name ?? "");
      const item = items.get(image_index);
      setText(truth, item?.truth ? `${item.right === null ? "" : item.right ? "✓ " : "✕ predicted " + item.label + ", "}true class ${item.truth}` : "");
      setAttribute(element, "data-right", item?.right == null ? false : String(item.right));
      const root = element.closest<HTMLElement>(".slw-root");
      if (gallery || !root || listens) return;
      listens = true;
      on(root, "keydown", signal, (event) => {
        if (event.key !== "Escape" || store.state.shown.gallery || event.defaultPrevented || isTyping(event)) return;
        event.preventDefault();
        back();
      });
    },
  );
  return element;
}
