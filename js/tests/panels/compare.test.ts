import { describe, expect, test } from "vitest";
import { captionOf } from "../../src/core/captions.ts";
import { keyOf, pairOf, TOP } from "../../src/core/cell.ts";
import { MOST_CELLS, cellsOf, choosing, columnsOf, firstGrid, headersOf, namesOf, pairShown, pinned, toggling } from "../../src/core/grid.ts";
import { regionCount } from "../../src/core/regions.ts";
import type { Explained } from "../../src/core/result.ts";
import { scaleOf } from "../../src/core/scale.ts";
import type { Grid, Settings, Spec } from "../../src/core/settings.ts";
import { shownCell, type State } from "../../src/core/state.ts";
import { update } from "../../src/core/update.ts";
import { SETTINGS, SPEC } from "../fake-model.ts";
import { explained, result, state } from "../fixtures.ts";

const SEVERAL: Spec = {
  ...SPEC,
  models: ["A", "B"],
  images: ["dog", "cat", "car"].map((name) => ({ name, size: [20, 20] })),
};

function withGrid(grid: Grid, more: Partial<State> = {}, settings: Partial<Settings> = {}): State {
  return state({ link: "live", spec: SEVERAL, shown: { ...SETTINGS, ...settings, grid }, ...more });
}
const keys = (now: State): string[] => cellsOf(now).map(keyOf);
const rows = (...tops: number[]) => tops.map((index) => ({ index, label: `class ${index}`, probability: 0.5 }));

describe("cells", () => {
  test("are what is shown, where nothing is compared", () => {
    expect(keys(withGrid({}))).toEqual(["xrai:3:0:0"]);
    expect(keys(withGrid({ methods: [] }))).toEqual(["xrai:3:0:0"]);
  });

  test("are every combination, row by row: methods run fastest", () => {
    const now = withGrid({ methods: ["xrai", "ig"], targets: [3, 4] });

    expect(keys(now)).toEqual(["xrai:3:0:0", "ig:3:0:0", "xrai:4:0:0", "ig:4:0:0"]);
    expect(columnsOf(now)).toBe(2);
  });

  test("of one axis may stand in any number of columns", () => {
    expect(columnsOf(withGrid({ methods: ["xrai", "ig"] }))).toBe(0);
  });

  test("always have the shown one among them", () => {
    expect(keys(withGrid({ methods: ["ig", "lrp"] }))).toEqual(["ig:3:0:0", "lrp:3:0:0", "xrai:3:0:0"]);
  });

  test("for the top class have each image's own, where it is known", () => {
    const predictions = new Map([[pairOf(0, 0), rows(3, 9)], [pairOf(0, 1), rows(7)]]);

    expect(keys(withGrid({ images: [0, 1, 2], targets: [TOP] }, { predictions }))).toEqual(["xrai:3:0:0", "xrai:7:0:1", "xrai:-1:0:2"]);
  });

  test("are never more than can be looked at, and the shown one stays", () => {
    const now = withGrid({ targets: Array.from({ length: 50 }, (_, i) => i) }, {}, { target: 45 });

    expect(cellsOf(now)).toHaveLength(MOST_CELLS);
    expect(keys(now)).toContain("xrai:45:0:0");
  });

  test("are named by what differs", () => {
    const now = withGrid({ methods: ["xrai", "ig"], models: [0, 1] });
    expect(cellsOf(now).map((cell) => namesOf(now, cell).join(" · "))).toEqual([
      "XRAI · A", "Integrated Gradients · A", "XRAI · B", "Integrated Gradients · B",
    ]);
  });

  test("of two axes share the names of their columns and rows", () => {
    expect(headersOf(withGrid({ methods: ["xrai", "ig"], models: [0, 1] }))).toEqual({ columns: ["XRAI", "Integrated Gradients"], rows: ["A", "B"] });
    const three = withGrid({ methods: ["xrai", "ig"], models: [0, 1], images: [0, 1] });
    expect(headersOf(three)?.rows).toEqual(["A · dog", "B · dog", "A · cat", "B · cat"]);
  });

  test("of one axis, or where every image has classes of its own, have no shared headers", () => {
    expect(headersOf(withGrid({}))).toBeNull();
    expect(headersOf(withGrid({ methods: ["xrai", "ig"] }))).toBeNull();
    const predictions = new Map([[pairOf(0, 0), rows(3, 4)], [pairOf(0, 1), rows(4, 3)]]);
    expect(headersOf(withGrid({ images: [0, 1], targets: [TOP] }, { predictions }))).toBeNull();
  });

  test("under headers have captions only for what is particular to them", () => {
    const now = withGrid({ methods: ["xrai", "ig"], models: [0, 1] });
    const [first] = cellsOf(now);
    expect(captionOf(now, first!, true)).toBe("");
    expect(captionOf(now, first!)).toBe("XRAI");
    const busy = { ...now, jobs: new Map([[keyOf(first!), { rid: "r1", done: 1, total: 4, secondsLeft: null }]]) };
    expect(captionOf(busy, first!, true)).toMatch(/^25 %/);
  });

  test("that keep regions keep as much of the area as the shown one", () => {
    const regions = [{ gain: 1, area: 0.5, cumulative: 0.5 }, { gain: 0.5, area: 0.5, cumulative: 1 }];
    const other = explained({ result: result({ target: 4, regions }) });
    const now = withGrid(
      { targets: [3, 4] }, { explained: new Map([["xrai:3:0:0", explained()], ["xrai:4:0:0", other]]) }, { region: 2 },
    );

    expect(cellsOf(now).map((cell) => regionCount(now, cell))).toEqual([2, 1]);
  });
});

