import { afterEach, beforeEach, expect, test } from "vitest";
import { costOf, measureText, ranked } from "../../src/core/evidence.ts";
import type { Measure, Verdict } from "../../src/core/result.ts";
import { pathOf, valueAt } from "../../src/panels/drawer/plot.ts";
import { fakeModel, type FakeModel } from "../fake-model.ts";
import { explained, result, withResult } from "../fixtures.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(openedEnds);

const SRG = {
  title: "SRG", advice: "High: <b>good</b>", decides: true, value: 0.66, reason: "", low: -0.3, high: 0.3,
  curves: [{ name: "most salient first", at: [0, 0.5, 1], values: [0.8, 0.1, 0.2] }, { name: "least salient first", at: [0, 0.5, 1], values: [0.8, 0.9, 0.2] }],
  band: { at: [0, 0.5, 1], low: [0.8, 0.3, 0.2], high: [0.8, 0.5, 0.2] },
};
const FLIP = { title: "Flip", advice: "1: the same", decides: false, value: null, reason: "no <i>method</i>", low: null, high: null, curves: [], band: null };
const ANSWER = { supported: true, strength: 0.66, sentence: "This map is <b>supported</b>.", label: "cat", percent: true, images: [42, 192, 5], notes: ["a <i>note</i>"], measures: [SRG, FLIP] };

let seq = 7000;
const say = (fake: FakeModel, op: string, fields: object = {}): void => fake.say({ op, seq: ++seq, rid: fake.requested("check").at(-1)!.rid, ...fields });

const tab = (root: HTMLElement, name: string): HTMLElement => [...root.querySelectorAll<HTMLElement>(".slw-tab")].find((each) => each.textContent === name)!;
const toggle = (root: HTMLElement): HTMLButtonElement => root.querySelector<HTMLButtonElement>(".slw-measure button")!;
const sentence = (root: HTMLElement): string => find(root, ".slw-says-so").textContent;

/** A map on the screen, and the Evidence tab open. */
async function shown(more: Readonly<Record<string, unknown>> = {}) {
  const fake = fakeModel(more);
  const { root } = await open(fake);
  welcome(fake);
  finish(fake, explained({ result: result({ check: [42, 192, 5] }) }));
  await frame();
  tab(root, "Evidence").click();
  await frame();
  return { fake, root };
}

test("the cost is shown before anything is requested", async () => {
  const { fake, root } = await shown();

  expect(fake.requested("check")).toEqual([]);
  expect(find(root, ".slw-measure").textContent).toBe("Measure evidenceAbout 239 images evaluated: 42 for the map, 192 for random maps, 5 to run the method again");
  expect(sentence(root)).toContain("compares the effect");
});

test("a verdict is streamed: partial, then final; text from outside is no HTML", async () => {
  const { fake, root } = await shown();
  toggle(root).click();
  await frame();
  expect(fake.requested("check")).toMatchObject([{ method: "xrai", target: 3, model: 0, image: 0 }]);
  expect(toggle(root).textContent).toBe("Stop");
  say(fake, "progress", { done: 10, total: 40, seconds_left: null });
  say(fake, "partial_verdict", { ...ANSWER, supported: null, sentence: "Measuring.", measures: [{ ...SRG, low: null, high: null, band: null }] });
  await frame();
  expect(sentence(root)).toBe("Measuring.");
  expect(find(root, ".slw-measure").textContent).toBe("Stop25 %");
  expect(find(root, ".slw-removal").hidden).toBe(false);
  expect(find(root, ".slw-band").getAttribute("d")).toBe("");

  say(fake, "verdict", ANSWER);
  await frame();
  expect(sentence(root)).toBe("\u2713This map is <b>supported</b>.");
  expect(find(root, ".slw-mark").dataset["supported"]).toBe("supported");
  expect(toggle(root).hidden).toBe(true);
  expect(find(root, ".slw-measure").textContent).toContain("239 images evaluated");
  expect(find(root, ".slw-measures").textContent).toBe("Flipnot measured: no <i>method</i>");
  expect(root.querySelector(".slw-evidence b, .slw-evidence i")).toBeNull();
  expect(find(root, ".slw-caption-left").textContent).toContain("\u2713 supported");
});

