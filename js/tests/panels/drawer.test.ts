import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { scale } from "../../src/panels/drawer/controls.ts";
import { pathOf } from "../../src/panels/drawer/plot.ts";
import { fakeModel, type FakeModel } from "../fake-model.ts";
import { explained } from "../fixtures.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(openedEnds);

async function shown(more: Readonly<Record<string, unknown>> = {}) {
  const fake = fakeModel({ parameters: {}, ...more });
  const view = await open(fake);
  welcome(fake);
  finish(fake);
  await frame();
  return { fake, ...view };
}

const tab = (root: HTMLElement, name: string): HTMLElement => [...root.querySelectorAll<HTMLElement>(".slw-tab")].find((each) => each.textContent === name)!;
const ROWS = [{ index: 3, label: "cat", probability: 0.8 }, { index: 4, label: "<i>dog</i>", probability: 0.1 }];
let seq = 1000;
function answer(fake: FakeModel, op: string, fields: object, to = op): void {
  fake.say({ op, seq: ++seq, rid: fake.requested(to).at(-1)!.rid, ...fields });
}
const whatIf = (fake: FakeModel, top: number): void =>
  answer(fake, "what_if", { only: [{ ...ROWS[0], probability: top }, ROWS[1]], without: [{ ...ROWS[0], probability: 1 - top }], area: 0.25 });

describe("keys", () => {
  const press = (element: Element, key: string): boolean =>
    element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));

  test("a question mark lists the keys, and puts the list away; typed into a field it is text", async () => {
    const { root } = await shown();
    const list = (): HTMLElement => find(root, ".slw-drawer [aria-label=Keys]");
    expect(list().hidden).toBe(true);

    press(find(root, "canvas.slw-picture"), "?");
    await frame();
    expect(list().hidden).toBe(false);
    expect(list().querySelectorAll("dt").length).toBeGreaterThan(5);
    expect(tab(root, "Keys").getAttribute("aria-expanded")).toBe("true");

    press(find(root, "input[type=text], input[type=search], input[type=number]"), "?");
    await frame();
    expect(list().hidden).toBe(false);

    press(find(root, "canvas.slw-picture"), "?");
    await frame();
    expect(list().hidden).toBe(true);
  });
});

