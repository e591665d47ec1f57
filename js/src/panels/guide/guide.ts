/** The guide: four questions of a newcomer, one after another, each beside the control that answers it. */

import { clamp } from "../../core/geometry.ts";
import { button, h, hasFocus, on, setAttribute, setText, type Context } from "../ui/dom.ts";
import { dismissGuide } from "../ui/guide.ts";
import type { Tab } from "../ui/tabs.ts";

/** The question, the name of the control, what it answers, and the control: a selector, or the tab that it is. */
type Step = readonly [question: string, control: string, answer: string, at: `.${string}` | Tab];

const STEPS: readonly Step[] = [
  ["Which class, and how sure?", "The classes", "above are the most likely ones with their probabilities. Click one to explain it.", ".slw-head .slw-chips"],
  ["Where in the picture?", "Top pixels", "shows what matters most for the class; Heat map colours every pixel. The percentile sets how much.", ".slw-modes .slw-segments"],
  ["Can you believe it?", "Evidence", "removes pixels, calls the model again, and says whether it supports this map more than random ones.", "evidence"],
  ["How do you show it to a colleague?", "Save", "has the picture, numbers and code. In Python, widget.to_html(\"why.html\") writes a page that needs no kernel.", "save"],
];

export function guidePanel(context: Context): HTMLElement {
  const { glance, id, signal, watch } = context;
  let control: HTMLElement | null = null;
  const focusControl = (): void => (control?.querySelector<HTMLElement>("[tabindex='0']") ?? control)?.focus();
  const [question, place, answer] = [h("strong"), h("span", { class: "slw-muted slw-number" }), h("span")];
  const name = button(context, { class: "slw-name" }, "", focusControl);
  const skip = button(context, {}, "Skip", () => end());
  const back = button(context, {}, "Back", () => go(-1));
  const next = button(context, { class: "slw-button slw-next" }, "", () => (glance.state.guide < STEPS.length ? go(1) : end()));
  const words = h("div", { class: "slw-guide-words", role: "status" }, h("p", {}, question, " ", place), h("p", {}, name, " ", answer));
  const element = h("section", { class: "slw-guide", "aria-label": "Guide", hidden: true }, words, h("div", { class: "slw-row" }, skip, back, next));

  const go = (by: number): void => glance.send({ guide: clamp(glance.state.guide + by, 1, STEPS.length) });
  const end = (): void => {
    dismissGuide();
    // the focus would go with the guide
    if (hasFocus(element)) focusControl();
    glance.send({ guide: 0 });
  };
  const endByKey = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || event.defaultPrevented || !glance.state.guide) return;
    event.preventDefault();
    event.stopPropagation();
    end();
  };
  on(element, "keydown", signal, endByKey);
  let root: HTMLElement | null = null;
  watch((_, { guide }) => [guide], (_, { guide }) => {
    if (!root) {
      root = element.closest<HTMLElement>(".slw-root")!;
      on(root, "keydown", signal, endByKey);
    }
    const step = STEPS[guide - 1];
    control?.removeAttribute("data-guided");
    element.hidden = !step;
    if (!step) return;
    const at = step[3];
    const above = at.startsWith(".");
    control = root.querySelector<HTMLElement>(above ? at : `[aria-controls="${id(at)}"]`)!;
    control.setAttribute("data-guided", "");
    for (const [i, part] of [question, name, answer].entries()) setText(part, step[i]!);
    setText(place, `${guide} of ${STEPS.length}`);
    setText(next, guide < STEPS.length ? "Next" : "Done");
    skip.hidden = guide === STEPS.length;
    setAttribute(back, "aria-disabled", String(guide === 1));
    // in front of what it is about; an element that moves loses the focus
    const focused = element.querySelector<HTMLElement>(":focus");
    const home = root.querySelector(above ? ".slw-main" : ".slw-drawer")!;
    if (element.parentElement !== home) home.prepend(element);
    if (!focused) return;
    focused.focus({ preventScroll: true });
    element.scrollIntoView({ block: "nearest" });
  });
  return element;
}