test("the curves stand in the band of random maps, and are read by keys", async () => {
  const { fake, root } = await shown();
  toggle(root).click();
  say(fake, "verdict", ANSWER);
  await frame();

  const plot = find(root, ".slw-removal .slw-curve");
  expect(find(plot, ".slw-line-without").getAttribute("d")).toBe(pathOf([0, 0.5, 1], [0.8, 0.1, 0.2]));
  expect(find(plot, ".slw-band").getAttribute("d")).toBe(`${pathOf([0, 0.5, 1, 1, 0.5, 0], [0.8, 0.5, 0.2, 0.2, 0.3, 0.8])}z`);
  const spoken = (): string | null => plot.getAttribute("aria-valuetext");
  plot.dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true, cancelable: true }));
  expect(spoken()).toBe("0 % removed, most salient first 80 %, least salient first 80 %, random maps 80 % to 80 %");
  plot.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true, cancelable: true }));
  expect(spoken()).toBe("50 % removed, most salient first 10 %, least salient first 90 %, random maps 30 % to 50 %");
  expect(plot.getAttribute("aria-valuenow")).toBe("50");
});

test("a verdict that Python measured is shown, that of an unknown map is not", async () => {
  const { fake, root } = await shown();
  const asked = { op: "check", method: "xrai", target: 3, model: 0, image: 0 };
  fake.say({ op: "verdict", seq: ++seq, rid: "", ...ANSWER, sentence: "Of another map.", asked: { ...asked, target: 4 } });
  fake.say({ op: "verdict", seq: ++seq, rid: "", ...ANSWER, asked });
  await frame();

  expect(fake.requested("check")).toEqual([]);
  expect(sentence(root)).toBe("\u2713This map is <b>supported</b>.");
  expect(toggle(root).hidden).toBe(true);
  expect(find(root, ".slw-caption-left").textContent).toContain("\u2713 supported");
});

test("Stop cancels; the partial verdict stays, and can be measured to its end", async () => {
  const { fake, root } = await shown();
  toggle(root).click();
  say(fake, "partial_verdict", { ...ANSWER, supported: null, sentence: "Measuring." });
  await frame();
  toggle(root).click();
  await frame();

  expect(fake.requested("cancel").at(-1)).toEqual({ op: "cancel", rid: fake.requested("check").at(-1)!.rid });
  expect(toggle(root).textContent).toBe("Measure evidence");
  expect(sentence(root)).toBe("Measuring.");
});

test("a failure is shown in place of the verdict", async () => {
  const { fake, root } = await shown();
  toggle(root).click();
  say(fake, "error", { kind: "ValueError", message: "<b>no</b>", details: "" });
  await frame();

  expect(find(root, ".slw-evidence .slw-trouble p").textContent).toBe("<b>no</b>");
});

test("other weights make a verdict outdated; another map drops it", async () => {
  const { fake, root } = await shown();
  toggle(root).click();
  say(fake, "verdict", ANSWER);
  await frame();
  fake.say({ op: "stale", seq: ++seq, model: 0, image: 0 });
  await frame();

  expect(sentence(root)).toBe("Outdated, the weights changed. This map is <b>supported</b>.");
  expect(find(root, ".slw-mark").hidden).toBe(true);
  expect(find(root, ".slw-caption-left").textContent).not.toContain("supported");
  expect(toggle(root).hidden).toBe(true);

  finish(fake, explained({ result: result({ check: [42, 192, 5] }) }));
  await frame();
  expect(toggle(root).hidden).toBe(false);
  expect(sentence(root)).toContain("compares the effect");
});

const MEASURE: Measure = SRG;
const VERDICT: Verdict = { ...ANSWER, images: [42, 192, 5], finished: true, measures: [MEASURE, FLIP] };

test("numbers are in two decimals, or in the unit of the model", () => {
  expect(measureText(VERDICT, MEASURE)).toBe("0.66 (random: \u22120.30 to 0.30)");
  expect(measureText({ ...VERDICT, percent: false }, { ...MEASURE, value: 1234.5, low: null, high: null })).toBe("1.2e3");
  expect(measureText(VERDICT, FLIP)).toBe("not measured: no <i>method</i>");
  expect([0, 0.25, 0.5, 1].map((share) => valueAt([0.2, 0.6], [1, 3], share))).toEqual([null, 1.25, 2.5, null]);
});

