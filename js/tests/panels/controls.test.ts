/** The view, the sign, the percentile and Play: each control shows its state, and none locks. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fakeModel } from "../fake-model.ts";
import { explained, result } from "../fixtures.ts";
import { find, finish, frame, open, openedEnds, pause, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(() => {
  vi.useRealTimers();
  openedEnds();
});

const SIGNED = Float32Array.from([0.9, -0.9, 0.5, -0.5, 0.1, 0.1, -0.1, 0.1]);

async function shown(more: Readonly<Record<string, unknown>> = {}, one = explained()) {
  const fake = fakeModel({ parameters: {}, ...more });
  const view = await open(fake);
  welcome(fake);
  await frame();
  finish(fake, one);
  await frame();
  return { fake, ...view };
}
const choice = (root: HTMLElement, group: string, name: string): HTMLButtonElement =>
  [...root.querySelectorAll<HTMLButtonElement>(`[aria-label="${group}"] [role=radio]`)].find((each) => each.textContent === name)!;
const chosen = (root: HTMLElement, group: string): (string | null)[] =>
  [...root.querySelectorAll(`[aria-label="${group}"] [aria-checked="true"]`)].map((each) => each.textContent);

describe("the sign", () => {
  test("of a map without negative values is chosen and enabled, and the other choices are disabled", async () => {
    const { root } = await shown();
    expect(chosen(root, "Sign")).toEqual(["Absolute"]);
    expect(["Absolute", "Positive", "Signed"].map((name) => choice(root, "Sign", name).disabled)).toEqual([false, true, true]);
    choice(root, "Sign", "Absolute").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    await frame();
    expect(chosen(root, "Sign")).toEqual(["Absolute"]);
  });

  test("comes back with the next map that has negative values, and can be changed", async () => {
    const { root, fake } = await shown();
    finish(fake, explained({ values: SIGNED, result: result({ seconds: 2 }) }));
    await frame();
    expect(["Absolute", "Positive", "Signed"].map((name) => choice(root, "Sign", name).disabled)).toEqual([false, false, false]);
    choice(root, "Sign", "Signed").click();
    await frame();
    expect(chosen(root, "Sign")).toEqual(["Signed"]);
  });
});

describe("the view", () => {
  test("stays when the other settings are reset", async () => {
    const { root, fake } = await shown({ opacity: 0.2 });
    choice(root, "View", "Heat map").click();
    find(root, ".slw-reset").click();
    await frame();
    expect(chosen(root, "View")).toEqual(["Heat map"]);
    expect(fake.model.get("mode")).toBe("heat");
  });

  test("may be changed while regions are played, which stops it", async () => {
    const { root } = await shown();
    const play = find(root, ".slw-play");
    play.click();
    await frame();
    expect(play.textContent).toBe("Stop");
    choice(root, "View", "Heat map").click();
    await frame();
    expect([play.textContent, ...chosen(root, "View")]).toEqual(["Play", "Heat map"]);
    await pause(1700);
    expect(chosen(root, "View")).toEqual(["Heat map"]);
  });
});

describe("the percentile", () => {
  test("is that of the selection in both views while what-if requests are made", async () => {
    const { root, fake } = await shown({ mode: "heat", live: true, keep: 20, threshold: 40 }, explained({ step: null, result: result({ regions: null }) }));
    const slider = find(root, "[aria-label=Percentile]") as HTMLInputElement;
    expect(slider.getAttribute("aria-valuetext")).toBe("Select top 20 %");
    slider.value = "75";
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    slider.dispatchEvent(new Event("change", { bubbles: true }));
    await frame();
    expect(["mode", "keep", "threshold"].map((name) => fake.model.get(name as never))).toEqual(["heat", 25, 40]);
    choice(root, "View", "Top pixels").click();
    await frame();
    expect(slider.getAttribute("aria-valuetext")).toBe("Show top 25 %");
  });
});
