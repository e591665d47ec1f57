/** The button that searches all classes. Its list is loaded when it is first opened. */

import { button, h, on, setAttribute, type Context } from "../ui/dom.ts";
import { popupToggle } from "../ui/lazy.ts";

export function searchButton(context: Context): HTMLElement {
  const { glance, signal, watch } = context;
  const element = h("div", { class: "slw-others" });
  const toggle = button(context, { class: "slw-button slw-other" }, "More classes…", popupToggle(context, "classes", element));
  element.append(toggle);
  watch(({ link }, { popup }) => [link, popup], ({ link, spec }, { popup }) => {
    toggle.hidden = link !== "live" || spec.stored === true;
    setAttribute(toggle, "aria-expanded", String(popup === "classes"));
  });
  on(element, "focusout", signal, (event) => {
    if (glance.state.popup === "classes" && !element.contains(event.relatedTarget as Node | null)) glance.send({ popup: "" });
  });
  return element;
}
