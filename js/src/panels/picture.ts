/** The picture: as large as its cell allows, with what is said about it above and below. */

import { pixelAt } from "../geometry.ts";
import { formatPercent, formatShare } from "../format.ts";
import {
  keepShown, labelOf, regionCount, shownExplained, shownJob, shownKey, shownMethod, shownRegions, shownSign, shownStatus, signsDiffer,
} from "../select.ts";
import type { State } from "../state.ts";
import { h, hasModifier, keyTarget, on, setAttribute, setText, type Context } from "./dom.ts";
import { messageBox } from "./message.ts";
import { progressText } from "./methods.ts";
import { createPainter, type Painter } from "./painter.ts";
import { stepTo } from "./regions.ts";

export function picturePanel(context: Context, root: HTMLElement): HTMLElement {
  const { watch } = context;
  const canvas = h("canvas", { class: "slw-picture", role: "img", tabindex: 0 });
  const cell = h("div", { class: "slw-cell" }, canvas, messageBox(context));
  const left = h("span", { class: "slw-caption-left" });
  const right = h("span", { class: "slw-number" });
  const caption = h("div", { class: "slw-caption slw-muted" }, left, right);
  const screen = createScreen(context, canvas, root);

  watch(
    ({ spec }) => [spec.size],
    ({ spec: { size } }) => {
      root.style.setProperty("--slw-aspect", String(size[1] / size[0]));
    },
  );
  watch(
    (state, glance) => [
      screen.version, state.shown, state.explained.get(shownKey(state)), state.spec, glance.plain, state.jobs, state.link,
      state.failures,
    ],
    (state, { plain }) => {
      const share = screen.paint(state, plain);
      setText(left, plain ? "the picture" : captionOf(state));
      setText(right, plain ? "" : shareText(state, share));
      setAttribute(canvas, "aria-label", `${describe(state)}${plain ? ", hidden while the picture is shown" : ""}`);
    },
  );
  followPointer(context, canvas);
  on(canvas, "keydown", context.signal, (event) => {
    const regions = shownRegions(context.store.state);
    if (!regions || hasModifier(event)) return;
    const next = keyTarget(event.key, regionCount(context.store.state) - 1, regions.length);
    if (next === null) return;
    event.preventDefault();
    stepTo(context, next + 1);
  });
  on(canvas, ["keyup", "blur"], context.signal, () => context.store.send({ kind: "commit" }));
  return h("div", { class: "slw-stage" }, cell, caption);
}

interface Screen {
  /** Changes when the canvas must be painted anew although the state is the same. */
  readonly version: number;
  paint(state: State, plain: boolean): number;
}

/** The canvas, its size and its decoded picture. */
function createScreen({ store, glance, signal, watch }: Context, canvas: HTMLCanvasElement, root: HTMLElement): Screen {
  const painter: Painter = createPainter(canvas);
  let version = 0;
  let decoded: ImageBitmap | null = null;
  let painted = 0;

  /** Ask for a frame: a glance that changed nothing is how the watchers are woken. */
  const refresh = (): void => {
    version++;
    glance.send({});
  };
  const decode = async (picture: Blob): Promise<void> => {
    const bitmap = await createImageBitmap(picture);
    if (signal.aborted || store.state.picture !== picture) {
      bitmap.close();
      return;
    }
    decoded?.close();
    decoded = bitmap;
    painter.setPicture(bitmap);
    refresh();
  };
  watch(
    ({ picture }) => [picture],
    ({ picture }) => {
      if (picture) decode(picture).catch((error: unknown) => console.warn("saliency-widget: no picture:", error));
    },
  );
  // JupyterLab empties canvases that are scrolled out of sight, so those that come back are painted again
  const resized = new ResizeObserver(refresh);
  const seen = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && refresh());
  resized.observe(canvas);
  seen.observe(canvas);
  document.addEventListener("visibilitychange", refresh, { signal });
  window.addEventListener("resize", refresh, { signal }); // the zoom of the page may have changed
  signal.addEventListener(
    "abort",
    () => {
      resized.disconnect();
      seen.disconnect();
      decoded?.close();
    },
    { once: true },
  );
  return {
    get version() {
      return version;
    },
    paint(state, plain) {
      const scale = window.devicePixelRatio || 1;
      const width = Math.round(canvas.clientWidth * scale);
      const height = Math.round(canvas.clientHeight * scale);
      if (width < 1 || height < 1) return 1;
      const share = painter.paint(state, plain, width, height, scale);
      publish(root, state, decoded !== null, ++painted);
      return share;
    },
  };
}

/** What is on the screen, for style sheets, tests and whoever looks into the page. */
function publish(root: HTMLElement, state: State, hasPicture: boolean, painted: number): void {
  const busy = shownJob(state) !== undefined;
  Object.assign(root.dataset, {
    state: busy ? "busy" : hasPicture ? "ready" : "waiting",
    method: state.shown.method,
    target: String(state.shown.target),
    region: String(regionCount(state)),
    painted: String(painted),
  });
  setAttribute(root, "aria-busy", busy ? "true" : "false");
}

function followPointer({ store, glance, signal }: Context, canvas: HTMLCanvasElement): void {
  on(canvas, ["pointermove", "pointerdown"], signal, (event) => {
    glance.send({ pixel: pixelAt(canvas.getBoundingClientRect(), store.state.spec.size, event.clientX, event.clientY) });
  });
  on(canvas, "pointerleave", signal, (event) => {
    // a finger that is lifted leaves too, and its reading should stay to be read
    if (event.pointerType === "mouse") glance.send({ pixel: null });
  });
}

function captionOf(state: State): string {
  const name = shownMethod(state)?.name ?? state.shown.method;
  const explained = shownExplained(state);
  const job = shownJob(state);
  if (job) return `${name} · ${progressText(job)}`;
  if (!explained) return state.link === "waiting" ? "waiting for the kernel" : name;
  const { mode, threshold } = state.shown;
  const regions = shownRegions(state);
  const partial = explained.share < 1 ? " · unfinished" : "";
  if (mode === "area" && regions) return `${name} · region ${regionCount(state)} of ${regions.length}${partial}`;
  if (mode === "area") return `${name} · top ${formatPercent(keepShown(state))}${partial}`;
  const sign = signsDiffer(explained) && shownSign(state) !== "absolute" ? `, ${shownSign(state)}` : "";
  return `${name}${sign}${threshold > 0 ? ` · from percentile ${formatPercent(threshold).replace(" %", "")}` : ""}${partial}`;
}

function shareText(state: State, share: number): string {
  if (!shownExplained(state)) return "";
  return state.shown.mode === "area" ? `${formatShare(share)} of the area` : labelOf(state, state.shown.target);
}

function describe(state: State): string {
  const status = shownStatus(state).kind;
  const what = `${labelOf(state, state.shown.target)}, explained by ${captionOf(state)}`;
  return status === "done" ? what : `${what} (${status === "idle" ? "not computed" : status})`;
}
