/** The tabs beneath the picture, one open at a time: what-if, evidence, smallest change, parameters, save, keys. */

import type { Glance } from "../../core/glance.ts";
import { shownExplained } from "../../core/lookup.ts";
import { fits } from "../../core/picked.ts";
import { h, hasFocus, isTyping, on, setAttribute, setText, type Context } from "../ui/dom.ts";
import { changePanel } from "./change.ts";
import { droppingPanel } from "./dropping.ts";
import { evidencePanel } from "./evidence.ts";
import { savePanel } from "./export.ts";
import { keysPanel } from "./keys.ts";
import { parametersPanel } from "./parameters.ts";
import { selectionPanel } from "./selection.ts";
import { whatIfPanel } from "./whatif.ts";

type Drawer = Exclude<Glance["drawer"], "">;

const TABS: readonly (readonly [Drawer, string, string])[] = [
  ["selection", "What if…", "The model's prediction for a part of the picture"],
  ["evidence", "Evidence", "Whether the model supports the map, compared with random maps"],
  ["change", "Smallest change", "The smallest part of the picture on which the model's answer depends"],
  ["parameters", "Parameters", "Parameters of this method, and their cost"],
  ["save", "Save", "Save the picture, its numbers, or a Python script"],
  ["keys", "Keys", "Keyboard shortcuts (?)"],
];

export function drawerPanel(context: Context, root: HTMLElement): HTMLElement {
  const { glance, signal, choose, watch } = context;
  const bodies: Record<Drawer, HTMLElement> = {
    selection: h("div", { class: "slw-drawer-body slw-ask" }, selectionPanel(context), ...whatIfPanel(context)),
    evidence: h("div", { class: "slw-drawer-body slw-evidence" }, ...evidencePanel(context)),
    change: h("div", { class: "slw-drawer-body slw-evidence" }, ...changePanel(context)),
    parameters: parametersPanel(context),
    save: savePanel(context),
    keys: keysPanel(),
  };
  const toggle = (name: Drawer): void => {
    const drawer = glance.state.drawer === name ? "" : name;
    glance.send({ drawer, tool: "look" });
    choose({ live: drawer === "selection" });
  };
  const note = h("span", { class: "slw-muted slw-drawer-note" });
  const buttons = TABS.map(([name, text, title]) =>
    h("button", { class: "slw-tab", title, "aria-expanded": "false", "aria-controls": context.id(name) }, text));
  for (const [i, [name]] of TABS.entries()) {
    bodies[name].id = context.id(name);
    bodies[name].hidden = true;
    setAttribute(bodies[name], "role", "group");
    setAttribute(bodies[name], "aria-label", TABS[i]![1]);
    on(buttons[i]!, "click", signal, () => toggle(name));
  }
  on(root, "keydown", signal, (event) => {
    const { drawer } = glance.state;
    if (event.key === "?" && !isTyping(event)) toggle("keys");
    else if (event.key === "Escape" && drawer && !event.defaultPrevented) toggle(drawer);
    else return;
    event.preventDefault();
  });
  // Python may have it opened
  watch(({ shown }) => [shown.live], ({ shown }, { drawer }) => {
    if (shown.live && drawer !== "selection") glance.send({ drawer: "selection" });
    else if (!shown.live && drawer === "selection") glance.send({ drawer: "", tool: "look" });
  });
  watch((_, { drawer }) => [drawer], (_, { drawer }) => {
    for (const [i, [name]] of TABS.entries()) {
      const hadFocus = hasFocus(bodies[name]);
      bodies[name].hidden = drawer !== name;
      if (hadFocus && drawer !== name) buttons[i]!.focus();
      setAttribute(buttons[i]!, "aria-expanded", String(drawer === name));
    }
  });
  watch(({ shown, explained }) => [shown.picked, explained, shown.method, shown.target], (state) => {
    const explained = shownExplained(state);
    setText(note, explained && fits(explained, state.shown.picked) ? "manual selection" : "");
  });
  return h("div", { class: "slw-drawer" }, h("div", { class: "slw-tabs" }, ...buttons, note, droppingPanel(context, root)), ...Object.values(bodies));
}