describe("what if", () => {
  test("nothing is requested while the drawer is closed", async () => {
    const { fake, root } = await shown();
    const range = root.querySelector<HTMLInputElement>("[aria-label=Percentile]")!;
    range.value = "50";
    range.dispatchEvent(new Event("input"));
    await frame();

    expect(fake.requested("what_if")).toEqual([]);
    expect(fake.requested("curve")).toEqual([]);
  });

  test("opened, the selection is evaluated, and the prediction is shown as text", async () => {
    const { fake, root } = await shown();
    tab(root, "What if…").click();
    await frame();

    expect(fake.saved.at(-1)).toEqual({ live: true });
    expect(fake.sent.filter((each) => each["op"] === "what_if")).toMatchObject([{ method: "xrai", target: 3, model: 0, image: 0, keep: 30, region: 0, sign: "auto", picked: {}, fill: "blur" }]);
    whatIf(fake, 0.8);
    await frame();
    expect(find(root, ".slw-says .slw-only").textContent).toBe("80 %");
    expect(find(root, ".slw-says .slw-without").textContent).toBe("20 %");
    expect(find(root, ".slw-top").textContent).toContain("<i>dog</i>");
    expect(root.querySelector(".slw-top i")).toBeNull();
  });

  test("one request at a time, then for the newest selection; a known result is not requested again", async () => {
    const { fake, root } = await shown();
    tab(root, "What if…").click();
    await frame();
    const range = root.querySelector<HTMLInputElement>("[aria-label=Percentile]")!;
    const drag = async (value: number): Promise<void> => {
      range.value = String(value);
      range.dispatchEvent(new Event("input"));
      await frame();
    };
    for (const value of [80, 85, 90]) await drag(value);
    expect(fake.requested("what_if")).toHaveLength(1);

    whatIf(fake, 0.5);
    await frame();
    expect(fake.sent.filter((each) => each["op"] === "what_if").map((each) => each["keep"])).toEqual([30, 10]);
    whatIf(fake, 0.1);
    await frame();
    await drag(70);
    await frame();

    expect(fake.requested("what_if")).toHaveLength(2);
    expect(find(root, ".slw-says .slw-only").textContent).toBe("50 %");
  });

  test("an error of the model is shown, and the next selection is evaluated", async () => {
    const { fake, root } = await shown();
    tab(root, "What if…").click();
    await frame();
    answer(fake, "error", { kind: "ValueError", message: "<b>no</b>", details: "Traceback <i>…</i>" }, "what_if");
    await frame();

    const trouble = find(root, ".slw-trouble");
    expect(trouble.hidden).toBe(false);
    expect(find(trouble, "strong").textContent).toBe("The model failed: ValueError");
    expect(find(trouble, "p").textContent).toBe("<b>no</b>");
    expect(find(trouble, "pre").textContent).toBe("Traceback <i>…</i>");
    expect(fake.requested("what_if")).toHaveLength(1);

    const range = root.querySelector<HTMLInputElement>("[aria-label=Percentile]")!;
    range.value = "50";
    range.dispatchEvent(new Event("input"));
    await frame();
    whatIf(fake, 0.4);
    await frame();
    expect(trouble.hidden).toBe(true);
  });

  test("the curves are requested once, shown with their areas, and cancelled with the drawer", async () => {
    const { fake, root } = await shown();
    tab(root, "What if…").click();
    await frame();
    expect(fake.requested("curve")).toHaveLength(1);
    answer(fake, "curve", { shares: [0, 0.5, 1], insertion: [0, 1, 1], deletion: [1, 0, 0], insertion_auc: 0.75, deletion_auc: 0.25 });
    await frame();

    expect(find(root, ".slw-curve").getAttribute("aria-label")).toContain("Insertion curve, area 0.75; deletion curve, area 0.25");
    expect(find(root, ".slw-line-only").getAttribute("d")).toBe(pathOf([0, 0.5, 1], [0, 1, 1]));
    for (let i = 0; i < 2; i++) {
      tab(root, "What if…").click();
      await frame();
    }
    expect(fake.requested("curve")).toHaveLength(1);
    fake.tell({ fill: "mean" });
    await frame();
    tab(root, "What if…").click();
    await frame();
    expect(fake.requested("cancel").map(({ rid }) => rid)).toEqual([fake.requested("curve")[1]!.rid]);
  });

  test("values are shown in their own unit, and their curves drawn between their ends", async () => {
    const { fake, root } = await shown();
    const row = (value: number) => ({ index: 3, label: "age", probability: null, value });
    fake.say({ op: "prediction", seq: ++seq, classes: [row(58.2)] });
    tab(root, "What if…").click();
    await frame();
    answer(fake, "what_if", { only: [row(41)], without: [row(-0.5)], area: 0.25 });
    answer(fake, "curve", { shares: [0, 0.5, 1], insertion: [20, 60, 58], deletion: [58, 20, 20], insertion_auc: 49.5, deletion_auc: 29.5, measure: "value" });
    await frame();

    expect(find(root, ".slw-chip .slw-number").textContent).toBe("58.2");
    expect(find(root, ".slw-chip .slw-bar").style.getPropertyValue("--slw-share")).toBe("0");
    expect(find(root, ".slw-says .slw-only").textContent).toBe("41.0");
    expect(find(root, ".slw-says .slw-without").textContent).toBe("\u22120.500");
    expect(find(root, ".slw-curve").getAttribute("aria-label")).toContain("Insertion curve, mean 49.5; deletion curve, mean 29.5");
    expect(find(root, ".slw-line-only").getAttribute("d")).toBe(pathOf([0, 0.5, 1], [0, 1, 0.95]));
    const dots = root.querySelectorAll<HTMLElement>(".slw-spot");
    expect([...dots].map((each) => each.hidden)).toEqual([false, true]);
  });

  test("Python opens it too", async () => {
    const { fake, root } = await shown();
    fake.tell({ live: true });
    await frame();
    await frame();

    expect(tab(root, "What if…").getAttribute("aria-expanded")).toBe("true");
    expect(fake.requested("what_if")).toHaveLength(1);
  });
});

describe("selecting", () => {
  test("in the list, regions are added and removed; Clear starts again", async () => {
    const { fake, root } = await shown();
    tab(root, "What if…").click();
    await frame();
    [...root.querySelectorAll<HTMLElement>("[role=radio]")].find((each) => each.textContent === "Regions")!.click();
    await frame();
    const rows = (): HTMLElement[] => [...root.querySelectorAll<HTMLElement>(".slw-region")];
    rows()[2]!.click();
    await frame();
    // the first region was seen
    expect(fake.saved.at(-1)).toMatchObject({ picked: { regions: [0, 2] } });
    expect(rows().map((row) => row.getAttribute("aria-selected"))).toEqual(["true", "false", "true"]);

    rows()[0]!.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    await frame();
    expect(fake.saved.at(-1)).toMatchObject({ picked: { regions: [2] } });
    expect(find(root, ".slw-figures").textContent).toContain("50.0 %");
  });

  test("a moved slider selects its own pixels again", async () => {
    const { fake, root } = await shown({ picked: { regions: [1] } });
    const range = root.querySelector<HTMLInputElement>("[aria-label=Percentile]")!;
    range.value = "90";
    range.dispatchEvent(new Event("input"));
    range.dispatchEvent(new Event("change"));

    expect(fake.saved.at(-1)).toEqual({ keep: 10, picked: {} });
  });

  test("with the keyboard: a brush moves by the arrows and paints by Enter, Escape puts it away", async () => {
    const { fake, root } = await shown();
    tab(root, "What if…").click();
    await frame();
    [...root.querySelectorAll<HTMLElement>("[role=radio]")].find((each) => each.textContent === "Brush")!.click();
    await frame();
    const canvas = find(root, "canvas");
    const press = (key: string): void => void canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    press("ArrowLeft");
    press("Enter");

    expect(fake.saved.at(-1)).toMatchObject({ picked: { shape: [2, 4] } });
    press("Escape");
    await frame();
    expect(root.querySelector("[role=radio][aria-checked=true][title^='The top pixels']")).not.toBeNull();
  });
});