describe("choosing", () => {
  test("a method that is not compared joins the others", () => {
    expect(choosing(withGrid({ methods: ["xrai", "ig"] }), "methods", "lrp")).toEqual({
      method: "lrp", grid: { methods: ["xrai", "ig", "lrp"] },
    });
  });

  test("a method in the grid, or of an axis that follows, changes no grid", () => {
    expect(choosing(withGrid({ methods: ["xrai", "ig"] }), "methods", "ig")).toEqual({ method: "ig" });
    expect(choosing(withGrid({ methods: ["xrai", "ig"] }), "targets", 9)).toEqual({ target: 9 });
    expect(choosing(withGrid({}), "images", 2)).toEqual({ image_index: 2 });
  });

  test("a box takes in and out, and the shown cell moves when its own is taken out", () => {
    const now = withGrid({ methods: ["xrai", "ig"] });

    expect(toggling(now, "methods", "ig")).toEqual({ grid: { methods: ["xrai"] } });
    expect(toggling(now, "methods", "xrai")).toEqual({ grid: { methods: ["ig"] }, method: "ig" });
    expect(toggling(now, "targets", 9)).toEqual({ grid: { methods: ["xrai", "ig"], targets: [3, 9] } });
  });

  test("the last of an axis cannot be taken out, nor one be added where the grid is full", () => {
    expect(toggling(withGrid({ methods: ["xrai"] }), "methods", "xrai")).toBeNull();
    const full = withGrid({ targets: Array.from({ length: 18 }, (_, i) => i), methods: ["xrai", "ig"] });
    expect(cellsOf(full)).toHaveLength(36);
    expect(toggling(full, "methods", "lrp")).toBeNull();
  });

  test("what the boxes show is what is there, also for the top class", () => {
    const predictions = new Map([[pairOf(0, 0), rows(3)], [pairOf(0, 1), rows(7)]]);
    expect(pinned(withGrid({ images: [0, 1], targets: [TOP] }, { predictions }), "targets")).toEqual([3]);
  });

  test("another image has its own top class explained, where the top class was", () => {
    const predictions = new Map([[pairOf(0, 0), rows(3, 9)], [pairOf(0, 1), rows(7)]]);
    const set = (start: State, image_index: number) => update(start, { kind: "set", settings: { image_index } }).shown;

    expect(set(withGrid({}, { predictions }), 1)).toMatchObject({ image_index: 1, target: 7 });
    expect(set(withGrid({}, { predictions }), 2)).toMatchObject({ image_index: 2, target: TOP });
    expect(set(withGrid({}, { predictions }, { target: 9 }), 1)).toMatchObject({ image_index: 1, target: 9 });
  });
});

