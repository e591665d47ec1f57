/** A widget in a page that draws nothing. */

import { vi } from "vitest";
import widget from "../src/widget.ts";
import type { FakeModel } from "./fake-model.ts";
import { explained, resultMessage } from "./fixtures.ts";

/** Under this key a browser remembers that the guide was dismissed. */
export const GUIDE = "saliency-widget.guide";

type Hook = (props: object) => unknown;
const ends: (() => void)[] = [];

/** happy-dom draws nothing: a context that takes every call, and pictures of nothing. The guide has been dismissed. */
export function stubCanvas(): void {
  localStorage.setItem(GUIDE, "dismissed");
  const image = (width: number, height: number) => ({ data: new Uint8ClampedArray(4 * width * height), width, height });
  const context = new Proxy<Record<string, unknown>>({}, {
    get: (target, name: string) =>
      target[name] ?? (name === "createImageData" ? image : name === "getImageData" ? (_x: number, _y: number, w: number, h: number) => image(w, h) : () => undefined),
    set: (target, name: string, value) => {
      target[name] = value;
      return true;
    },
  });
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(context as never);
  vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(100);
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(100);
  vi.stubGlobal("createImageBitmap", () => Promise.resolve({ close: () => undefined }));
}

export async function open(fake: FakeModel, views = 1) {
  const { initialize, render } = await (widget as () => Promise<{ initialize: Hook; render: Hook }>)();
  const end = (await initialize({ model: fake.model })) as () => void;
  ends.push(end);
  const els: HTMLElement[] = [];
  const closers: (() => void)[] = [];
  for (let i = 0; i < views; i++) {
    const el = document.body.appendChild(document.createElement("div"));
    closers.push((await render({ model: fake.model, el })) as () => void);
    els.push(el);
  }
  return { end, closers, els, root: els[0]!.querySelector<HTMLElement>(".slw-root")! };
}

/** After each test. */
export function openedEnds(): void {
  for (const end of ends.splice(0)) end();
  document.body.replaceChildren();
}

let seq = 0;
export function welcome(fake: FakeModel): void {
  fake.say({ op: "welcome", seq: ++seq, rid: fake.requested("hello")[0]!.rid, format: "image/png", buffers: ["picture"] }, [Uint8Array.of(1)]);
  fake.say({ op: "prediction", seq: ++seq, classes: [{ index: 3, label: "cat", probability: 0.9 }, { index: 4, label: "<img src=x onerror=alert(1)>", probability: 0.05 }] });
}

export function finish(fake: FakeModel, one = explained()): void {
  const { message, buffers } = resultMessage(one);
  fake.say({ ...message, seq: ++seq, rid: fake.requested("compute").at(-1)?.rid ?? "", buffers: [...buffers.keys()] }, [...buffers.values()]);
}

/** After so many milliseconds, and the frames requested by then: on a busy machine a timer comes before earlier frames. */
export async function pause(milliseconds: number): Promise<void> {
  await new Promise((done) => setTimeout(done, milliseconds));
  for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
}

export const frame = () => pause(40);
export const find = (root: HTMLElement, selector: string) => root.querySelector<HTMLElement>(selector)!;