const FIELDS = [
  { name: "steps", kind: "whole", value: 25, default: 25, optional: false, low: 1, high: 10000, choices: null, help: "nodes" },
  { name: "relu", kind: "flag", value: true, default: true, optional: false, low: null, high: null, choices: null, help: "cut" },
  { name: "baseline", kind: "names", value: ["black"], default: ["black"], optional: false, low: null, high: null, choices: ["black", "white"], help: "where" },
];
const DESCRIBED = { method: "xrai", about: "Regions.", advice: "", paper: "arXiv:1906.02825", fields: FIELDS, presets: [{ name: "quick", fields: { steps: 6 }, cost: 6 }], cost: 25, seconds: 1.5, problem: "" };

describe("parameters", () => {
  async function opened() {
    const view = await shown();
    tab(view.root, "Parameters").click();
    await frame();
    answer(view.fake, "described", DESCRIBED, "describe");
    await frame();
    return view;
  }

  test("are controls with help, price and a link to the paper", async () => {
    const { root } = await opened();

    const steps = root.querySelector<HTMLInputElement>("input[type=number][max='10000']")!;
    expect(steps.value).toBe("25");
    expect(root.querySelector(`[for="${steps.id}"]`)?.textContent).toBe("steps");
    expect(root.querySelector(`#${steps.getAttribute("aria-describedby")}`)?.textContent).toBe("nodes");
    expect(find(root, ".slw-parameters .slw-split strong").textContent).toBe("25 images evaluated · ~1.5 s");
    expect(root.querySelector<HTMLAnchorElement>(".slw-about a")!.href).toBe("https://arxiv.org/abs/1906.02825");
  });

  test("are priced while they change, and set when they are let go", async () => {
    const { fake, root } = await opened();
    const steps = root.querySelector<HTMLInputElement>("input[type=number][max='10000']")!;
    steps.value = "50";
    steps.dispatchEvent(new Event("input"));
    expect(fake.sent.at(-1)).toMatchObject({ op: "describe", method: "xrai", fields: { steps: 50 } });
    answer(fake, "described", { ...DESCRIBED, cost: 50, seconds: null, problem: "too many" }, "describe");
    await frame();
    expect(find(root, ".slw-parameters .slw-split strong").textContent).toBe("50 images evaluated");
    expect(find(root, ".slw-parameters [role=alert]").textContent).toBe("too many");

    steps.dispatchEvent(new Event("change"));
    expect(fake.sent.at(-1)).toMatchObject({ op: "configure", method: "xrai", fields: { steps: 50 } });
  });

  test("once they are set, earlier results are provisional, and are recomputed", async () => {
    const { fake, root } = await opened();
    const before = fake.requested("compute").length;
    fake.tell({ parameters: { xrai: { steps: 50 } } });
    await frame();

    expect(fake.requested("compute")).toHaveLength(before + 1);
    expect(find(root, ".slw-caption-left").textContent).toContain("XRAI");
    expect(root.dataset["state"]).toBe("busy");
  });

  test("a layer is chosen among the model's, or left to the method, which names it", async () => {
    const { fake, root } = await opened();
    const layer = { default: null, optional: true, low: null, high: null, choices: ["stem", "block"], automatic: "block", help: "which" };
    const fields = [{ ...layer, name: "layer", kind: "choice", value: "stem" }, { ...layer, name: "method.layer", kind: "names", value: ["stem"] }];
    fake.tell({ parameters: { xrai: { layer: "stem" } } });
    await frame();
    answer(fake, "described", { ...DESCRIBED, fields, cost: 0, beyond: "the layer's channels", seconds: null }, "describe");
    await frame();
    const one = root.querySelector<HTMLSelectElement>(".slw-parameters select")!;
    expect([...one.options].map(({ text }) => text)).toEqual(["automatic (block)", "stem", "block"]);
    expect(one.value).toBe("stem");
    expect(find(root, ".slw-parameters .slw-split strong").textContent).toBe("images evaluated: the layer's channels");

    one.value = "";
    root.querySelector<HTMLInputElement>(".slw-parameters .slw-names input[value=stem]")!.click();
    expect(fake.sent.at(-1)).toMatchObject({ op: "configure", fields: {} });
    expect(Object.keys((fake.sent.at(-1) as { fields: object }).fields)).toEqual([]);
  });

  test("a refusal is shown at its field", async () => {
    const { fake, root } = await opened();
    root.querySelector<HTMLElement>(".slw-presets button")!.click();
    expect(fake.sent.at(-1)).toMatchObject({ op: "configure", fields: { steps: 6 } });
    answer(fake, "error", { kind: "BadField", message: "steps must be 1 to 5", details: "" }, "configure");
    await frame();

    const refusal = find(root, ".slw-parameters .slw-trouble");
    expect(find(refusal, "strong").textContent).toBe("The kernel reported an error: BadField");
    expect(find(refusal, "p").textContent).toBe("steps must be 1 to 5");

    root.querySelector<HTMLElement>(".slw-presets button")!.click();
    answer(fake, "configured", { method: "xrai", fields: { steps: 6 } }, "configure");
    await frame();
    expect(refusal.hidden).toBe(true);
  });

  test("one baseline always stays", async () => {
    const { fake, root } = await opened();
    const box = root.querySelector<HTMLInputElement>("input[value=black]")!;
    box.click();
    expect(box.checked).toBe(true);
    expect(fake.requested("configure")).toEqual([]);
  });
});

