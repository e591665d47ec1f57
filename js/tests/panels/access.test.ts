/** By keys, by ear, by hand: what is there for whoever does not point with a mouse. */

import { readdirSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fakeModel, SPEC, type FakeModel } from "../fake-model.ts";
import { explained, result } from "../fixtures.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(() => {
  vi.useRealTimers();
  openedEnds();
});

async function shown(more: Readonly<Record<string, unknown>> = {}) {
  const fake = fakeModel({ parameters: {}, ...more });
  const view = await open(fake);
  welcome(fake);
  await frame();
  finish(fake);
  await frame();
  return { fake, ...view };
}

let seq = 5000;
const tell = (fake: FakeModel, op: string, fields: object, to: string): void =>
  fake.say({ op, seq: ++seq, rid: fake.requested(to).at(-1)!.rid, ...fields });
const press = (element: Element, key: string): boolean =>
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const tab = (root: HTMLElement, name: string): HTMLElement => [...root.querySelectorAll<HTMLElement>(".slw-tab")].find((each) => each.textContent === name)!;
const method = (root: HTMLElement, at: number): HTMLElement => root.querySelectorAll<HTMLElement>(".slw-method")[at]!;
const visible = (element: Element): boolean => element.closest("[hidden], [data-absent]") === null;
const DESCRIBED = {
  method: "xrai", about: "", advice: "", paper: "", problem: "", cost: 5, seconds: null,
  presets: [{ name: "quick", fields: { steps: 2 }, cost: 2 }],
  fields: [{ name: "steps", kind: "whole", value: 5, default: 5, optional: false, low: 1, high: 9, choices: null, help: "how many" }],
};

describe("by keys", () => {
  test("each group is one stop, wherever one has been in it", async () => {
    const { root } = await shown({
      spec: { ...SPEC, models: ["A", "B"], images: [{ name: "a", size: [20, 20] }, { name: "b", size: [20, 20] }], methods: SPEC.methods.map((each) => ({ ...each, lacks: ["", ""] })) },
    });
    tab(root, "What if…").click();
    await frame();
    const groups = [...root.querySelectorAll<HTMLElement>("[role=radiogroup], [role=listbox], .slw-method-list")].filter((group) => visible(group) && !group.querySelector(":disabled[role=radio]"));
    expect(groups.map((group) => group.getAttribute("aria-label"))).toEqual(
      expect.arrayContaining(["Class to explain", "Model", "Image", "Methods", "View", "Regions", "Select by"]));
    for (const group of groups) {
      const items = [...group.querySelectorAll<HTMLElement>("[role=radio], [role=option], .slw-method")];
      const stops = (): number => items.filter((item) => item.tabIndex === 0).length;
      expect(stops(), group.ariaLabel ?? "").toBe(1);
      items[0]!.focus();
      for (const key of ["ArrowRight", "ArrowDown", "End", "ArrowLeft", "Home"]) {
        press(document.activeElement!, key);
        expect(items, group.ariaLabel ?? "").toContain(document.activeElement);
      }
      await frame();
      expect(stops(), group.ariaLabel ?? "").toBe(1);
    }
  });

  test("a question mark lists the keys from everywhere but a field of text, and Escape puts them away", async () => {
    const { root } = await shown();
    const keys = (): boolean => visible(find(root, ".slw-keys"));
    const places = [...root.querySelectorAll<HTMLElement>("button, canvas, input[type=range], input[type=checkbox], select, summary, .slw-region")].filter(visible);
    expect(places.length).toBeGreaterThan(20);
    for (const place of places.filter((each) => !each.matches("select"))) {
      press(place, "?");
      await frame();
      expect(keys(), place.outerHTML).toBe(true);
      press(place, "Escape");
      await frame();
      expect(keys(), place.outerHTML).toBe(false);
    }
  });

  test("the settings used open and close by their button, and Escape leaves the focus there", async () => {
    const { root } = await shown();
    const [decided, notes] = [find(root, ".slw-decided"), find(root, ".slw-notes")];
    expect(notes.hidden).toBe(true);
    decided.click();
    decided.focus();
    expect([notes.hidden, decided.getAttribute("aria-expanded")]).toEqual([false, "true"]);
    press(decided, "Escape");
    expect([notes.hidden, decided.getAttribute("aria-expanded")]).toEqual([true, "false"]);
    expect(document.activeElement).toBe(decided);
    decided.click();
    decided.click();
    expect(notes.hidden).toBe(true);
  });

  test("every slider has its value as text", async () => {
    const { root } = await shown({ mode: "heat" });
    tab(root, "What if…").click();
    await frame();
    const sliders = [...root.querySelectorAll<HTMLElement>("input[type=range], [role=slider]")].filter((each) => !each.hasAttribute("aria-hidden"));
    expect(sliders.map((each) => each.getAttribute("aria-label"))).toEqual(expect.arrayContaining(["Percentile", "Opacity", "Gamma", "Size of the brush", "Divider"]));
    for (const each of sliders) expect(each.getAttribute("aria-valuetext"), each.ariaLabel ?? "").toMatch(/\d/);
  });
});

