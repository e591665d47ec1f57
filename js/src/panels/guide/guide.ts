/** The guide: four questions of a newcomer, one after another, each beside the control that answers it. */

import { clamp } from "../../core/geometry.ts";
import { button, h, hasFocus, on, setAttribute, setText, type Context } from "../ui/dom.ts";
import { dismissGuide } from "../ui/guide.ts";
import type { Tab } from "../ui/tabs.ts";

interface Step {
  readonly question: string;
  /** The name of the control, then what it answers. */
  readonly control: string;
  readonly answer: string;
  /** The selector of the control, or the tab that it is. */
  readonly at: string;
  readonly tab: Tab | null;
}

const STEPS: readonly Step[] = [
  {
    question: "Which class, and how sure?", control: "The classes", at: ".slw-head .slw-chips", tab: null,
    answer: "above are the most likely ones with their probabilities. Click one to explain it.",
  },
  {
    question: "Where in the picture?", control: "Top pixels", at: ".slw-modes .slw-segments", tab: null,
    answer: "shows what matters most for the class; Heat map colours every pixel. The percentile sets how much is shown.",
  },
  {
    question: "Can you believe it?", control: "Evidence", at: "", tab: "evidence",
    answer: "removes pixels, calls the model again, and compares this map with random ones. It says whether the model supports the map.",
  },
  {
    question: "How do you show it to a colleague?", control: "Save", at: "", tab: "save",
    answer: "gives the picture, its numbers, and a script. In Python, widget.to_html(\"why.html\") writes a page that opens without a kernel.",
  },
];

export function guidePanel(context: Context): HTMLElement {
  const { glance, id, signal, watch } = context;
  let control: HTMLElement | null = null;
  const focusControl = (): void => (control?.querySelector<HTMLElement>("[tabindex='0']") ?? control)?.focus();
  const [question, place, answer] = [h("strong"), h("span", { class: "slw-muted slw-number" }), h("span")];
  const name = button(context, { class: "slw-name", title: "Go to it" }, "", focusControl);
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
    control = root.querySelector<HTMLElement>(step.tab ? `[aria-controls="${id(step.tab)}"]` : step.at)!;
    control.setAttribute("data-guided", "");
    setText(question, step.question);
    setText(place, `${guide} of ${STEPS.length}`);
    setText(name, step.control);
    setText(answer, step.answer);
    setText(next, guide < STEPS.length ? "Next" : "Done");
    skip.hidden = guide === STEPS.length;
    setAttribute(back, "aria-disabled", String(guide === 1));
    // in front of what it is about; an element that moves loses the focus
    const focused = element.querySelector<HTMLElement>(":focus");
    const home = root.querySelector(step.tab ? ".slw-drawer" : ".slw-main")!;
    if (element.parentElement !== home) home.prepend(element);
    if (!focused) return;
    focused.focus({ preventScroll: true });
    element.scrollIntoView({ block: "nearest" });
  });
  return element;
}
