import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SPEC, fakeModel, type FakeModel } from "../fake-model.ts";
import { find, finish, frame, open, openedEnds, pause, stubCanvas, welcome } from "../mounting.ts";

/** A recorder of browsers that encode some types: what it records is the number of drawings. */
class Recorder extends EventTarget {
  static types: readonly string[] = [];
  static isTypeSupported = (type: string): boolean => Recorder.types.includes(type);
  readonly type: string;

  constructor(_stream: unknown, { mimeType }: { mimeType: string }) {
    super();
    this.type = mimeType;
  }

  start(): void {
    started.push(this.type);
  }

  stop(): void {
    this.dispatchEvent(Object.assign(new Event("dataavailable"), { data: new Blob(["video"]) }));
    this.dispatchEvent(new Event("stop"));
  }
}
let started: string[] = [];
let saved: { name: string; blob: Blob }[] = [];

beforeEach(() => {
  stubCanvas();
  started = [];
  saved = [];
  Recorder.types = ["video/webm"];
  vi.stubGlobal("MediaRecorder", Recorder);
  HTMLCanvasElement.prototype.captureStream = () => ({}) as MediaStream;
  let blob = new Blob();
  vi.spyOn(URL, "createObjectURL").mockImplementation((each) => {
    blob = each as Blob;
    return "blob:film";
  });
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function click(this: HTMLAnchorElement) {
    saved.push({ name: this.download, blob });
  });
});
afterEach(() => {
  openedEnds();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

let seq = 9000;
const FRAMES = [Uint8Array.of(1, 2), Uint8Array.of(3)];
const say = (fake: FakeModel, op: string, fields: object = {}, files: readonly Uint8Array[] = []): void =>
  fake.say({ op, seq: ++seq, rid: fake.requested("film").at(-1)!.rid, buffers: files.map((_, i) => String(i)), ...fields }, files);
const named = (root: HTMLElement, name: string): HTMLButtonElement | undefined => [...root.querySelectorAll("button")].find((each) => each.textContent === name);
const status = (root: HTMLElement): string => find(root, ".slw-save [role=status]").textContent;

/** The Save tab, with a map or without one. */
async function tab(more: object = {}, mapped = true) {
  const fake = fakeModel({ ...more });
  const { root } = await open(fake);
  welcome(fake);
  if (mapped) finish(fake);
  await frame();
  named(root, "Save")!.click();
  await frame();
  return { fake, root };
}

test("the kernel's GIF file is saved, after its progress", async () => {
  const { fake, root } = await tab();
  named(root, "GIF")!.click();
  await frame();
  expect(fake.requested("film")).toMatchObject([{ method: "xrai", target: 3, model: 0, image: 0, fill: "blur", encoding: "gif" }]);
  expect(named(root, "Stop")!.hidden).toBe(false);
  say(fake, "progress", { done: 1, total: 3, seconds_left: null });
  expect(status(root)).toBe("Drawing the film: 33 %");
  say(fake, "film", { durations: [1000] }, [Uint8Array.of(71, 73, 70)]);
  await frame();

  expect(saved.map(({ name }) => name)).toEqual(["xrai-cat.gif"]);
  expect([...new Uint8Array(await saved[0]!.blob.arrayBuffer())]).toEqual([71, 73, 70]);
  expect(status(root)).toBe("Saved as xrai-cat.gif.");
  expect(named(root, "Stop")!.hidden).toBe(true);
});

test("a video is recorded from the frames, for as long as they last", async () => {
  const { fake, root } = await tab();
  const began = performance.now();
  named(root, "WebM")!.click();
  expect(fake.requested("film")).toMatchObject([{ encoding: "frames" }]);
  say(fake, "film", { durations: [60, 90] }, FRAMES);
  await vi.waitFor(() => expect(status(root)).toBe("Saved as xrai-cat.webm."));

  expect(performance.now() - began).toBeGreaterThanOrEqual(150);
  expect(started).toEqual(["video/webm"]);
  expect(saved.map(({ name, blob }) => [name, blob.type])).toEqual([["xrai-cat.webm", "video/webm"]]);
});

test("MP4 is offered where the browser encodes it, and no video where it encodes none", async () => {
  Recorder.types = ["video/webm", "video/mp4;codecs=avc1.42E01E"];
  const { root } = await tab();
  expect([named(root, "MP4"), named(root, "WebM")].map(Boolean)).toEqual([true, false]);
  openedEnds();
  vi.stubGlobal("MediaRecorder", undefined);
  const old = await tab();
  expect(["GIF", "MP4", "WebM"].map((name) => Boolean(named(old.root, name)))).toEqual([true, false, false]);
});

test("Stop cancels the kernel's work, or the recording; nothing is saved", async () => {
  const { fake, root } = await tab();
  named(root, "GIF")!.click();
  named(root, "Stop")!.click();
  expect(fake.requested("cancel").map(({ rid }) => rid)).toEqual([fake.requested("film")[0]!.rid]);
  expect(status(root)).toBe("Stopped.");

  named(root, "WebM")!.click();
  say(fake, "film", { durations: [100_000] }, FRAMES.slice(1));
  await vi.waitFor(() => expect(started).toHaveLength(1));
  named(root, "Stop")!.click();
  await pause(100);
  expect(saved).toEqual([]);
});

test("a failure is shown, and the next film starts again", async () => {
  const { fake, root } = await tab();
  named(root, "GIF")!.click();
  say(fake, "error", { kind: "ValueError", message: "no <film>" });
  await frame();
  expect(find(root, ".slw-save [role=alert]").textContent).toContain("no <film>");
  expect(named(root, "Stop")!.hidden).toBe(true);

  named(root, "GIF")!.click();
  await frame();
  say(fake, "film", { durations: [10] }, FRAMES.slice(1));
  await frame();
  expect(find(root, ".slw-save [role=alert]").hidden).toBe(true);
  expect(saved).toHaveLength(1);
});

test("without a map there is nothing to film", async () => {
  const { fake, root } = await tab({}, false);
  named(root, "GIF")!.click();
  expect(status(root)).toBe("There is nothing to save yet.");
  expect(fake.requested("film")).toEqual([]);
});

test("over stored masks without a model no film is offered", async () => {
  const { root } = await tab({ spec: { ...SPEC, stored: true } });
  expect([named(root, "GIF")!.hidden, named(root, "WebM")!.hidden]).toEqual([true, true]);
});
