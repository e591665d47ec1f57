import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { pack } from "../../playground/pack.ts";
import { explained, resultMessage } from "../fixtures.ts";
import { fakeModel, SPEC, type FakeModel } from "../fake-model.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(openedEnds);

const SHARED = [[1, 2], [2, 2]];
const example = (name: string, label: string, score: number, shared: unknown = SHARED) => ({ index: 1, name, label, score, loss: 1.5, size: [20, 10], shared });
const ANSWER = {
  label: "<b>cat</b>", method: "influence function of the head", unit: "change of the margin", count: 40, notes: ["a <i>note</i>"],
  examples: [example("cats/<u>1</u>.png", "<b>cat</b>", 8.68), example("2", "dog", 0.5, null), example("3", "cat", -1.25)], buffers: ["0", "2", "maps"],
};
const BUFFERS = [Uint8Array.of(1), Uint8Array.of(2), new Uint8Array(12)];
const ASKED = { op: "examples", method: "xrai", target: 3, model: 0, image: 0 };

let seq = 9000;
const say = (fake: FakeModel, op: string, fields: object = {}, buffers: unknown[] = []): void =>
  fake.say({ op, seq: ++seq, rid: fake.requested("examples").at(-1)?.rid ?? "", ...fields }, buffers);
const answer = (fake: FakeModel, fields: object = {}): void => say(fake, "examples", { ...ANSWER, ...fields }, BUFFERS);
const named = (root: HTMLElement, name: string): HTMLButtonElement => [...root.querySelectorAll("button")].find((each) => each.textContent === name)!;
const panel = (root: HTMLElement): HTMLElement => find(root, "[aria-label='Like these']");
const rows = (root: HTMLElement): HTMLElement[] => [...root.querySelectorAll<HTMLElement>(".slw-example")];
const captions = (root: HTMLElement): (string | null)[] => [...root.querySelectorAll(".slw-shared figcaption")].map((each) => each.textContent);
const tabs = (root: HTMLElement): (string | null)[] => [...root.querySelectorAll<HTMLElement>(".slw-tab")].filter((each) => !each.hidden).map((each) => each.textContent);

/** A map on the screen, and the tab open. */
async function shown() {
  const fake = fakeModel({ spec: { ...SPEC, index: [true] } });
  const { root } = await open(fake);
  welcome(fake);
  finish(fake);
  await frame();
  named(root, "Like these").click();
  await frame();
  return { fake, root };
}

test("nothing is requested before a click; then the images stand on their sides, and the first is beside the picture", async () => {
  const { fake, root } = await shown();
  expect(fake.requested("examples")).toEqual([]);
  named(root, "Find training images").click();
  await frame();
  expect(fake.requested("examples")).toMatchObject([ASKED]);
  answer(fake);
  await frame();

  expect(find(panel(root), "[role=status]").textContent).toBe("3 of 40 training images for and against <b>cat</b>, by the influence function of the head. Score: change of the margin.");
  expect(rows(root).map((row) => row.textContent)).toEqual(["<b>cat</b>+8.68", "dog+0.500", "cat−1.25"]);
  const sides = [...root.querySelectorAll(".slw-examples-side")].map((each) => [each.getAttribute("aria-label"), each.querySelectorAll(".slw-example").length]);
  expect(sides).toEqual([["For <b>cat</b>", 2], ["Against <b>cat</b>", 1]]);
  expect(captions(root)).toEqual(["The picture. Lit: what resembles the training image.", "Training image cats/<u>1</u>.png: <b>cat</b>. Score +8.68, loss 1.50."]);
  expect(panel(root).querySelector("b, i, u")).toBeNull();
  expect(named(root, "Find training images")).toBeUndefined();
});

test("a click or an arrow key chooses another image; one that cannot be read again has no picture", async () => {
  const { fake, root } = await shown();
  named(root, "Find training images").click();
  answer(fake);
  await frame();
  rows(root)[1]!.click();
  await frame();
  expect(find(root, ".slw-shared").hidden).toBe(true);
  rows(root)[1]!.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
  await frame();

  expect(rows(root).map((row) => row.getAttribute("aria-selected"))).toEqual(["false", "false", "true"]);
  expect(captions(root)[1]).toBe("Training image 3: cat. Score −1.25, loss 1.50.");
  expect(fake.requested("examples")).toHaveLength(1);
});

test("Stop cancels; a failure is text; images of other weights are outdated", async () => {
  const { fake, root } = await shown();
  named(root, "Find training images").click();
  await frame();
  named(root, "Stop").click();
  await frame();
  expect(fake.requested("cancel").at(-1)).toEqual({ op: "cancel", rid: fake.requested("examples").at(-1)!.rid });
  named(root, "Find training images").click();
  say(fake, "error", { kind: "BadField", message: "<b>another model</b>", details: "" });
  await frame();
  expect(find(panel(root), ".slw-trouble p").textContent).toBe("<b>another model</b>");
  named(root, "Find training images").click();
  answer(fake);
  await frame();
  fake.say({ op: "stale", seq: ++seq, model: 0, image: 0 });
  await frame();

  expect(find(panel(root), "[role=status]").textContent).toMatch(/^Outdated, the weights changed\. 3 of 40/);
});

test("the tab is on offer only for a model whose training images are known, in the palette too", async () => {
  const { fake, root } = await shown();
  expect(tabs(root)).toContain("Like these");
  fake.tell({ spec: { ...SPEC, index: [false] } });
  await frame();
  expect(tabs(root)).not.toContain("Like these");
  named(root, "").click();
  await frame();
  const entries = [...root.querySelectorAll(".slw-palette [role=option]")].map((each) => each.textContent);
  expect(entries.some((each) => each.includes("Channels"))).toBe(true);
  expect(entries.some((each) => each.includes("Like these"))).toBe(false);
});

test("without a kernel a tab is shown only where something was computed for it", async () => {
  const { message, buffers } = resultMessage(explained());
  const stored = async (...answers: { message: Record<string, unknown>; buffers: Map<string, Uint8Array> }[]): Promise<HTMLElement> => {
    vi.useFakeTimers();
    const packet = pack([
      { message: { op: "welcome", rid: "", format: "image/png" }, buffers: new Map([["picture", Uint8Array.of(1)]]) },
      { message: { op: "prediction", rid: "", classes: [{ index: 3, label: "cat", probability: 0.9 }] }, buffers: new Map() },
      { message, buffers },
      ...answers,
    ]);
    const { root } = await open(fakeModel({ parameters: {}, _snapshot: packet, spec: { ...SPEC, index: [true] } }));
    await vi.advanceTimersByTimeAsync(1100);
    vi.useRealTimers();
    await frame();
    return root;
  };
  expect(tabs(await stored())).toEqual(["What if…", "Save", "Keys"]);
  openedEnds();
  const root = await stored({ message: { op: "examples", rid: "", ...ANSWER, asked: ASKED }, buffers: new Map(["0", "2", "maps"].map((name, i) => [name, BUFFERS[i]!])) });
  expect(tabs(root)).toEqual(["What if…", "Like these", "Save", "Keys"]);
  named(root, "Like these").click();
  await frame();
  expect(rows(root)).toHaveLength(3);
});

test("an answer whose maps are too short is ignored", async () => {
  const { fake, root } = await shown();
  say(fake, "examples", { ...ANSWER, rid: "", asked: ASKED }, [Uint8Array.of(1), Uint8Array.of(2), new Uint8Array(11)]);
  await frame();
  expect(rows(root)).toHaveLength(0);
});
