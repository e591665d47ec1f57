import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { heightOf, inSight, layoutOf, movedBy, placeOf, revealing } from "../../src/panels/gallery/layout.ts";
import { imagesIn, orderOf } from "../../src/panels/gallery/order.ts";
import { createShelf } from "../../src/panels/gallery/shelf.ts";
import { fakeModel, SPEC, type FakeModel } from "../fake-model.ts";
import { find, open, openedEnds, pause, stubCanvas, welcome } from "../mounting.ts";

beforeEach(() => {
  stubCanvas();
  vi.spyOn(URL, "createObjectURL").mockImplementation(() => `blob:${Math.random()}`);
  vi.spyOn(URL, "revokeObjectURL").mockReturnValue(undefined);
});
afterEach(openedEnds);

const GALLERY = { count: 1000, sorts: [["image", "Original order"], ["score", "Score"]], shows: [["all", "All"], ["wrong", "Wrong"]] };
const settle = () => pause(130);
const last = (fake: FakeModel, op: string) => fake.requested(op).at(-1) as unknown as { rid: string; images: number[] };
let seq = 5000;

const item = (image: number, more: object = {}) => ({
  image, name: `p${image}`, bytes: 1, mapped: false, label: "cat", score: 0.93, percent: true, truth: "dog", right: false, error: "", ...more,
});

function deliver(fake: FakeModel, rid: string, listed: readonly ReturnType<typeof item>[]): void {
  const size = listed.reduce((sum, { bytes }) => sum + bytes, 0);
  fake.say({ op: "items", seq: ++seq, rid, items: listed, model: 0, method: "", buffers: ["pictures"] }, [new Uint8Array(size)]);
}

const NO_GALLERY = { gallery: false };

async function opened(more: object = {}) {
  const fake = fakeModel({ spec: { ...SPEC, gallery: GALLERY }, gallery: true, ...more });
  const { root } = await open(fake);
  welcome(fake);
  await vi.waitFor(() => find(root, ".slw-gallery-list").matches("*"));
  if (more !== NO_GALLERY) await vi.waitFor(() => expect(fake.requested("items")).toHaveLength(1));
  return { fake, root, list: find(root, ".slw-gallery-list") };
}

describe("the layout of the gallery", () => {
  test("has as many columns as fit, at least two, and only rows in sight", () => {
    expect(layoutOf(833, 5000).columns).toBe(6);
    expect(layoutOf(360, 5000).columns).toBe(2);
    expect(layoutOf(100, 5000).columns).toBe(2);
    expect(layoutOf(2000, 5000).columns).toBe(14);
    const layout = { columns: 5, width: 100, height: 150, count: 5000 };
    expect(heightOf(layout)).toBe(150_000);
    expect(inSight(layout, 0, 600, 0)).toEqual([0, 20]);
    expect(inSight(layout, 151, 600, 0)).toEqual([5, 30]);
    expect(inSight(layout, 1500, 600)).toEqual([45, 75]);
    expect(inSight({ ...layout, count: 7 }, 0, 600)).toEqual([0, 7]);
    expect(inSight({ ...layout, count: 0 }, 0, 600)).toEqual([0, 0]);
  });

  test("every place that is in sight is within the window, and every other is not", () => {
    const layout = { columns: 3, width: 90, height: 137, count: 100 };
    for (const top of [0, 1, 136, 137, 500, 4000]) {
      const [first, end] = inSight(layout, top, 411, 0);
      for (let at = 0; at < layout.count; at++) {
        const from = placeOf(layout, at).top;
        expect(at >= first && at < end).toBe(from < top + 411 && from + layout.height > top);
      }
    }
  });

  test("keys stay in their column and in the list, and what they reach is scrolled into sight", () => {
    const layout = { columns: 5, width: 100, height: 150, count: 22 };
    expect(["ArrowRight", "ArrowDown", "ArrowUp", "End", "Home", "PageDown", "x"].map((key) => movedBy(key, layout, 2, 300))).toEqual([3, 7, 2, 21, 0, 12, null]);
    expect(movedBy("ArrowDown", layout, 18, 300)).toBe(18);
    expect(movedBy("ArrowRight", layout, 21, 300)).toBe(21);
    expect(movedBy("End", { ...layout, count: 0 }, 0, 300)).toBeNull();
    expect(revealing(layout, 12, 0, 300)).toBe(150);
    expect(revealing(layout, 0, 400, 300)).toBe(0);
    expect(revealing(layout, 7, 100, 300)).toBe(100);
  });
});