describe("comparing begins", () => {
  test("with all models, or all images with their own top classes", () => {
    expect(firstGrid(withGrid({}))).toEqual({ models: [0, 1] });
    const spec = { ...SEVERAL, models: ["A"] };
    expect(firstGrid(withGrid({}, { spec, predictions: new Map([[pairOf(0, 0), rows(3)]]) }))).toEqual({ images: [0, 1, 2], targets: [TOP] });
    expect(firstGrid(withGrid({}, { spec, predictions: new Map([[pairOf(0, 0), rows(8)]]) }))).toEqual({ images: [0, 1, 2] });
  });

  test("with the methods that are there and the cheapest others that are possible", () => {
    const methods = ["a", "b", "c", "d"].map((id, i) => ({ id, name: id, cost: [400, 2, 30, 1][i]!, paper: "", lacks: [id === "d" ? "no" : ""] }));
    const spec = { ...SPEC, methods };
    const now = state({ link: "live", spec, shown: { ...SETTINGS, method: "a" } });

    expect(firstGrid(now)).toEqual({ methods: ["a", "b", "c"] });
  });

  test("two are overlaid: the shown one and the chosen one, or the next", () => {
    const now = withGrid({ methods: ["ig", "xrai", "lrp"] });

    expect(pairShown(now, "lrp:3:0:0")?.map(keyOf)).toEqual(["xrai:3:0:0", "lrp:3:0:0"]);
    expect(pairShown(now, "")?.map(keyOf)).toEqual(["xrai:3:0:0", "ig:3:0:0"]);
    expect(pairShown(withGrid({}), "")).toBeNull();
  });
});

describe("a colour scale", () => {
  const named = (method: string, factor: number): [string, Explained] => {
    const values = Float32Array.from([0, 1, 2, 3, 4, 5, 6, 7], (value) => value * factor);
    const one = explained({ values, valuesTable: Float32Array.from({ length: 1001 }, (_, i) => (i / 1000) * 7 * factor), result: result({ method }) });
    return [keyOf(one.result), one];
  };
  const results = new Map([named("xrai", 1), named("ig", 3)]);
  const ends = (now: State) => cellsOf(now).map((cell) => scaleOf(now, now.explained.get(keyOf(cell))!).high.toFixed(2));

  test("is each cell's own, or that of the widest", () => {
    const own = withGrid({ methods: ["xrai", "ig"] }, { explained: results }, { mode: "heat" });
    const shared = withGrid({ methods: ["xrai", "ig"] }, { explained: results }, { mode: "heat", scale: "shared" });

    expect(ends(own)).toEqual(["6.93", "20.79"]);
    expect(ends(shared)).toEqual(["20.79", "20.79"]);
  });

  test("is shared only by cells that show the same sign", () => {
    const [key, other] = named("ig", 3);
    const signed = { ...other, result: { ...other.result, sign: "signed" as const } };
    const now = withGrid({ methods: ["xrai", "ig"] }, { explained: new Map(results).set(key, signed) }, { mode: "heat", scale: "shared" });

    expect(ends(now)).toEqual(["6.93", "20.79"]);
  });
});

test("results of other weights are marked until they are recomputed", () => {
  const now = withGrid({}, { explained: new Map([["xrai:3:0:0", explained()]]) });
  const stale = update(now, { kind: "stale", model: 0, image: 0 });
  expect(stale.explained.get("xrai:3:0:0")?.stale).toBe(true);
  expect(update(now, { kind: "stale", model: 1, image: 0 }).explained.get("xrai:3:0:0")?.stale).toBe(false);

  const again = update(stale, { kind: "explained", explained: explained() });
  expect(again.explained.get("xrai:3:0:0")?.stale).toBe(false);
  expect(keyOf(shownCell(again))).toBe("xrai:3:0:0");
});
