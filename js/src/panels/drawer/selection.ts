/** Manual selection by regions, brush or rectangle; and the share of the attribution inside the selection. */

import { formatNumber, formatShare } from "../../core/format.ts";
import type { Tool } from "../../core/glance.ts";
import { shownExplained } from "../../core/lookup.ts";
import { massIn, NOTHING } from "../../core/picked.ts";
import { keepShown, regionCount, shownRegions } from "../../core/regions.ts";
import { shownSign } from "../../core/scale.ts";
import { selected } from "../../core/selection.ts";
import { button, h, on, setText, type Context } from "../ui/dom.ts";
import { segments, type Choices } from "../ui/segments.ts";
import { slider } from "../ui/slider.ts";

const TOOLS: Choices<Tool> = [
  ["look", "Top", "The top pixels, or the first regions"],
  ["regions", "Regions", "Click regions on and off"],
  ["brush", "Brush", "Paint the pixels of your choice"],
  ["box", "Box", "Draw rectangles"],
];
const SAYS: Readonly<Record<Tool, string>> = {
  look: "",
  regions: "Click a region on the picture, or choose it in the list with the arrow keys and Enter.",
  brush: "Drag over the picture; or move with the arrow keys and press Enter.",
  box: "Drag a rectangle; or move with the arrow keys and press Enter at two corners.",
};

export function selectionPanel(context: Context): HTMLElement {
  return h("section", { class: "slw-block" }, h("h3", {}, "Selection"), ...selectionTools(context), figures(context));
}

/** The choice of the tool, a hint, and the settings of the tool. */
export function selectionTools(context: Context): readonly HTMLElement[] {
  const { glance, signal, choose, watch } = context;
  const use = (tool: Tool): void => {
    glance.send({ tool });
    choose(tool === "look" ? { picked: NOTHING } : { mode: "area" });
  };
  const tools = segments(context, "Select by", TOOLS, (_, { tool }) => tool, use);
  const hint = h("p", { class: "slw-muted slw-hint-text" });
  const size = slider(context, {
    label: "Size of the brush", min: 0.01, max: 0.2, fine: 0.005, step: 0.01, input: (radius) => glance.send({ radius }),
  });
  const erase = h("input", { type: "checkbox" });
  const erasing = h("label", { class: "slw-check" }, erase, "erase");
  const clear = button(context, {}, "Clear", () => choose({ picked: glance.state.tool === "regions" ? { regions: [] } : NOTHING }));
  on(erase, "change", signal, () => glance.send({ erases: erase.checked }));
  const row = h("div", { class: "slw-row slw-brush" }, size.element, erasing, clear);
  watch((state, { tool, radius, erases }) => [tool, radius, erases, shownRegions(state), state.shown.picked], (state, { tool, radius, erases }) => {
    setText(hint, tool === "regions" && !shownRegions(state) ? "This method has no regions." : SAYS[tool]);
    hint.hidden = tool === "look";
    size.element.hidden = tool !== "brush";
    erasing.hidden = tool !== "brush" && tool !== "box";
    erase.checked = erases;
    row.hidden = tool === "look" && Object.keys(state.shown.picked).length === 0;
    size.show(radius, `${Math.round(radius * 100)} % of the picture`);
  });
  return [tools.element, hint, row];
}

const FIGURES = [
  ["area", "of the pixels", "Share of the picture that is selected"],
  ["share", "of all attribution", "Share of the absolute attribution inside"],
  ["mass", "sum inside", "Sum of the values inside"],
  ["mean", "mean inside", "Mean of the values inside"],
] as const;

function figures({ watch }: Context): HTMLElement {
  const numbers = FIGURES.map(([, words, title]) => [h("strong", { class: "slw-number" }), h("span", { class: "slw-muted", title }, words)] as const);
  const element = h("div", { class: "slw-figures" }, ...numbers.flat());
  let kept = new Uint8Array();
  watch(
    (state) => [shownExplained(state), state.shown.picked, keepShown(state), regionCount(state), shownSign(state)],
    (state) => {
      const explained = shownExplained(state);
      if (!explained) {
        for (const [number] of numbers) setText(number, "–");
        return;
      }
      if (kept.length !== explained.values.length) kept = new Uint8Array(explained.values.length);
      selected(state, explained, kept);
      const found = massIn(explained, kept);
      for (const [i, [name]] of FIGURES.entries()) {
        const value = found[name];
        setText(numbers[i]![0], name === "area" || name === "share" ? formatShare(value) : formatNumber(value));
      }
    },
  );
  return element;
}
