import { afterEach, beforeEach, expect, test } from "vitest";
import { fakeModel, SPEC, type FakeModel } from "../fake-model.ts";
import { explained } from "../fixtures.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(openedEnds);

const named = (root: HTMLElement, name: string): HTMLButtonElement => [...root.querySelectorAll("button")].find((each) => each.textContent === name)!;
const zoom = (root: HTMLElement): string => find(root, ".slw-zoom .slw-number").textContent;
const reading = (root: HTMLElement): string => find(root, ".slw-reading").textContent;

let seq = 9000;
/** A widget with a map; of `classes` the first is explained. */
async function shown(group: string | undefined, classes: readonly (readonly [number, string])[] = [[3, "cat"], [4, "dog"]]) {
  const fake = fakeModel({ spec: { ...SPEC, ...(group ? { group } : {}) }, target: classes[0]![0] });
  const { root, closers } = await open(fake);
  welcome(fake);
  fake.say({ op: "prediction", seq: ++seq, classes: classes.map(([index, label]) => ({ index, label, probability: 0.5 })) });
  const one = explained();
  finish(fake, { ...one, result: { ...one.result, target: classes[0]![0] } });
  await frame();
  return { fake, root, closers };
}
const messages = ({ sent, saved }: FakeModel): number => sent.filter(({ op }) => op !== "compute").length + saved.length;

test("zoom and pointer of one view are those of the others in its group, without a message to the kernel", async () => {
  const [one, other, alone] = [await shown("a"), await shown("a"), await shown("b")];
  const before = [one, other, alone].map(({ fake }) => messages(fake));
  expect(find(one.root, ".slw-foot").textContent).toContain("Linked");
  named(one.root, "+").click();
  find(one.root, "canvas.slw-picture").dispatchEvent(new PointerEvent("pointermove", { clientX: 30, clientY: 30, bubbles: true }));
  await frame();

  expect(zoom(one.root)).toBe("150 %");
  expect(zoom(other.root)).toBe("150 %");
  expect(zoom(alone.root)).toBe("100 %");
  expect([one, other, alone].map(({ fake }) => messages(fake))).toEqual(before);
});

test("the pointer of a linked widget is drawn, the own one is not", async () => {
  const [one, other] = [await shown("a"), await shown("a")];
  const cursor = (root: HTMLElement): boolean => !find(root, ".slw-cursor").hidden;
  const canvas = find(one.root, "canvas.slw-picture");
  canvas.getBoundingClientRect = () => ({ x: 0, y: 0, left: 0, top: 0, right: 100, bottom: 100, width: 100, height: 100 }) as DOMRect;
  canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: 30, clientY: 30, bubbles: true }));
  await frame();
  expect([cursor(one.root), cursor(other.root)]).toEqual([false, true]);
  expect(reading(other.root)).toBe(reading(one.root));
  expect(reading(one.root)).toContain("value");

  canvas.dispatchEvent(new PointerEvent("pointerleave", { pointerType: "mouse" }));
  await frame();
  expect([cursor(one.root), cursor(other.root)]).toEqual([false, false]);
});

test("mode and percentile follow while a gesture lasts; only the widget that is used writes them", async () => {
  const [one, other] = [await shown("a"), await shown("a")];
  const slider = find(one.root, ".slw-side input[type=range]") as HTMLInputElement;
  slider.value = "15";
  slider.dispatchEvent(new Event("input"));
  await frame();
  expect((find(other.root, ".slw-side input[type=range]") as HTMLInputElement).value).toBe(slider.value);
  expect(other.fake.saved).toEqual([]);
  named(one.root, "Heat map").click();
  await frame();
  expect(named(other.root, "Heat map").getAttribute("aria-checked")).toBe("true");
  expect(one.fake.saved.at(-1)).toMatchObject({ mode: "heat" });
  expect(other.fake.saved).toEqual([]);
});

test("a class is chosen by its label, among those that are listed", async () => {
  const one = await shown("a");
  const other = await shown("a", [[8, "cat"], [9, "dog"], [3, "fox"]]);
  named(one.root, "dog50 %").click();
  await frame();
  expect(other.root.dataset["target"]).toBe("9");
  named(other.root, "fox50 %").click();
  await frame();
  expect(one.root.dataset["target"]).toBe("4");
});

test("a group that is given, or taken away, is followed; a view that is gone hears nothing", async () => {
  const [one, other] = [await shown("a"), await shown(undefined)];
  named(one.root, "+").click();
  await frame();
  expect(zoom(other.root)).toBe("100 %");
  other.fake.tell({ spec: { ...SPEC, group: "a" } });
  await frame();
  named(one.root, "+").click();
  await frame();
  expect(zoom(other.root)).toBe("225 %");

  other.fake.tell({ spec: SPEC });
  await frame();
  expect(find(other.root, ".slw-foot > .slw-muted[title^=Shares]").hidden).toBe(true);
  named(one.root, "+").click();
  await frame();
  expect(zoom(other.root)).toBe("225 %");
  for (const close of other.closers) close();
  named(one.root, "+").click();
  await frame();
  expect(zoom(one.root)).toBe("506 %");
});
