import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { percentiles } from "../../playground/maps.ts";
import { fakeModel, SPEC } from "../fake-model.ts";
import { explained, result } from "../fixtures.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(openedEnds);

const GRID = { methods: ["xrai", "ig"] };

/** A grid of two methods, both there. */
async function compared(more: Readonly<Record<string, unknown>> = {}) {
  const fake = fakeModel({ grid: GRID, mode: "heat", ...more });
  const view = await open(fake);
  welcome(fake);
  await frame();
  finish(fake);
  finish(fake, explained({ result: result({ method: "ig", regions: null }), step: null }));
  await frame();
  return { fake, ...view, canvases: () => [...view.root.querySelectorAll<HTMLElement>("canvas.slw-picture")] };
}
const key = (element: Element, name: string): boolean =>
  element.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
const named = (root: HTMLElement, label: string): HTMLInputElement => find(root, `[aria-label="${label}"]`) as HTMLInputElement;
const radio = (root: HTMLElement, name: string): HTMLElement =>
  [...root.querySelectorAll<HTMLElement>("[role=radio]")].find(({ textContent }) => textContent === name)!;

describe("a map that was computed while the model was idle", () => {
  const say = (fake: ReturnType<typeof fakeModel>, target = 3): void => fake.say({ op: "ready", seq: 900 + target, method: "ig", target, model: 0, image: 0 });
  async function offered() {
    const fake = fakeModel();
    const { root } = await open(fake);
    welcome(fake);
    finish(fake);
    say(fake);
    await frame();
    const chip = [...root.querySelectorAll<HTMLElement>(".slw-notice")].find(({ textContent }) => textContent.includes("is ready"))!;
    return { fake, root, chip };
  }

  test("is offered, and shown only when the user agrees", async () => {
    const { fake, root, chip } = await offered();
    expect(chip.hidden).toBe(false);
    expect(chip.querySelector("span")!.textContent).toBe("Integrated Gradients is ready");
    expect(root.dataset["method"]).toBe("xrai");

    chip.querySelector("button")!.click();
    await frame();
    expect(fake.saved.at(-1)).toMatchObject({ method: "ig" });
    expect(chip.hidden).toBe(true);
  });

  test("is not offered again once it was declined, nor for another class", async () => {
    const { fake, chip } = await offered();
    chip.querySelectorAll("button")[1]!.click();
    await frame();
    expect(chip.hidden).toBe(true);

    say(fake, 4);
    await frame();
    expect(chip.hidden).toBe(true);
    expect(fake.saved).toEqual([]);
  });
});

describe("a grid", () => {
  test("requests each of its cells once, the shown one first", async () => {
    const { fake, root, canvases } = await compared();

    expect(fake.requested("compute").map((each) => (each as { method?: string }).method)).toEqual(["xrai", "ig"]);
    expect(canvases()).toHaveLength(2);
    expect(root.dataset).toMatchObject({ cells: "2", state: "ready" });
  });

  test("names each picture, and marks the one that the panels describe", async () => {
    const { root, canvases } = await compared();

    expect(canvases().map((canvas) => canvas.getAttribute("aria-label"))).toEqual([
      "cat, explained by XRAI", "cat, explained by Integrated Gradients",
    ]);
    expect([...root.querySelectorAll(".slw-cell")].map((cell) => cell.getAttribute("aria-current"))).toEqual(["true", null]);
  });

  test("is left and begun again by its button, and Python is notified", async () => {
    const { fake, root, canvases } = await compared();
    find(root, ".slw-compare").click();
    await frame();
    expect(fake.saved).toEqual([{ grid: {} }]);
    expect(canvases()).toHaveLength(1);

    find(root, ".slw-compare").click();
    await frame();
    expect(fake.saved[1]).toEqual({ grid: { methods: ["xrai", "ig"] } });
  });

  test("gets a class by its box, which is requested; removed, nothing is requested", async () => {
    const { fake, root } = await compared();
    const box = named(root, "Compare <img src=x onerror=alert(1)>");
    box.click();
    await frame();
    expect(fake.saved.at(-1)).toEqual({ grid: { methods: ["xrai", "ig"], targets: [3, 4] } });
    expect(fake.requested("compute").slice(2)).toMatchObject([{ method: "xrai", target: 4 }, { method: "ig", target: 4 }]);

    box.click();
    await frame();
    expect(root.dataset["cells"]).toBe("2");
    expect(fake.requested("compute")).toHaveLength(4);
  });

  test("an unsupported method shows the reason in its cell, the others work", async () => {
    const { root } = await compared({ grid: { methods: ["xrai", "lrp"] } });
    const boxes = [...root.querySelectorAll<HTMLElement>(".slw-message")];

    expect(boxes.map((box) => box.hidden)).toEqual([true, false]);
    expect(boxes[1]!.textContent).toContain("this model has none");
  });

  test("of several models requests each, and is named by what differs", async () => {
    const spec = { ...SPEC, models: ["A", "B"], methods: SPEC.methods.map((method) => ({ ...method, lacks: ["", ""] })) };
    const { fake, root } = await compared({ spec, grid: { models: [0, 1] } });

    expect(fake.requested("compute")).toMatchObject([{ method: "xrai", model: 0 }, { method: "xrai", model: 1 }]);
    expect([...root.querySelectorAll(".slw-caption-left")].map(({ textContent }) => textContent.split(" · ")[0])).toEqual(["A", "B"]);
    expect([...root.querySelectorAll(".slw-subject")].map(({ textContent }) => textContent)).toEqual(["A", "B"]);
  });
});