describe("what is known of the pictures", () => {
  test("thumbnails, maps and predictions of one picture come in any order", () => {
    const shelf = createShelf();
    const take = (listed: readonly object[], bytes: number) => shelf.take({ raw: { items: listed }, buffers: new Map([["pictures", new Uint8Array(bytes)]]) });
    expect(take([item(3, { label: "", right: null }), item(4, { bytes: 0 })], 1)).toBe(true);
    expect([shelf.picture(3, false), shelf.picture(4, false)].map(Boolean)).toEqual([true, false]);
    const plain = shelf.picture(3, false);
    take([item(3, { mapped: true })], 1);
    expect(shelf.items.get(3)?.label).toBe("cat");
    expect(shelf.picture(3, false)).toBe(plain);
    expect(shelf.picture(3, true)).not.toBe(plain);
    // no pictures: the weights have changed
    expect(take([], 0)).toBe(false);
    expect(shelf.items.get(3)).toMatchObject({ label: "", score: null, name: "p3" });
    expect(shelf.picture(3, true)).toBe(plain);
  });

  test("an order finds images and places", () => {
    const order = orderOf(imagesIn({ raw: {}, buffers: new Map([["order", new Uint8Array(Uint32Array.of(9, 2, 70000).buffer)]]) }));
    expect([order.count, order.imageAt(2), order.placeOf(2), order.placeOf(5)]).toEqual([3, 70000, 1, -1]);
  });
});