describe("the focus stays", () => {
  test("on a class whose chip is created again", async () => {
    const { fake, root } = await shown();
    root.querySelectorAll<HTMLElement>(".slw-chip")[1]!.focus();
    fake.say({ op: "prediction", seq: ++seq, classes: [{ index: 4, label: "dog", probability: 0.6 }, { index: 3, label: "cat", probability: 0.3 }] });
    await frame();
    expect(document.activeElement?.textContent).toBe("dog60 %");
  });

  test("on a method whose × has gone, and on the picture where one tried again", async () => {
    const { fake, root } = await shown();
    method(root, 1).click();
    await frame();
    const stop = method(root, 1).parentElement!.querySelector<HTMLElement>(".slw-stop")!;
    stop.focus();
    expect(document.activeElement).toBe(stop);
    tell(fake, "error", { kind: "ValueError", message: "no" }, "compute");
    await frame();
    expect(document.activeElement).toBe(method(root, 1));

    const again = [...root.querySelectorAll("button")].find(({ textContent }) => textContent === "Try again")!;
    again.focus();
    again.click();
    await frame();
    expect(document.activeElement).toBe(find(root, "canvas.slw-picture"));
  });

  test("on a region, as better ones come", async () => {
    const { fake, root } = await shown();
    const rows = (): HTMLElement[] => [...root.querySelectorAll<HTMLElement>(".slw-region")];
    rows()[1]!.focus();
    fake.say({ op: "stale", seq: ++seq, model: 0, image: 0 });
    finish(fake, explained({ result: result({ seconds: 3 }) }));
    await frame();
    expect(document.activeElement).toBe(rows()[1]);
  });

  test("on the tab whose drawer is closed from inside, and on a preset that was pressed", async () => {
    const { fake, root } = await shown();
    tab(root, "Parameters").click();
    await frame();
    tell(fake, "described", DESCRIBED, "describe");
    await frame();
    const preset = (): HTMLElement => find(root, ".slw-presets button");
    preset().focus();
    preset().click();
    fake.tell({ parameters: { xrai: { steps: 2 } } });
    await frame();
    tell(fake, "described", DESCRIBED, "describe");
    await frame();
    expect(document.activeElement).toBe(preset());

    press(preset(), "Escape");
    await frame();
    expect(visible(preset())).toBe(false);
    expect(document.activeElement).toBe(tab(root, "Parameters"));
  });
});

describe("by ear", () => {
  const heard = (root: HTMLElement): string => [...root.querySelectorAll("[role=status].slw-hidden")].map(({ textContent }) => textContent).filter(Boolean).join(" | ");

  test("progress by quarters, then what came of it", async () => {
    const { fake, root } = await shown();
    method(root, 1).click();
    for (const done of [1, 2, 3]) tell(fake, "progress", { done, total: 10 }, "compute");
    await frame();
    expect(heard(root)).toBe("Integrated Gradients: 25 %");
    finish(fake, explained({ result: result({ method: "ig", quality: "Completeness error 0.4 %", regions: null }), step: null }));
    await frame();
    expect(heard(root)).toBe("Integrated Gradients: done, Completeness error 0.4 %");
  });

  test("the prediction for a selection, once the slider is released", async () => {
    const { fake, root } = await shown();
    tab(root, "What if…").click();
    await frame();
    const says = (top: number): void => tell(fake, "what_if", { only: [{ index: 3, label: "cat", probability: top }], without: [{ index: 3, label: "cat", probability: 0.1 }], area: 0.2 }, "what_if");
    says(0.8);
    await frame();
    expect(heard(root)).toContain("cat: 80 % selection only, 10 % selection removed");

    const range = root.querySelector<HTMLInputElement>("[aria-label=Percentile]")!;
    range.value = "40";
    range.dispatchEvent(new Event("input"));
    await frame();
    says(0.5);
    await frame();
    expect(heard(root)).toContain("80 % selection only");
    range.dispatchEvent(new Event("change"));
    await frame();
    expect(heard(root)).toContain("50 % selection only");
  });
});

