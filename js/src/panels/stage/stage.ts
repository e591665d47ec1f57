/** The pictures: one, a grid, or two over each other. */

import type { Cell } from "../../core/cell.ts";
import type { Glance } from "../../core/glance.ts";
import { cellsOf, columnsOf, comparing, gridKey, headersOf, pairShown, type Headers } from "../../core/grid.ts";
import { regionCount } from "../../core/regions.ts";
import { shownCell, type State } from "../../core/state.ts";
import { jobOf } from "../../core/status.ts";
import { createPictures } from "../../paint/pictures.ts";
import { h, setAttribute, type Context, type LazyPanel } from "../ui/dom.ts";
import { appender } from "../ui/lazy.ts";
import { createCellView, type CellView } from "./cell.ts";
import { readyPanel, slowPanel, stalePanel } from "./notices.ts";
import { divider } from "./swipe.ts";
import { zoomPanel } from "./zoom.ts";

export function stagePanel(context: Context, root: HTMLElement): HTMLElement {
  const { watch } = context;
  const grid = h("div", { class: "slw-grid", role: "group", "aria-label": "Pictures" });
  const element = h("div", { class: "slw-stage" }, grid);
  const screen = watchScreen(context, grid);
  const pictures = createPictures(context.signal, screen.refresh);
  const headings = headingsOf(grid);
  const views: CellView[] = [];
  let painted = 0;
  const create = (): CellView => {
    const view = createCellView(context, pictures.at);
    grid.append(view.element);
    screen.observe(view.element);
    return view;
  };

  watch(
    (state, { details }) => [state.pictures, imagesOf(state).join(" "), details],
    (state, { details }) => pictures.load(state.pictures, imagesOf(state), details),
  );
  watch(
    (state, { layout, other }) => [gridKey(state), columnsOf(state), layout, other, state.spec.images, state.predictions],
    (state, glance) => {
      const laid = arranged(state, glance);
      while (views.length < laid.length) views.push(create());
      for (const view of views.splice(laid.length)) view.remove();
      const alone = laid.length === 1;
      const columns = alone ? 1 : columnsOf(state) || Math.ceil(Math.sqrt(laid.length));
      setSize(root, columns, Math.ceil(laid.length / columns), widest(state));
      setAttribute(element, "data-layout", !alone ? "grid" : laid[0]?.[1] ? glance.layout : "one");
      const headers = alone ? null : headersOf(state);
      headings(headers);
      for (const [i, view] of views.entries()) {
        view.show(laid[i]!, headers !== null);
        view.element.style.order = String(orderOf(i, columns));
      }
    },
  );
  watch(
    (state, { view, details, plain, turned, divider: at, layout, other }) => [
      screen.version, state.shown, gridKey(state), state.explained, state.spec, state.jobs, state.link, state.silent, state.failures, state.trouble, state.answers,
      view, details, plain, turned, at, layout, other,
    ],
    (state, glance) => {
      let fresh = false;
      for (const view of views) fresh = view.paint(state, glance, screen.version) || fresh;
      if (fresh) painted++;
      publish(root, state, pictures.has(shownCell(state).image), painted);
    },
  );
  watch(
    (state, glance) => [glance.point, glance.view, state.shown, state.explained, gridKey(state), glance.layout],
    (state, glance) => {
      for (const view of views) view.point(state, glance);
    },
  );
  watch((_, { view }) => [view.zoom > 1], (_, { view }) => setAttribute(element, "data-near", view.zoom > 1));
  loadLater(context, element);
  element.append(divider(context), zoomPanel(context), h("div", { class: "slw-notices" }, slowPanel(context), stalePanel(context), readyPanel(context)));
  return element;
}

/** Load the panels of the second module when they are first needed. If that of the difference cannot be loaded, the grid is shown again. */
function loadLater(context: Context, stage: HTMLElement): void {
  const when = (name: LazyPanel, needed: (state: State, glance: Glance) => boolean, failed?: () => void): void => {
    const open = appender(context, name, stage);
    context.watch((...now) => [needed(...now)], (...now) => {
      if (needed(...now)) void open().then((there) => there || failed?.());
    });
  };
  when("difference", (state, { layout }) => comparing(state) && layout === "difference", () => context.glance.send({ layout: "grid" }));
  when("details", (state, { view }) => view.zoom > 1 && state.link === "live" && imagesOf(state).some((image) => state.spec.images[image]?.full));
}

