/** Keeps the keyboard focus in the widget when the focused control hides, is disabled or is removed. */

import { ended } from "../../core/store.ts";
import { on } from "./dom.ts";

/** The focus would fall to the page, whose keys do not reach the widget: the control's nearest visible ancestor takes it. */
export function keepFocus(root: HTMLElement, signal: AbortSignal): void {
  /** The focused control and its ancestors in the widget: a removed control has none any more. */
  let path: readonly HTMLElement[] = [];
  const observer = new MutationObserver(() => {
    const [control, ...ancestors] = path;
    if (!control || !root.isConnected || canFocus(root, control)) return;
    const next = ancestors.find((ancestor) => canFocus(root, ancestor));
    if (next) focusContainer(next);
  });
  on(root, "focusin", signal, (event) => (path = pathOf(root, event.target as HTMLElement)));
  on(root, "focusout", signal, () => {
    const left = path;
    // some browsers send this event for a removed control too, before the observer is called
    setTimeout(() => {
      if (path === left) path = [];
    });
  });
  observer.observe(root, { subtree: true, childList: true, attributeFilter: ["hidden", "disabled"] });
  ended(signal, () => observer.disconnect());
}

function pathOf(root: HTMLElement, control: HTMLElement): readonly HTMLElement[] {
  const path = [control];
  for (let at = control; at !== root && at.parentElement; at = at.parentElement) path.push(at.parentElement);
  return path;
}

function canFocus(root: HTMLElement, element: HTMLElement): boolean {
  return root.contains(element) && !element.closest("[hidden]") && !element.matches(":disabled");
}

/** Focus an element that Tab does not stop at; Tab goes on from there. */
function focusContainer(element: HTMLElement): void {
  if (!element.hasAttribute("tabindex")) {
    element.tabIndex = -1;
    element.addEventListener("blur", () => element.removeAttribute("tabindex"), { once: true });
  }
  element.focus({ preventScroll: true });
}