describe("a model that keeps silent", () => {
  /** The kernel is alive, and takes every question; the model says nothing. */
  const seconds = async (count: number, fake: FakeModel): Promise<void> => {
    for (let i = 0; i < count * 10; i++) {
      await vi.advanceTimersByTimeAsync(100);
      for (const { rid } of fake.requested("poll")) fake.say({ op: "accepted", rid });
    }
  };

  test("is reported after a while, can be cancelled, and the note disappears with the next message", async () => {
    vi.useFakeTimers();
    const fake = fakeModel();
    const { root } = await open(fake);
    welcome(fake);
    await seconds(0.1, fake);
    fake.say({ op: "accepted", rid: fake.requested("compute")[0]!.rid });
    tell(fake, "progress", { done: 1, total: 9 }, "compute");
    const note = find(root, ".slw-quiet");
    await seconds(9, fake);
    expect(visible(note)).toBe(false);

    await seconds(3.5, fake);
    expect(visible(note)).toBe(true);
    expect(note.textContent).toBe("Still computing (no update for 12 sa while)");
    // what changes every second is not read out every second
    expect(find(note, "[aria-hidden=true]").textContent).toBe("12 s");
    [...note.parentElement!.querySelectorAll("button")].at(-1)!.click();
    expect(fake.requested("cancel").map(({ rid }) => rid)).toEqual([fake.requested("compute")[0]!.rid]);

    tell(fake, "progress", { done: 2, total: 9 }, "compute");
    await seconds(0.1, fake);
    expect(visible(note)).toBe(false);
    tell(fake, "cancelled", {}, "compute");
    await seconds(30, fake);
    expect(visible(note)).toBe(false);
  });

  test("is reported beside the what-if of a selection too", async () => {
    vi.useFakeTimers();
    const fake = fakeModel();
    const { root } = await open(fake);
    welcome(fake);
    await seconds(0.1, fake);
    finish(fake);
    await seconds(0.1, fake);
    tab(root, "What if…").click();
    await seconds(0.1, fake);
    fake.say({ op: "accepted", rid: fake.requested("what_if")[0]!.rid });
    tell(fake, "curve", { shares: [0, 1], insertion: [0, 1], deletion: [1, 0], insertion_auc: 0.5, deletion_auc: 0.5 }, "curve");
    await seconds(12, fake);
    const notes = [...root.querySelectorAll(".slw-ask .slw-quiet")].filter(visible);
    expect(notes.map(({ textContent }) => textContent)).toEqual([expect.stringContaining("Still computing")]);

    tell(fake, "what_if", { only: [], without: [], area: 0.3 }, "what_if");
    await seconds(0.1, fake);
    expect([...root.querySelectorAll(".slw-ask .slw-quiet")].filter(visible)).toEqual([]);
  });
});

describe("less motion", () => {
  test("no style moves anything by itself", () => {
    const folder = "js/src/styles";
    for (const name of readdirSync(folder)) {
      expect(readFileSync(`${folder}/${name}`, "utf8"), name).not.toMatch(/\b(transition|animation|scroll-behavior)\b/);
    }
  });

  test("regions come slowly one by one, and blinking waits for a click", async () => {
    vi.spyOn(window, "matchMedia").mockReturnValue(Object.assign(new EventTarget(), { matches: true, media: "", onchange: null }) as never);
    const { fake, root } = await shown({ grid: { methods: ["xrai", "ig"] } });
    vi.useFakeTimers();
    finish(fake, explained({ result: result({ method: "ig", regions: null }), step: null }));
    const aside = async (time: number): Promise<string> => {
      await vi.advanceTimersByTimeAsync(time);
      return find(root, ".slw-caption-left").textContent;
    };
    press(find(root, "canvas.slw-picture"), "b");
    const first = await aside(100);
    expect(await aside(5000)).toBe(first);
    find(root, "canvas.slw-picture").click();
    expect(await aside(100)).not.toBe(first);
  });
});

