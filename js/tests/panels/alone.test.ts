/** The drawer on a page without a kernel: stored answers. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { pack } from "../../playground/pack.ts";
import { readAt } from "../../src/core/answers.ts";
import { fakeModel } from "../fake-model.ts";
import { explained, resultMessage } from "../fixtures.ts";
import { find, frame, open, openedEnds, stubCanvas } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(openedEnds);

const ROWS = [{ index: 3, label: "cat", probability: 0.8 }, { index: 4, label: "<i>dog</i>", probability: 0.1 }];
const FIELD = { name: "steps", kind: "whole", value: 9, default: 25, optional: false, low: 1, high: 10000, choices: null, help: "nodes" };
const DESCRIBED = { op: "described", rid: "", method: "xrai", about: "Regions.", advice: "", paper: "", fields: [FIELD], presets: [{ name: "quick", fields: { steps: 6 }, cost: 6 }], cost: 25, seconds: 1.5, problem: "" };

describe("without a kernel", () => {
  const CELL = { method: "xrai", target: 3, model: 0, image: 0 };
  const CURVE = { op: "curve", rid: "", asked: { op: "curve", ...CELL, fill: "blur" }, shares: [0, 0.5, 1], insertion: [0, 0.8, 1], deletion: [0.9, 0.3, 0], insertion_auc: 0.65, deletion_auc: 0.375 };
  const whatIf = (view: object, probability: number) => ({
    op: "what_if", rid: "", asked: { op: "what_if", ...CELL, sign: "auto", keep: 0, region: 0, picked: {}, fill: "blur", ...view },
    only: [{ ...ROWS[0], probability }, ROWS[1]], without: [{ ...ROWS[0], probability: 1 - probability }], area: 0.25,
  });

  async function stored(answers: readonly Record<string, unknown>[], more: Readonly<Record<string, unknown>> = {}, one = explained()) {
    vi.useFakeTimers();
    const { message, buffers } = resultMessage(one);
    const packet = pack([
      { message: { op: "welcome", rid: "", format: "image/png" }, buffers: new Map([["picture", Uint8Array.of(1)]]) },
      { message: { op: "prediction", rid: "", classes: [{ index: 3, label: "cat", probability: 0.9 }] }, buffers: new Map() },
      { message, buffers },
      ...answers.map((each) => ({ message: each, buffers: new Map<string, Uint8Array>() })),
    ]);
    const fake = fakeModel({ parameters: {}, live: true, _snapshot: packet, ...more });
    const view = await open(fake);
    await vi.advanceTimersByTimeAsync(1100);
    vi.useRealTimers();
    await frame();
    return { fake, ...view };
  }
  const says = (root: HTMLElement): readonly (string | null)[] => ["only", "without"].map((name) => find(root, `.slw-says .slw-${name}`).textContent);
  const what = (root: HTMLElement): string | null => find(root, ".slw-ask .slw-block:nth-child(2) > .slw-muted").textContent;

  test("a stored what-if of the same pixels is shown, however they were selected", async () => {
    // the first two regions are the top half, by number, by share, and one by one
    for (const view of [{ region: 2 }, { keep: 50 }, { keep: 45 }, { picked: { regions: [0, 1] } }]) {
      const { root, fake } = await stored([CURVE, whatIf(view, 0.7)], { keep: 52 });

      expect(says(root)).toEqual(["70 %", "30 %"]);
      expect(find(root, ".slw-tops").hidden).toBe(false);
      expect(find(root, ".slw-top").textContent).toContain("<i>dog</i>");
      expect(what(root)).toBe("cat in the first 2 regions");
      expect([...fake.requested("what_if"), ...fake.requested("curve")]).toEqual([]);
      openedEnds();
    }
  });

  test("elsewhere the two numbers are read from the curves, and say so", async () => {
    const { root } = await stored([CURVE, whatIf({ region: 2 }, 0.7)], { region: 1 });

    expect(find(root, ".slw-curve").getAttribute("aria-label")).toContain("Insertion curve, area 0.65");
    expect(says(root)).toEqual(["≈\u00a040 %", "≈\u00a060 %"]);
    expect(what(root)).toBe("cat in the first region, interpolated from the curves");
    expect(find(root, ".slw-tops").hidden).toBe(true);
  });

  test.each([
    ["picked by hand", { picked: { regions: [2] } }, explained(), [CURVE]],
    ["filled with something else", { fill: "mean" }, explained(), [CURVE, whatIf({ keep: 30 }, 0.7)]],
    ["of another sign", { sign: "positive" }, explained({ step: null, values: Float32Array.from([-5, 3, 2, 1, 0, 0, 0, 0]), magnitude: Float32Array.from([5, 3, 2, 1, 0, 0, 0, 0]), magnitudeTable: new Float32Array(1001) }), [CURVE]],
    ["never evaluated", {}, explained(), []],
  ])("a selection %s has no numbers", async (_, more, one, answers) => {
    const { root } = await stored(answers, more, one);

    expect(says(root)).toEqual(["–", "–"]);
    expect(what(root)).toBe("This needs a running kernel.");
  });

  test("a stored answer that is malformed hides no other", async () => {
    const { root } = await stored([{ ...CURVE, insertion: "none" }, whatIf({ region: 2 }, 0.7)], { region: 2 });

    expect(says(root)).toEqual(["70 %", "30 %"]);
    expect(find(root, ".slw-curve").getAttribute("aria-label")).toContain("not computed yet");
  });

  test("the fields are those the map was made with, to be read", async () => {
    const fields = { steps: 9 };
    const { root, fake } = await stored([{ ...DESCRIBED, asked: { op: "describe", method: "xrai", fields } }], { parameters: { xrai: fields } });
    [...root.querySelectorAll<HTMLElement>(".slw-tab")].find((each) => each.textContent === "Parameters")!.click();
    await frame();

    const inputs = [...root.querySelectorAll<HTMLInputElement>(".slw-parameters input")];
    expect(inputs.map(({ value }) => value)).toContain("9");
    expect(inputs.filter(({ disabled }) => !disabled)).toEqual([]);
    expect(find(root, ".slw-parameters h3").textContent).toBe("XRAI");
    expect(find(root, ".slw-parameters .slw-presets").textContent).toBe("Changing parameters needs a running kernel.");
    expect(fake.requested("describe")).toEqual([]);

    fake.tell({ parameters: {} });
    await frame();
    expect(find(root, ".slw-parameters .slw-fields").textContent).toBe("");
  });
});

test.each([[0, 0, 0.9], [0.25, 0.4, 0.6], [0.5, 0.8, 0.3], [0.75, 0.9, 0.15], [1, 1, 0]])("a share of %d is read on straight lines between the points of a curve", (area, only, without) => {
  const curve = { shares: [0, 0.5, 1], insertion: [0, 0.8, 1], deletion: [0.9, 0.3, 0], insertionAuc: 0, deletionAuc: 0 };
  const whatIf = readAt(curve, area, { index: 3, label: "cat" });

  expect(whatIf).toMatchObject({ area, read: true });
  expect(whatIf.only[0]!.probability).toBeCloseTo(only, 12);
  expect(whatIf.without[0]!.probability).toBeCloseTo(without, 12);
});