test("random maps are counted once for a class, model and image", () => {
  const one = explained({ result: result({ check: [42, 192, 5] }) });
  const other = explained({ result: result({ method: "ig", check: [42, 192, 50] }) });
  const cells = [one.result, other.result];
  const state = withResult(one, { explained: new Map([["xrai:3:0:0", one], ["ig:3:0:0", other]]) });

  expect(costOf(state, cells)).toEqual([84, 192, 55]);
  const answers = { whatIfs: new Map(), curves: new Map(), verdict: VERDICT };
  expect(costOf({ ...state, answers: new Map([["xrai:3:0:0", answers]]) }, [other.result])).toEqual([42, 0, 50]);
  expect(costOf(withResult(), [result()])).toBeNull();
});

test("maps of one class, model and picture are ranked among themselves, by strength", () => {
  const cell = (method: string, target: number) => ({ method, target, model: 0, image: 0 });
  const of = (strength: number | null): [string, object] => ["", { whatIfs: new Map(), curves: new Map(), verdict: { ...VERDICT, strength } }];
  const answers = new Map([["a:1:0:0", of(0.1)[1]], ["c:1:0:0", of(0.8)[1]], ["b:2:0:0", of(-0.8)[1]], ["a:2:0:0", of(null)[1]]]);
  const order = ranked(withResult(undefined, { answers: answers as never }), [cell("a", 1), cell("b", 1), cell("c", 1), cell("a", 2), cell("b", 2)]);

  expect(order.map(({ method, target }) => `${method}${target}`)).toEqual(["c1", "a1", "b1", "b2", "a2"]);
});

/** Two methods side by side with their maps. */
async function compared() {
  const { fake, root } = await shown({ grid: { methods: ["xrai", "ig"] } });
  finish(fake, explained({ result: result({ method: "ig", regions: null, check: [42, 192, 5] }), step: null }));
  await frame();
  const all = (): HTMLElement => find(root, ".slw-ranking button:not(.slw-rank)");
  return { fake, root, all, rows: () => [...root.querySelectorAll<HTMLElement>(".slw-ranks li")].map((row) => [...row.children].map(({ textContent }) => textContent)) };
}

test("compared maps are measured one after another, and the strongest comes first", async () => {
  const { fake, root, all, rows } = await compared();
  expect(find(root, ".slw-ranking .slw-split").textContent).toContain("About 286 images evaluated");
  all().click();
  await frame();
  expect(fake.requested("check")).toMatchObject([{ method: "xrai" }]);
  say(fake, "verdict", { ...ANSWER, strength: 0.2, supported: false });
  await frame();
  expect(fake.requested("check")).toMatchObject([{ method: "xrai" }, { method: "ig" }]);
  say(fake, "verdict", { ...ANSWER, strength: 0.5, supported: null });
  await frame();

  expect(rows()).toEqual([["Integrated Gradients", "?undecided", "0.50"], ["XRAI", "\u2715not supported", "0.20"]]);
  expect(all().hidden).toBe(true);
  expect([...root.querySelectorAll(".slw-caption-left")].map(({ textContent }) => textContent)).toEqual(["\u2715 XRAI", "? Integrated Gradients"]);
});

test("a map that could not be measured is marked, and the next is measured", async () => {
  const { fake, all, rows } = await compared();
  all().click();
  say(fake, "error", { kind: "ValueError", message: "no" });
  await frame();
  say(fake, "verdict", ANSWER);
  await frame();

  expect(rows()).toEqual([["Integrated Gradients", "\u2713supported", "0.66"], ["XRAI", "failed", "–"]]);
});

test("a row leads to its map", async () => {
  const { fake, root } = await compared();
  const row = [...root.querySelectorAll<HTMLElement>(".slw-rank")].at(-1)!;
  row.focus();
  row.click();
  await frame();

  expect(fake.saved.at(-1)).toMatchObject({ method: "ig" });
  expect(document.activeElement?.getAttribute("aria-current")).toBe("true");
});

test("of one picture there is no ranking", async () => {
  const { root } = await shown();

  expect(find(root, ".slw-ranking").hidden).toBe(true);
});
