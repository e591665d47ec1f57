import { afterEach, beforeEach, expect, test } from "vitest";
import { explained } from "../fixtures.ts";
import { fakeModel, type FakeModel } from "../fake-model.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(openedEnds);

const ROWS = [{ index: 7, sum: 2, share: 0.4 }, { index: 1, sum: -1, share: 0.2 }, { index: 12, sum: 0.5, share: 0.1 }];
const ANSWER = {
  layer: "<b>layer4</b>", layers: ["layer3", "<b>layer4</b>"], label: "cat", count: 64, images: 1, notes: ["a <i>note</i>"],
  shape: [1, 2], place: [0, 0, 20, 20], channels: ROWS, buffers: ["maps"],
};
const MAPS = Int8Array.of(127, 0, -127, 3, 5, 127);
const ASKED = { op: "channels", method: "xrai", target: 3, model: 0, image: 0, layer: "", by: "input_x_gradient" };

let seq = 9000;
const say = (fake: FakeModel, op: string, fields: object = {}, buffers: unknown[] = []): void =>
  fake.say({ op, seq: ++seq, rid: fake.requested("channels").at(-1)?.rid ?? "", ...fields }, buffers);
const answer = (fake: FakeModel, fields: object = {}): void => say(fake, "channels", { ...ANSWER, ...fields }, [new Uint8Array(MAPS.buffer)]);
const named = (root: HTMLElement, name: string): HTMLButtonElement => [...root.querySelectorAll("button")].find((each) => each.textContent === name)!;
const status = (root: HTMLElement): string => find(root, ".slw-channels [role=status]").textContent;
const rows = (root: HTMLElement): HTMLElement[] => [...root.querySelectorAll<HTMLElement>(".slw-channel")];
const [layer, method] = [0, 1].map((at) => (root: HTMLElement) => root.querySelectorAll<HTMLSelectElement>(".slw-channels select")[at]!) as [(root: HTMLElement) => HTMLSelectElement, (root: HTMLElement) => HTMLSelectElement];
const choose = (field: HTMLSelectElement, value: string): void => {
  field.value = value;
  field.dispatchEvent(new Event("change"));
};

/** A map on the screen, and the tab open. */
async function shown() {
  const fake = fakeModel();
  const { root } = await open(fake);
  welcome(fake);
  finish(fake);
  await frame();
  named(root, "Channels").click();
  await frame();
  return { fake, root };
}

test("nothing is requested before a click; then the channels are bars with a sign, and the first has its map", async () => {
  const { fake, root } = await shown();
  expect(fake.requested("channels")).toEqual([]);
  named(root, "Rank channels").click();
  await frame();
  expect(fake.requested("channels")).toMatchObject([ASKED]);
  say(fake, "progress", { done: 5, total: 20, seconds_left: null });
  await frame();
  expect(find(root, ".slw-channels .slw-measure").textContent).toBe("Stop25 %");
  answer(fake);
  await frame();

  expect(status(root)).toBe("Layer <b>layer4</b> for cat: the top 3 of 64 channels hold 70.0 % of the attribution.");
  expect(rows(root).map((row) => row.textContent)).toEqual(["channel 740.0 %", "channel 1−20.0 %", "channel 1210.0 %"]);
  expect(rows(root).map((row) => row.querySelector(".slw-opposes") !== null)).toEqual([false, true, false]);
  expect(find(root, ".slw-channel-map").getAttribute("aria-label")).toBe("Map of channel 7");
  expect(find(root, ".slw-channels .slw-measure").textContent).toBe("1 image evaluated");
  expect(root.querySelector(".slw-channels b, .slw-channels i")).toBeNull();
  expect([...layer(root).options].map((each) => each.textContent)).toEqual(["automatic (<b>layer4</b>)", "<b>layer4</b>", "layer3"]);
});

test("a click or an arrow key shows the map of another channel, and asks for nothing", async () => {
  const { fake, root } = await shown();
  named(root, "Rank channels").click();
  answer(fake);
  await frame();
  rows(root)[1]!.click();
  await frame();
  expect(find(root, ".slw-channel-figure").textContent).toContain("Channel 1 opposes the class: sum −1.00");
  rows(root)[1]!.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
  await frame();

  expect(rows(root).map((row) => row.getAttribute("aria-selected"))).toEqual(["false", "false", "true"]);
  expect(find(root, ".slw-channel-map").getAttribute("aria-label")).toBe("Map of channel 12");
  expect(fake.requested("channels")).toHaveLength(1);
});

test("each layer and method has its own channels", async () => {
  const { fake, root } = await shown();
  named(root, "Rank channels").click();
  answer(fake);
  await frame();
  choose(layer(root), "layer3");
  choose(method(root), "lrp");
  await frame();
  expect(rows(root).every((row) => row.closest("[hidden]"))).toBe(true);
  named(root, "Rank channels").click();
  expect(fake.requested("channels").at(-1)).toMatchObject({ layer: "layer3", by: "lrp" });
  answer(fake, { layer: "layer3" });
  await frame();
  expect(status(root)).toContain("Layer layer3");
  choose(layer(root), "");
  choose(method(root), "input_x_gradient");
  await frame();
  expect(status(root)).toContain("<b>layer4</b>");
});

test("the channels of a class stand beside the map of another method, too", async () => {
  const { fake, root } = await shown();
  named(root, "Rank channels").click();
  answer(fake);
  await frame();
  fake.tell({ method: "ig" });
  const one = explained();
  finish(fake, { ...one, result: { ...one.result, method: "ig" } });
  await frame();

  expect(status(root)).toContain("the top 3 of 64");
});

test("a layer without a grid has bars and no map", async () => {
  const { fake, root } = await shown();
  named(root, "Rank channels").click();
  say(fake, "channels", { ...ANSWER, shape: null, buffers: [] });
  await frame();

  expect(rows(root)).toHaveLength(3);
  expect(find(root, ".slw-channel-map").hidden).toBe(true);
  expect(find(root, ".slw-channel-figure").textContent).toContain("has no grid");
});

test("Stop cancels, and a failure is shown as text", async () => {
  const { fake, root } = await shown();
  named(root, "Rank channels").click();
  await frame();
  named(root, "Stop").click();
  await frame();
  expect(fake.requested("cancel").at(-1)).toEqual({ op: "cancel", rid: fake.requested("channels").at(-1)!.rid });

  named(root, "Rank channels").click();
  say(fake, "error", { kind: "Unsupported", message: "<b>no layers</b>", details: "" });
  await frame();
  expect(find(root, ".slw-channels .slw-trouble p").textContent).toBe("<b>no layers</b>");
  expect(named(root, "Rank channels").hidden).toBe(false);
});

test("a stored answer is shown without a request; other weights make it outdated; a malformed one is ignored", async () => {
  const { fake, root } = await shown();
  answer(fake, { rid: "", asked: ASKED, shape: [3, 3] });
  await frame();
  expect(status(root)).toContain("Ranks");
  answer(fake, { rid: "", asked: ASKED });
  await frame();
  expect(status(root)).toContain("the top 3");
  fake.say({ op: "stale", seq: ++seq, model: 0, image: 0 });
  await frame();

  expect(status(root)).toContain("Outdated, the weights changed. Layer");
});