describe("another picture", () => {
  test("is sent as a file when it is pasted, by its name without its folder", async () => {
    const { fake, root } = await shown();
    const pasted = Object.assign(new Event("paste", { bubbles: true, cancelable: true }), {
      clipboardData: { files: [new File(["text"], "a.txt", { type: "text/plain" }), new File([Uint8Array.of(1, 2, 3)], "C:\\secret\\my cat.jpeg", { type: "image/jpeg" })] },
    });
    find(root, "canvas").dispatchEvent(pasted);
    await frame();

    expect(fake.sent.at(-1)).toMatchObject({ op: "picture", name: "my cat" });
    expect(fake.buffers.at(-1)!.map((each) => [...new Uint8Array(each)])).toEqual([[1, 2, 3]]);
    expect(pasted.defaultPrevented).toBe(true);
    answer(fake, "error", { kind: "BadImage", message: "<b>no picture</b>", details: "" }, "picture");
    await frame();
    expect(find(root, ".slw-opening").textContent).toContain("<b>no picture</b>");
  });

  test("text that is pasted is none of the widget's business", async () => {
    const { fake, root } = await shown();
    const pasted = Object.assign(new Event("paste", { bubbles: true, cancelable: true }), { clipboardData: { files: [] } });
    find(root, "canvas").dispatchEvent(pasted);

    expect(pasted.defaultPrevented).toBe(false);
    expect(fake.requested("picture")).toEqual([]);
  });
});

test.each([[1, 10000, true], [0, 1, false], [1e-6, 10, false], [0, 0, true]])("a slider from %d to %d gives back its notches within the bounds", (low, high, whole) => {
  const { toNotch, toValue } = scale(low, high, whole);
  for (const notch of [0, 50, 100, 150, 200]) {
    const value = toValue(notch);
    expect(value).toBeGreaterThanOrEqual(low);
    expect(value).toBeLessThanOrEqual(high);
    if (!whole && high > low) expect(Math.abs(toNotch(value) - notch)).toBeLessThanOrEqual(1);
  }
  expect(toValue(0)).toBe(low);
  expect(toValue(200)).toBe(high);
});

describe("a kernel that does not answer", () => {
  test("leaves nothing running, reports it, and goes on when it answers", async () => {
    vi.useFakeTimers();
    const fake = fakeModel();
    const { root } = await open(fake);
    welcome(fake);
    await vi.advanceTimersByTimeAsync(50);
    expect(root.dataset["state"]).toBe("busy");
    await vi.advanceTimersByTimeAsync(12_000);

    const note = find(root, ".slw-link");
    expect(note.hidden).toBe(false);
    expect(note.textContent).toContain("not responding");
    expect(root.dataset["state"]).not.toBe("busy");
    expect(find(root, "[data-status]").dataset["status"]).toBe("unreachable");

    fake.say({ op: "progress", seq: ++seq, rid: fake.requested("compute").at(-1)!.rid, done: 1, total: 4, seconds_left: 2 });
    await vi.advanceTimersByTimeAsync(50);
    expect(note.hidden).toBe(true);
    expect(root.dataset["state"]).toBe("busy");
    finish(fake, explained());
    await vi.advanceTimersByTimeAsync(50);
    expect(root.dataset["state"]).toBe("ready");
    vi.useRealTimers();
  });
});