describe("the gallery", () => {
  test("requests what is in sight, in one request, and only that", async () => {
    const { fake, list } = await opened();
    const tiles = list.querySelectorAll("[role=option]");
    expect(tiles.length).toBeGreaterThan(0);
    expect(tiles.length).toBeLessThan(20);
    const request = last(fake, "items");
    expect(request.images).toEqual([...tiles.keys()]);
    expect(fake.requested("items")).toHaveLength(1);
    // the map of the picture is not needed yet
    expect(fake.requested("compute")).toHaveLength(0);

    deliver(fake, request.rid, [item(0), item(1, { right: true }), item(2, { bytes: 0, error: "damaged", label: "", right: null, truth: "" })]);
    await settle();
    expect(tiles[0]!.querySelector("img")!.getAttribute("src")).toMatch(/^blob:/);
    expect(tiles[0]!.textContent).toBe("cat93 %✕ true: dog");
    expect(tiles[0]!.getAttribute("aria-label")).toBe("p0, predicted cat 93 %, true class dog, wrong");
    expect(tiles[1]!.textContent).toContain("✓ p1");
    expect(tiles[2]!.textContent).toContain("damaged");
    expect(tiles[0]!.getAttribute("aria-setsize")).toBe("1000");
  });

  test("a scroll cancels the request for what is no longer seen", async () => {
    const { fake, list } = await opened();
    const first = last(fake, "items");
    list.scrollTop = 4000;
    list.dispatchEvent(new Event("scroll"));
    await settle();
    expect(last(fake, "cancel").rid).toBe(first.rid);
    const images = last(fake, "items").images;
    expect(Math.min(...images)).toBeGreaterThan(10);
    // what is seen again is requested again
    list.scrollTop = 0;
    list.dispatchEvent(new Event("scroll"));
    await settle();
    expect(last(fake, "items").images).toContain(0);
  });

  test("a click and Enter open pictures; an open one needs no kernel", async () => {
    const { fake, root, list } = await opened();
    (list.querySelectorAll("[role=option]")[1] as HTMLElement).click();
    expect(last(fake, "open")).toMatchObject({ image: 1 });
    list.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true, cancelable: true }));
    list.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
    expect(last(fake, "open")).toMatchObject({ image: 2 });
    expect(list.getAttribute("aria-activedescendant")).toBe(list.querySelector("[aria-selected=true]")!.id);

    list.dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true, cancelable: true }));
    list.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
    await settle();
    expect(fake.saved.at(-1)).toMatchObject({ gallery: false });
    expect(root.hasAttribute("data-gallery")).toBe(false);
    expect(find(root, ".slw-back").hidden).toBe(false);
    expect(find(root, ".slw-back").textContent).toContain("1 of 1,000");
    // its map is requested now
    expect(fake.requested("compute")).toHaveLength(1);
    root.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true, cancelable: true }));
    await settle();
    expect(root.hasAttribute("data-gallery")).toBe(true);
  });

  test("a filter that needs predictions starts them, and the order is the kernel's", async () => {
    const { fake, root, list } = await opened();
    const show = find(root, "select[aria-label=Show]") as HTMLSelectElement;
    show.value = "wrong";
    show.dispatchEvent(new Event("change"));
    expect(last(fake, "predict")).toMatchObject({ model: 0 });
    const request = last(fake, "order");
    expect(request).toMatchObject({ show: "wrong", sort: "image", descending: false, query: "" });
    fake.say({ op: "order", seq: ++seq, rid: request.rid, count: 2, predicted: 500, right: 498, wrong: 2, buffers: ["order"] }, [new Uint8Array(Uint32Array.of(77, 5).buffer)]);
    await settle();
    expect(list.querySelectorAll("[role=option]")).toHaveLength(2);
    expect(last(fake, "items").images).toEqual([77, 5]);
    expect(find(root, ".slw-gallery-status").textContent).toBe("2 of 1,000 pictures · 500 predicted · 498 right, 2 wrong");
    const stop = [...root.querySelectorAll<HTMLElement>(".slw-gallery-bar button")].find((each) => each.textContent.startsWith("Stop"))!;
    stop.click();
    expect(last(fake, "cancel").rid).toBe(last(fake, "predict").rid);
    expect(stop.textContent).toBe("Predict all");
  });

  test("nearest maps are listed for an open picture, until another order is chosen", async () => {
    const { fake, root } = await opened({ spec: { ...SPEC, gallery: { ...GALLERY, nearest: true }, stored: true } });
    const press = (name: string): void => [...root.querySelectorAll("button")].find((each) => each.textContent === name)!.click();
    find(root, ".slw-gallery-list").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
    await settle();
    // nothing that needs a model is on offer
    expect([...root.querySelectorAll<HTMLElement>(".slw-tab")].filter(({ hidden }) => !hidden).map(({ textContent }) => textContent)).toEqual(["Save", "Keys"]);
    press("Nearest maps");
    await settle();
    expect(root.hasAttribute("data-gallery")).toBe(true);
    expect(last(fake, "order")).toMatchObject({ near: 0 });
    expect(find(root, ".slw-gallery-bar").textContent).toContain("Nearest maps to image");
    press("×");
    await settle();
    expect(last(fake, "order")).toMatchObject({ near: null });
  });

  test("pictures that the kernel closed are forgotten", async () => {
    const { fake, root } = await opened(NO_GALLERY);
    fake.tell({ spec: { ...SPEC, gallery: GALLERY, images: { 0: { name: "image", size: [20, 20] }, 5: { name: "five", size: [20, 20] } } } });
    await settle();
    expect(find(root, ".slw-subjects").textContent).toContain("Opened");
    fake.tell({ spec: { ...SPEC, gallery: GALLERY, images: { 5: { name: "five", size: [20, 20] } } } });
    await settle();
    expect(find(root, ".slw-subjects").hidden).toBe(true);
  });
});
