/** One view of a store: its panels, its frames, its keys. */

import { FIRST_GLANCE, type Glance } from "./core/glance.ts";
import type { State } from "./core/state.ts";
import { createStore, ended, same, type Store } from "./core/store.ts";
import type { StateStore } from "./core/update.ts";
import type { Commands } from "./kernel/commands.ts";
import { drawerPanel } from "./panels/drawer/drawer.ts";
import { classesPanel } from "./panels/side/classes.ts";
import { coloursPanel, percentilePanel } from "./panels/side/look.ts";
import { methodsPanel } from "./panels/side/methods.ts";
import { readingPanel } from "./panels/side/reading.ts";
import { regionsPanel } from "./panels/side/regions.ts";
import { subjectsPanel } from "./panels/side/subjects.ts";
import { compareButton, comparePanel } from "./panels/stage/compare.ts";
import { modesPanel } from "./panels/stage/modes.ts";
import { stagePanel } from "./panels/stage/stage.ts";
import { announcer } from "./panels/ui/announcer.ts";
import { h, hasModifier, isTyping, on, setAttribute, setText, type Context, type Panel } from "./panels/ui/dom.ts";
import { keepFocus } from "./panels/ui/focus.ts";
import { offerGuide } from "./panels/ui/guide.ts";
import { followTheme } from "./panels/ui/theme.ts";
import { appender, popupToggle } from "./panels/ui/lazy.ts";
import { toolsPanel } from "./panels/ui/tools.ts";

/** Mount a view into `el`, until `signal` aborts. */
export function mount(el: HTMLElement, store: StateStore, commands: Commands, signal: AbortSignal): void {
  const first = { ...FIRST_GLANCE, presentable: document.fullscreenEnabled };
  const glance = createStore<Glance, Partial<Glance>>(first, (now, news) => ({ ...now, ...news }));
  const frames = createFrames(store, glance, signal);
  const prefix = `slw-${Math.random().toString(36).slice(2, 8)}`;
  const set: Context["set"] = (settings) => store.send({ kind: "set", settings });
  const commit = (): void => store.send({ kind: "commit" });
  const context: Context = {
    store, glance, commands, signal, set, commit,
    choose(settings) {
      set(settings);
      commit();
    },
    watch: frames.watch,
    id: (name) => `${prefix}-${name}`,
    present: () => present(root, glance),
    guide: () => openGuide(() => {
      frames.flush();
      frame.querySelector<HTMLElement>(".slw-guide .slw-next")?.focus();
    }),
    load: async (name) => (await commands.more())[name] as Panel,
  };

  const frame = h("div", { class: "slw-frame", tabindex: -1 });
  const root = h("div", { class: "slw-root", role: "group", "aria-label": store.state.spec.title || "Saliency", "data-state": "waiting" }, frame);
  const togglePalette = popupToggle(context, "palette", frame);
  const openPalette = (): void => {
    if (!store.state.shown.gallery) togglePalette();
  };
  const appendGuide = appender(context, "guide", frame);
  const openGuide = (opened?: () => void): void => void appendGuide().then((there) => {
    if (!there) return;
    glance.send({ guide: 1 });
    opened?.();
  });
  const foot = readingPanel(context);
  frame.append(
    h("div", { class: "slw-head" }, classesPanel(context), linkNote(context), compareButton(context), toolsPanel(context, root, openPalette)),
    subjectsPanel(context),
    methodsPanel(context),
    h("div", { class: "slw-main" }, modesPanel(context), comparePanel(context, root), stagePanel(context, root)),
    h("div", { class: "slw-side" }, percentilePanel(context), coloursPanel(context), regionsPanel(context)),
    drawerPanel(context, root),
    foot,
    announcer(context),
  );
  if (store.state.spec.gallery) openGallery(root, context);
  followTheme(root, signal);
  keepKeys(root, signal);
  keepFocus(root, signal);
  holdSpace(root, glance, signal);
  undoKeys(root, store, signal);
  paletteKey(root, openPalette, signal);
  offerGuide(context, root, openGuide);
  followGroup(context, foot);
  el.classList.add("slw-host");
  el.append(root);
  frames.flush();
  ended(signal, () => root.remove());
}

/** A note where there never was a kernel; a banner over the whole width where one stopped responding, or where a panel could not be loaded. */
function linkNote({ watch }: Context): HTMLElement {
  const note = h("span", { class: "slw-link", role: "status", hidden: true });
  watch(({ link, silent }, { unloaded }) => [link, silent, unloaded], ({ link, silent }, { unloaded }) => {
    note.hidden = link !== "packed" && !silent && !unloaded;
    setText(note, silent ? "Kernel not responding. Run the cell again. Maps that are computed can still be viewed and saved." : unloaded || "No kernel: showing stored results");
    setAttribute(note, "data-silent", silent || unloaded !== "");
    setAttribute(note, "title", note.textContent);
  });
  return note;
}

