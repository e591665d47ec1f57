import { afterEach, beforeEach, expect, test } from "vitest";
import { explained } from "../fixtures.ts";
import { fakeModel, SPEC, type FakeModel } from "../fake-model.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(openedEnds);

const row = (name: string, sensitivity: number, significant: boolean) => ({ name, sensitivity, low: -0.1, high: 0.12, p: significant ? 1e-6 : 0.4, significant, accuracy: 0.95 });
const ANSWER = {
  layer: "<b>layer4</b>", layers: ["layer3", "<b>layer4</b>"], label: "cat", sets: 20, alpha: 0.05, notes: ["a <i>note</i>"],
  shape: [1, 2], place: [0, 0, 20, 20], concepts: [row("<u>eyes</u>", 0.4, true), row("metal", -0.05, false)], buffers: ["maps"],
};
const MAPS = Int8Array.of(127, 0, -127, 3);
const PICKED = { shape: [2, 4], runs: [0, 2, 6] };
const EYES = { name: "<u>eyes</u>", image: 0, ...PICKED };
const ASKED = { op: "concepts", method: "xrai", target: 3, model: 0, image: 0, layer: "", brushed: [] };

let seq = 9000;
const say = (fake: FakeModel, op: string, fields: object = {}, buffers: unknown[] = []): void =>
  fake.say({ op, seq: ++seq, rid: fake.requested("concepts").at(-1)?.rid ?? "", ...fields }, buffers);
const answer = (fake: FakeModel, fields: object = {}): void => say(fake, "concepts", { ...ANSWER, ...fields }, [new Uint8Array(MAPS.buffer)]);
const named = (root: HTMLElement, name: string): HTMLButtonElement => [...root.querySelectorAll("button")].find((each) => each.textContent === name)!;
const status = (root: HTMLElement): string => find(root, ".slw-concepts > [role=status]").textContent;
const rows = (root: HTMLElement): HTMLElement[] => [...root.querySelectorAll<HTMLElement>(".slw-concept")];

/** A map on the screen, and the tab open. */
async function shown(concepts: readonly string[], more: object = {}) {
  const fake = fakeModel({ spec: { ...SPEC, concepts }, ...more });
  const { root } = await open(fake);
  welcome(fake);
  finish(fake);
  await frame();
  named(root, "Concepts").click();
  await frame();
  return { fake, root };
}

test("a score stands beside the band of random sets, in the bar, in words and for screen readers", async () => {
  const { fake, root } = await shown(["<u>eyes</u>", "metal"]);
  expect(fake.requested("concepts")).toEqual([]);
  named(root, "Test 2 concepts").click();
  await frame();
  expect(fake.requested("concepts")).toMatchObject([ASKED]);
  say(fake, "progress", { done: 5, total: 20, seconds_left: null });
  await frame();
  expect(find(root, ".slw-concepts .slw-measure").textContent).toBe("Stop25 %");
  answer(fake);
  await frame();

  expect(status(root)).toBe("Layer <b>layer4</b> for cat: <u>eyes</u> supports it.");
  expect(rows(root).map((each) => each.textContent)).toEqual(["<u>eyes</u>+0.40 *, random sets −0.10 to +0.12", "metal−0.05, random sets −0.10 to +0.12"]);
  expect(rows(root).map((each) => find(each, ".slw-concept-band").style.left)).toEqual(["37.50%", "37.50%"]);
  expect(rows(root).map((each) => each.querySelector(".slw-concept-supports, .slw-concept-opposes") !== null)).toEqual([true, false]);
  expect(find(root, ".slw-concepts figcaption").textContent).toContain("sensitivity +0.40, random sets −0.10 to +0.12; p < 0.0001, significant. Accuracy of its classifiers 95 %");
  expect(find(root, ".slw-concepts").textContent).toContain("corrected for 2 tests");
  expect(root.querySelector(".slw-concepts b, .slw-concepts i, .slw-concepts u")).toBeNull();
});

test("an arrow key shows the map of another concept; a layer without a grid has none", async () => {
  const { fake, root } = await shown(["<u>eyes</u>", "metal"]);
  named(root, "Test 2 concepts").click();
  answer(fake);
  await frame();
  rows(root)[0]!.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
  await frame();
  expect(find(root, ".slw-concepts canvas").getAttribute("aria-label")).toBe("Map of metal");
  expect(find(root, ".slw-concepts figcaption").textContent).toContain("p = 0.400, not significant");
  const layer = find(root, ".slw-concepts select") as HTMLSelectElement;
  layer.value = "layer3";
  layer.dispatchEvent(new Event("change"));
  await frame();
  named(root, "Test 2 concepts").click();
  expect(fake.requested("concepts").at(-1)).toMatchObject({ layer: "layer3" });
  say(fake, "concepts", { ...ANSWER, layer: "layer3", shape: null, buffers: [] });
  await frame();
  expect(find(root, ".slw-concepts canvas").hidden).toBe(true);
  expect(find(root, ".slw-concepts figcaption").textContent).toContain("has no grid");
});

test("a region that is selected by hand becomes a concept, is tested, survives Reset, and can be removed", async () => {
  const { fake, root } = await shown([]);
  expect(status(root)).toContain("Select a region");
  expect(named(root, "Make a concept").disabled).toBe(true);
  fake.tell({ picked: PICKED, mode: "area" });
  await frame();
  expect(named(root, "Make a concept").disabled).toBe(false);
  const name = find(root, ".slw-concept-field") as HTMLInputElement;
  name.value = "<u>eyes</u>";
  name.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  await frame();

  expect(fake.saved.at(-1)).toMatchObject({ brushed: [EYES] });
  expect(fake.requested("concepts")).toMatchObject([{ ...ASKED, brushed: [EYES] }]);
  say(fake, "concepts", { ...ANSWER, concepts: [row("<u>eyes</u>", 0.4, true)], shape: null, buffers: [] });
  await frame();
  expect(rows(root)).toHaveLength(1);
  expect(find(root, ".slw-concepts").textContent).toContain("corrected for 1 test.");
  named(root, "Reset").click();
  await frame();
  expect(rows(root)).toHaveLength(1);
  named(root, "<u>eyes</u> ×").click();
  await frame();
  expect(fake.saved.at(-1)).toMatchObject({ brushed: [] });
  expect(status(root)).toContain("Select a region");
});

test("Stop cancels; a failure is text; a stored answer needs no request, and other weights make it outdated", async () => {
  const { fake, root } = await shown(["metal"]);
  named(root, "Test the concept").click();
  await frame();
  named(root, "Stop").click();
  await frame();
  expect(fake.requested("cancel").at(-1)).toEqual({ op: "cancel", rid: fake.requested("concepts").at(-1)!.rid });
  named(root, "Test the concept").click();
  say(fake, "error", { kind: "BadImage", message: "<b>too few</b>", details: "" });
  await frame();
  expect(find(root, ".slw-concepts .slw-trouble p").textContent).toBe("<b>too few</b>");
  answer(fake, { rid: "", asked: ASKED, concepts: [{ name: "metal" }] });
  await frame();
  expect(rows(root)).toHaveLength(0);
  answer(fake, { rid: "", asked: ASKED });
  await frame();
  expect(rows(root)).toHaveLength(2);
  finish(fake, explained());
  await frame();
  expect(rows(root)[0]!.closest("[hidden]")).toBeNull();
  fake.say({ op: "stale", seq: ++seq, model: 0, image: 0 });
  await frame();
  expect(status(root)).toContain("Outdated, the weights changed. Layer");
});