describe("a long list of methods", () => {
  const many = Array.from({ length: 12 }, (_, i) => ({
    id: `m${i}`, name: `Method ${i}`, cost: 1, paper: "", family: i < 6 ? "" : "layers", standing: i === 3 ? null : ((i * 5) % 12) / 12, lacks: [""],
  }));
  const names = (root: HTMLElement): (string | undefined)[] =>
    [...root.querySelectorAll<HTMLElement>(".slw-method-name")].map((each) => each.dataset["name"]);

  test("is sorted by the standing on the leaderboard, those without one last, and back", async () => {
    const { root } = await shown({ spec: { ...SPEC, methods: many }, method: "m0" });
    const before = names(root);
    const sorter = find(root, ".slw-sorter");
    sorter.click();
    await frame();

    const expected = [...many].sort((a, b) => (b.standing ?? -1) - (a.standing ?? -1)).map(({ name }) => name);
    expect(names(root)).toEqual(expected);
    expect(names(root).at(-1)).toBe("Method 3");
    expect(root.querySelector(".slw-family")).toBeNull();
    expect(sorter.getAttribute("aria-pressed")).toBe("true");

    sorter.click();
    await frame();
    expect(names(root)).toEqual(before);
    expect(root.querySelector(".slw-family")?.textContent).toBe("layers");
  });

  test("has the methods with a map on top, and compared ones instead of them, but not before the focus has left the list", async () => {
    const { fake, root } = await shown({ spec: { ...SPEC, methods: many }, method: "m0" });
    const headings = (): (string | null)[] => [...root.querySelectorAll(".slw-family")].map((each) => each.textContent);
    const row = root.querySelector<HTMLElement>(".slw-method-list [data-name='Method 9']")!.closest("button")!;
    row.focus();
    finish(fake, explained({ result: result({ method: "m9" }) }));
    await frame();
    expect(names(root)[0]).toBe("Method 0");
    row.blur();
    await frame();
    expect(names(root).slice(0, 3)).toEqual(["Method 9", "Method 0", "Method 1"]);
    expect(headings()).toEqual(["Computed", "Others", "layers"]);

    fake.tell({ grid: { methods: ["m0", "m7"] } });
    await frame();
    expect(names(root).slice(0, 3)).toEqual(["Method 0", "Method 7", "Method 1"]);
    expect(headings()[0]).toBe("Compared");
  });

  test("keeps the focus of a row that moves when the pointer leaves", async () => {
    const { fake, root } = await shown({ spec: { ...SPEC, methods: many }, method: "m0" });
    const row = root.querySelector<HTMLElement>(".slw-method-list [data-name='Method 9']")!.closest("button")!;
    row.focus();
    finish(fake, explained({ result: result({ method: "m9" }) }));
    await frame();
    find(root, ".slw-method-list").dispatchEvent(new Event("pointerleave"));

    expect(names(root)[0]).toBe("Method 9");
    expect(document.activeElement).toBe(row);
  });

  test("has a tooltip with status, formula, advice and standing", async () => {
    const spec = { ...SPEC, methods: many.map((each) => ({ ...each, formula: "M = ∂f / ∂x", advice: "A first look.", standing: 0.5 })) };
    const { root } = await shown({ spec, method: "m0" });

    expect(find(root, ".slw-method").title.split("\n")).toEqual([
      expect.stringMatching(/^Method 0: /), "M = ∂f / ∂x", "A first look.", "Better than 50 % of the other methods on the leaderboard.",
    ]);
  });

  test("has no sorter where no standing is known", async () => {
    const { root } = await shown({ spec: { ...SPEC, methods: many.map((each) => ({ ...each, standing: null })) }, method: "m0" });

    expect(find(root, ".slw-sorter").hidden).toBe(true);
  });
});