interface Frames {
  readonly watch: Context["watch"];
  /** Draw now what has changed. */
  flush(): void;
}

/** Draws in animation frames only, and of each watcher only what its own selection calls for. */
function createFrames(store: StateStore, glance: Store<Glance, Partial<Glance>>, signal: AbortSignal): Frames {
  interface Watcher {
    readonly select: (state: State, glance: Glance) => readonly unknown[];
    readonly draw: (state: State, glance: Glance) => void;
    last: readonly unknown[] | null;
  }
  const watchers: Watcher[] = [];
  let frame: number | null = null;
  let added: Promise<void> | undefined;

  const flush = (): void => {
    for (const watcher of watchers) {
      const now = watcher.select(store.state, glance.state);
      if (same(now, watcher.last)) continue;
      watcher.last = now;
      watcher.draw(store.state, glance.state);
    }
  };
  const schedule = (): void => {
    frame ??= requestAnimationFrame(() => {
      frame = null;
      flush();
    });
  };
  store.subscribe(schedule, signal);
  glance.subscribe(schedule, signal);
  ended(signal, () => frame !== null && cancelAnimationFrame(frame));
  return {
    watch(select, draw) {
      watchers.push({ select, draw, last: null });
      // a panel that was loaded is drawn once it is whole, before the browser paints it
      added ??= Promise.resolve().then(() => {
        added = undefined;
        if (!signal.aborted) flush();
      });
    },
    flush,
  };
}

/** A notebook's one-letter commands must not be reached from here: "x" would cut the cell. */
function keepKeys(root: HTMLElement, signal: AbortSignal): void {
  on(root, ["keydown", "keyup", "keypress"], signal, (event) => {
    if (!hasModifier(event)) event.stopPropagation();
  });
}

/** Ctrl+Z and Ctrl+Shift+Z restore settings; in a notebook they must not reach its cells. */
function undoKeys(root: HTMLElement, store: StateStore, signal: AbortSignal): void {
  on(root, "keydown", signal, (event) => {
    const key = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || event.altKey || isTyping(event) || (key !== "z" && key !== "y")) return;
    event.preventDefault();
    event.stopPropagation();
    store.send({ kind: key === "y" || event.shiftKey ? "redo" : "undo" });
  });
}

/** A widget that is composed with others loads what links it to them. */
function followGroup(context: Context, foot: HTMLElement): void {
  const link = appender(context, "linked", foot);
  context.watch(({ spec }) => [spec.group], ({ spec }) => {
    if (spec.group) void link();
  });
}

/** The gallery is shown in place of the frame. */
function openGallery(root: HTMLElement, context: Context): void {
  const note = h("p", { class: "slw-gallery-frame", role: "status" }, "Loading…");
  root.prepend(note);
  context.watch(({ shown }) => [shown.gallery], ({ shown }) => setAttribute(root, "data-gallery", shown.gallery));
  context.load("gallery").then((panel) => note.replaceWith(panel(context)), (reason: unknown) => setText(note, String(reason)));
}

/** Ctrl+K opens and closes the command palette. */
function paletteKey(root: HTMLElement, toggle: () => void, signal: AbortSignal): void {
  on(root, "keydown", signal, (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    toggle();
  });
}

/** Start or end the full screen. Some hosts refuse it although they offer it: then it is not offered again. */
function present(root: HTMLElement, glance: Store<Glance, Partial<Glance>>): void {
  const done = root.matches(":fullscreen") ? document.exitFullscreen() : root.requestFullscreen();
  done.catch((reason: unknown) => {
    console.warn("saliency-widget: no full screen:", reason);
    glance.send({ presentable: false });
  });
}

/** Show the picture without the map while Space is held, unless the focused control uses that key. */
function holdSpace(root: HTMLElement, glance: Store<Glance, Partial<Glance>>, signal: AbortSignal): void {
  on(root, "keydown", signal, (event) => {
    if (event.key !== " " || hasModifier(event) || takesSpace(event.target as HTMLElement)) return;
    event.preventDefault();
    if (!glance.state.plain) glance.send({ plain: true });
  });
  const release = (): void => {
    if (glance.state.plain) glance.send({ plain: false });
  };
  on(root, "keyup", signal, (event) => {
    if (event.key === " ") release();
  });
  on(root, "focusout", signal, release);
  window.addEventListener("blur", release, { signal });
}

/** Of radios and rows only the one that is not chosen yet: choosing it again would do nothing. */
function takesSpace(element: HTMLElement): boolean {
  if (element.matches("[aria-checked=true], [aria-current=true], input[type=range]")) return false;
  return element.matches("button, input, select, summary");
}