describe("only looking", () => {
  test("sends nothing and writes nothing: pointer, wheel, zoom, swipe, blink, the plain picture", async () => {
    const { fake, root, canvases } = await compared();
    const before = fake.sent.length;
    const [canvas] = canvases();
    canvas!.dispatchEvent(new PointerEvent("pointermove", { clientX: 5, clientY: 5, bubbles: true }));
    canvas!.dispatchEvent(new WheelEvent("wheel", { ctrlKey: true, deltaY: -120, bubbles: true, cancelable: true }));
    for (const name of ["+", "+", "-", "0", " ", "s", "b", "g"]) key(canvas!, name);
    canvas!.dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
    await frame();
    radio(root, "Swipe").click();
    await frame();
    key(find(root, ".slw-divider"), "ArrowLeft");
    await frame();
    radio(root, "Grid").click();
    await frame();

    expect(fake.sent).toHaveLength(before);
    expect(fake.saved).toEqual([]);
  });

  test("goes nearer by keys up to a limit and back, in all pictures at once", async () => {
    const { root, canvases } = await compared();
    const level = (): string | undefined => find(root, ".slw-zoom").children[1]?.textContent ?? undefined;
    key(canvases()[1]!, "+");
    await frame();
    expect(level()).toBe("150 %");
    for (let i = 0; i < 20; i++) key(canvases()[0]!, "+");
    await frame();
    expect(level()).toBe("1600 %");
    key(canvases()[0]!, "0");
    await frame();
    expect(level()).toBe("100 %");
  });

  test("overlays two, and names them", async () => {
    const { root, canvases } = await compared();
    key(canvases()[0]!, "s");
    await frame();

    expect(canvases()).toHaveLength(1);
    expect(find(root, ".slw-caption").textContent).toBe("XRAIIntegrated Gradients");
    const divider = find(root, ".slw-divider");
    key(divider, "End");
    await frame();
    expect(divider.getAttribute("aria-valuenow")).toBe("100");
    expect(divider.getAttribute("aria-valuetext")).toBe("100 % of the width is the first");
  });

  test("shows which map is higher where, and how alike two maps are, once both are there", async () => {
    const fake = fakeModel({ grid: GRID, mode: "heat" });
    const { root } = await open(fake);
    welcome(fake);
    finish(fake);
    await frame();
    key(find(root, "canvas"), "d");
    await vi.waitFor(() => expect(root.querySelector(".slw-difference [role=status]")?.textContent).toContain("appears once"));
    const panel = find(root, ".slw-difference");
    expect(panel.textContent).toContain("XRAI minus Integrated Gradients appears once both maps are computed.");
    expect(find(root, ".slw-two span").textContent).toBe("−");

    const values = Float32Array.from([0, 0, 0, 0, 0, 0, 0.5, 0.9]);
    finish(fake, explained({ values, valuesTable: percentiles(values), step: null, result: result({ method: "ig", regions: null }) }));
    await vi.waitFor(() => expect(find(panel, "canvas").getAttribute("aria-label")).toBe("XRAI minus Integrated Gradients"));
    expect([...panel.querySelectorAll(".slw-ends span")].map(({ textContent }) => textContent)).toEqual(["Blue: higher in Integrated Gradients", "Red: higher in XRAI"]);
    expect(find(panel, ".slw-likeness").textContent).toBe("Rank correlation −0.54Correlation −0.50Overlap of the top 20 % 0.0 %");

    key(find(panel, "canvas"), "g");
    await vi.waitFor(() => expect(panel.hidden).toBe(true));
  });

  test("a scrolled page is not zoomed: the wheel alone is the page's", async () => {
    const { canvases } = await compared();
    const wheel = new WheelEvent("wheel", { deltaY: 100, bubbles: true, cancelable: true });
    canvases()[0]!.dispatchEvent(wheel);

    expect(wheel.defaultPrevented).toBe(false);
  });
});

describe("reading the map", () => {
  test("gamma, smoothing, contours and the scale are written when the gesture ends", async () => {
    const { fake, root } = await compared();
    const gamma = named(root, "Gamma");
    gamma.value = "1";
    gamma.dispatchEvent(new Event("input", { bubbles: true }));
    await frame();
    expect(fake.saved).toEqual([]);
    expect(gamma.getAttribute("aria-valuetext")).toBe("2.00");
    gamma.dispatchEvent(new Event("change", { bubbles: true }));
    for (const label of root.querySelectorAll<HTMLElement>(".slw-flag")) label.querySelector("input")!.click();

    expect(fake.saved).toEqual([{ gamma: 2 }, { smooth: false }, { contours: true }, { scale: "shared" }]);
  });

  test("a warning stands below the picture of the model and image that it is about, as text", async () => {
    const { fake, root } = await compared();
    const line = find(root, ".slw-warning");
    expect(line.textContent).toBe("");
    fake.say({ op: "warning", seq: 9001, model: 0, image: 0, text: "the <b>preprocessing</b> seems to be missing" });
    await frame();
    expect(line.textContent).toBe("the <b>preprocessing</b> seems to be missing");
    fake.say({ op: "warning", seq: 9002, model: 0, image: 0, text: "" });
    await frame();
    expect(line.textContent).toBe("");
  });

  test("results of earlier weights are marked in each picture, and are requested again together", async () => {
    const { fake, root } = await compared();
    const strip = find(root, ".slw-stale");
    expect(strip.hidden).toBe(true);
    fake.say({ op: "stale", seq: 9001, model: 0, image: 0 });
    await frame();
    expect(strip.hidden).toBe(false);
    expect(find(root, ".slw-caption-left").textContent).toBe("XRAI · outdated: the weights changed");

    strip.querySelector("button")!.click();
    expect(fake.requested("compute").slice(2)).toMatchObject([{ method: "xrai" }, { method: "ig" }]);
    await frame();
    expect(strip.hidden).toBe(true);
  });
});
