import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SPEC, fakeModel, type FakeModel } from "../fake-model.ts";
import { find, finish, open, openedEnds, pause, stubCanvas, welcome } from "../mounting.ts";

const FULL = { ...SPEC, images: [{ name: "image", size: [20, 20], full: [2000, 3000] }] };
let closed = 0;

beforeEach(() => {
  stubCanvas();
  closed = 0;
  vi.stubGlobal("createImageBitmap", () => Promise.resolve({ width: 500, height: 500, close: () => closed++ }));
});
afterEach(() => {
  openedEnds();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

let seq = 7000;
/** The answer to the last request, or to one of them. */
function answer(fake: FakeModel, box?: readonly number[], rid?: string): void {
  const request = fake.requested("detail").at(-1) as unknown as { rid: string; box: number[] };
  fake.say({ op: "detail", seq: ++seq, rid: rid ?? request.rid, image: 0, box: box ?? request.box, buffers: ["picture"] }, [Uint8Array.of(1)]);
}
const press = (root: HTMLElement, ...keys: readonly string[]): void => {
  for (const key of keys) find(root, "canvas").dispatchEvent(new KeyboardEvent("keydown", { key: key.replace("Shift+", ""), shiftKey: key.startsWith("Shift+"), bubbles: true }));
};
/** Until the view has rested. */
const rest = () => pause(320);

async function shown(spec: object = FULL) {
  const fake = fakeModel({ spec });
  const { root } = await open(fake);
  welcome(fake);
  finish(fake);
  await rest();
  return { fake, root };
}

test("what is zoomed beyond the copy is requested once the view rests, with a margin, at the size of the screen", async () => {
  const { fake, root } = await shown();
  expect(fake.requested("detail")).toEqual([]);
  press(root, "+", "+");
  await rest();

  // 2.25 times on a canvas of 100 pixels: the middle 1/2.25 of the picture, and a tenth of that around it
  expect(fake.requested("detail")).toMatchObject([{ image: 0, box: [700, 466, 2300, 1534], width: 120 }]);
});

test("small pictures have no details", async () => {
  const { fake, root } = await shown(SPEC);
  press(root, "+", "+");
  await rest();
  expect(fake.requested("detail")).toEqual([]);
});

test("a kernel that is gone is not asked again", async () => {
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const { fake, root } = await shown();
  let attempts = 0;
  fake.model.send = (message: unknown) => {
    attempts += Number((message as { op: string }).op === "detail");
    throw new Error("the comm is closed");
  };
  press(root, "+", "+");
  await rest();
  press(root, "Shift+ArrowRight");
  await rest();
  expect(attempts).toBe(1);
});

test("a request is cancelled when the view moves on, and its answer is not waited for", async () => {
  const { fake, root } = await shown();
  press(root, "+", "+");
  await rest();
  press(root, "Shift+ArrowRight");
  await rest();

  const [first, second] = fake.requested("detail");
  expect(fake.requested("cancel").map(({ rid }) => rid)).toEqual([first!.rid]);
  expect(second).toMatchObject({ box: [833, 466, 2434, 1534] });
});

test("a view that a detail covers is not requested again; at another zoom, or elsewhere, it is", async () => {
  const { fake, root } = await shown();
  press(root, "+", "+");
  await rest();
  answer(fake);
  await rest();
  press(root, "0");
  await rest();
  press(root, "+", "+");
  await rest();
  expect(fake.requested("detail")).toHaveLength(1);

  press(root, "+", "+", "+", "+");
  await rest();
  expect(fake.requested("detail")).toHaveLength(2);
});

test("the last eight details are kept, and the pictures of others released", async () => {
  const { fake, root } = await shown();
  press(root, "+", "+", "+", "+", "+");
  for (let i = 0; i < 10; i++) {
    await rest();
    answer(fake);
    await pause(20);
    press(root, "Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight");
  }
  expect(fake.requested("detail").length).toBeGreaterThanOrEqual(10);
  expect(closed).toBe(2);
});

test("an answer without a picture is reported, and breaks nothing", async () => {
  const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const { fake, root } = await shown();
  press(root, "+", "+");
  await rest();
  answer(fake, [1, 2]);
  await rest();
  expect(warned.mock.calls.flat().join(" ")).toContain("no detail: Error: expected a picture and its box");
  press(root, "0", "+", "+");
  await rest();
  expect(fake.requested("detail")).toHaveLength(2);
});
