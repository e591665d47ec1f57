/** The tabs beneath the picture, one open at a time. Their bodies are loaded when they are first opened: see more.ts. */

import { shownExplained } from "../../core/lookup.ts";
import { fits } from "../../core/picked.ts";
import { failureOf } from "../../kernel/commands.ts";
import { button, h, hasFocus, isTyping, on, setAttribute, setText, type Context } from "../ui/dom.ts";
import { isOffered, openTab, TABS, type Tab } from "../ui/tabs.ts";
import { droppingPanel } from "./dropping.ts";

interface Body {
  /** A placeholder, until the panel is loaded. */
  readonly element: HTMLElement;
  /** Load the content, unless it is there or on its way. */
  readonly open: () => void;
}

export function drawerPanel(context: Context, root: HTMLElement): HTMLElement {
  const { glance, signal, watch } = context;
  const bodies = TABS.map(([name, label]) => bodyOf(context, name, label));
  const toggle = (name: Tab): void => openTab(context, glance.state.drawer === name ? "" : name);
  const note = h("span", { class: "slw-muted slw-drawer-note" });
  const buttons = TABS.map(([name, text, title]) =>
    h("button", { class: "slw-tab", title, "aria-expanded": "false", "aria-controls": context.id(name) }, text));
  for (const [i, [name]] of TABS.entries()) on(buttons[i]!, "click", signal, () => toggle(name));
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
    for (const [i, body] of bodies.entries()) {
      const opened = TABS[i]![0] === drawer;
      const hadFocus = hasFocus(body.element);
      body.element.hidden = !opened;
      if (opened) body.open();
      if (hadFocus && !opened) buttons[i]!.focus();
      setAttribute(buttons[i]!, "aria-expanded", String(opened));
    }
  });
  watch(({ spec, shown, link, answers, descriptions }) => [spec, shown.model_index, link, answers, descriptions], (state) => {
    for (const [i, [name]] of TABS.entries()) buttons[i]!.hidden = !isOffered(state, name);
  });
  watch(({ shown, explained }) => [shown.picked, explained, shown.method, shown.target], (state) => {
    const explained = shownExplained(state);
    setText(note, explained && fits(explained, state.shown.picked) ? "manual selection" : "");
  });
  return h("div", { class: "slw-drawer" }, h("div", { class: "slw-tabs" }, ...buttons, note, droppingPanel(context, root)), ...bodies.map(({ element }) => element));
}

function bodyOf(context: Context, name: Tab, label: string): Body {
  const { load, signal, watch } = context;
  const words = h("p", { class: "slw-muted", role: "status" });
  const again = button(context, { hidden: true }, "Try again", () => open());
  const named = (body: HTMLElement): HTMLElement => {
    for (const [attribute, value] of Object.entries({ id: context.id(name), role: "group", "aria-label": label })) setAttribute(body, attribute, value);
    return body;
  };
  let element = named(h("div", { class: "slw-drawer-body", hidden: true }, words, h("div", {}, again)));
  let state: "closed" | "loading" | "failed" | "loaded" = "closed";
  const open = (): void => {
    if (state === "loading" || state === "loaded") return;
    state = "loading";
    again.hidden = true;
    setText(words, "Loading…");
    load(name).then(
      (panel) => {
        state = "loaded";
        if (signal.aborted) return;
        const loaded = named(panel(context));
        loaded.hidden = element.hidden;
        element.replaceWith(loaded);
        element = loaded;
      },
      (reason: unknown) => {
        state = "failed";
        again.hidden = false;
        setText(words, failureOf(reason).message);
      },
    );
  };
  watch(({ silent }) => [silent], ({ silent }) => {
    if (state === "loading") setText(words, silent ? "Not loaded yet: the kernel is not responding. Run the cell again." : "Loading…");
  });
  return {
    get element() {
      return element;
    },
    open,
  };
}