/** The CSS order of a picture: rows are placed by it, as an element that moves in the document loses the focus. Headers of columns have 0. */
function orderOf(index: number, columns: number): number {
  return 2 * Math.floor(index / columns) + 2;
}

/** The headers of a grid: one over each column, and one over each row. Each picture's own name has them for screen readers. */
function headingsOf(grid: HTMLElement): (headers: Headers | null) => void {
  let shown: readonly HTMLElement[] = [];
  const heading = (kind: string, text: string, order: number): HTMLElement => {
    const element = h("div", { class: `slw-heading ${kind}`, title: text, "aria-hidden": "true" }, text);
    element.style.order = String(order);
    return element;
  };
  return (headers) => {
    for (const element of shown) element.remove();
    setAttribute(grid, "data-headed", headers !== null);
    const { columns, rows } = headers ?? { columns: [], rows: [] };
    shown = [...columns.map((text) => heading("slw-column", text, 0)), ...rows.map((text, i) => heading("slw-of-row", text, orderOf(i, 1) - 1))];
    grid.append(...shown);
  };
}

/** Set the numbers from which the style sheet computes the size of the pictures. */
function setSize({ style }: HTMLElement, columns: number, rows: number, aspect: number): void {
  style.setProperty("--slw-columns", String(columns));
  style.setProperty("--slw-rows", String(rows));
  style.setProperty("--slw-aspect", String(aspect));
}

/** The content of each picture: a cell, or two overlaid ones. */
function arranged(state: State, glance: Glance): readonly (readonly Cell[])[] {
  const pair = glance.layout === "grid" ? null : pairShown(state, glance.other);
  return pair ? [pair] : cellsOf(state).map((cell) => [cell]);
}

function imagesOf(state: State): readonly number[] {
  return [...new Set(cellsOf(state).map(({ image }) => image))];
}

/** The aspect of the widest image on the screen: all cells have one shape, so that a row stays a row. */
function widest(state: State): number {
  return Math.max(...imagesOf(state).map((image) => {
    const [height, width] = state.spec.images[image]?.size ?? [1, 1];
    return width / height;
  }));
}

interface Screen {
  /** Changes when canvases must be painted again although the state is the same. */
  readonly version: number;
  readonly refresh: () => void;
  readonly observe: (element: HTMLElement) => void;
}

function watchScreen({ glance, signal }: Context, grid: HTMLElement): Screen {
  let version = 0;
  /** Request a frame: sending an unchanged glance notifies the watchers. */
  const refresh = (): void => {
    version++;
    glance.send({});
  };
  // JupyterLab empties canvases that are scrolled out of sight, so those that come back are painted again
  const resized = new ResizeObserver(refresh);
  const seen = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && refresh());
  resized.observe(grid);
  document.addEventListener("visibilitychange", refresh, { signal });
  window.addEventListener("resize", refresh, { signal }); // the zoom of the page may have changed
  signal.addEventListener(
    "abort",
    () => {
      resized.disconnect();
      seen.disconnect();
    },
    { once: true },
  );
  return {
    get version() {
      return version;
    },
    refresh,
    observe: (element) => seen.observe(element),
  };
}

/** Publish the state as data attributes, for style sheets and tests. */
function publish(root: HTMLElement, state: State, hasPicture: boolean, painted: number): void {
  const cells = cellsOf(state);
  const busy = cells.some((cell) => jobOf(state, cell) !== undefined);
  const { method, target, model_index, image_index } = state.shown;
  Object.assign(root.dataset, {
    state: busy ? "busy" : hasPicture ? "ready" : "waiting",
    method,
    target: String(target),
    model: String(model_index),
    image: String(image_index),
    cells: String(cells.length),
    region: String(regionCount(state)),
    painted: String(painted),
  });
  setAttribute(root, "aria-busy", String(busy));
}
