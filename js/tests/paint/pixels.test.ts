import { describe, expect, test } from "vitest";
import { percentiles, seeded } from "../../playground/maps.ts";
import { areaField, fieldOf, tableIndex } from "../../src/core/field.ts";
import { bars } from "../../src/core/histogram.ts";
import { keepAbove, keepRegions } from "../../src/core/selection.ts";
import { lookupTable, pack } from "../../src/paint/colormaps.ts";
import { grey, heat, markBorder, onlyRegion, SHADE, shade } from "../../src/paint/pixels.ts";
import { explained, STEP } from "../fixtures.ts";

function noise(count: number, seed = 1): Float32Array {
  const random = seeded(seed);
  return Float32Array.from({ length: count }, () => random() * 2 - 0.7);
}

function signed(count = 500) {
  const values = noise(count);
  const magnitude = values.map((value, i) => Math.abs(value) + (i % 7) * 0.01);
  return explained({ values, valuesTable: percentiles(values), magnitude, magnitudeTable: percentiles(magnitude) });
}

/** Rank of the p-th percentile by the book: linear between the neighbours in sorted order. */
function percentileByTheBook(values: Float32Array, p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (p / 100) * (sorted.length - 1);
  const below = sorted[Math.floor(at)]!;
  return below + (sorted[Math.ceil(at)]! - below) * (at - Math.floor(at));
}

describe("keeping by percentile", () => {
  test.each([0, 0.1, 12.5, 50, 70, 99, 99.9, 100])("keep above percentile %f keeps exactly the values >= NumPy's percentile", (p) => {
    const values = noise(1000);
    const kept = new Uint8Array(values.length);
    const cut = Math.fround(percentileByTheBook(values, p));

    const count = keepAbove(values, percentiles(values)[tableIndex(p)]!, kept);

    expect([...kept]).toEqual([...values].map((value) => (value >= cut ? 1 : 0)));
    expect(count).toBe([...values].filter((value) => value >= cut).length);
  });

  test("values equal to the percentile are kept, however many they are", () => {
    const values = Float32Array.from([0, 0, 0, 0, 0, 0, 0, 1]);
    const kept = new Uint8Array(8);

    expect(keepAbove(values, percentiles(values)[tableIndex(70)]!, kept)).toBe(8);
  });

  test("what is not a number is never kept", () => {
    expect(keepAbove(Float32Array.from([NaN, 1]), -Infinity, new Uint8Array(2))).toBe(1);
  });

  test.each([[-5, 0], [0, 0], [33.33, 333], [100, 1000], [250, 1000]])("percentile %f is entry %i of the table", (p, index) => {
    expect(tableIndex(p)).toBe(index);
  });
});

describe("regions", () => {
  test.each([[0, 0], [1, 2], [2, 4], [3, 8]])("%i regions keep %i cells", (regions, count) => {
    const kept = new Uint8Array(8);

    expect(keepRegions(STEP, regions, kept)).toBe(count);
    expect([...kept]).toEqual([...STEP].map((rank) => (rank < regions ? 1 : 0)));
  });

  test("a cell of no region is never kept", () => {
    expect(keepRegions(Uint16Array.from([65535]), 65535, new Uint8Array(1))).toBe(0);
  });

  test("one region can be had alone", () => {
    const kept = new Uint8Array(8);
    onlyRegion(STEP, 1, kept);

    expect([...kept]).toEqual([0, 0, 1, 1, 0, 0, 0, 0]);
  });
});

describe("fields", () => {
  test("absolute is the magnitude from zero to its 99th percentile", () => {
    const one = signed();
    const field = fieldOf(one, "absolute");

    expect(field.values).toBe(one.magnitude);
    expect(field.strength).toBe(one.magnitude);
    expect([field.low, field.high]).toEqual([one.magnitudeTable![0], one.magnitudeTable![990]]);
  });

  test("signed is symmetric about zero, and what is faint in it is judged by magnitude", () => {
    const one = signed();
    const field = fieldOf(one, "signed");

    expect(field.values).toBe(one.values);
    expect(field.strength).toBe(one.magnitude);
    expect(field.low).toBe(-field.high);
    expect(field.high).toBe(one.magnitudeTable![990]);
  });

  test("positive starts at zero and keeps the percentiles of all values", () => {
    const one = signed();
    const field = fieldOf(one, "positive");

    expect(field.low).toBe(0);
    expect(field.table).toBe(one.valuesTable);
  });

  test("the top area of signed values is their upper end", () => {
    expect(areaField(signed(), "signed").strength).toEqual(signed().values);
  });

  test.each([[[0, 0, 0, 0]], [[5, 5, 5, 5]], [[0, 0, 0, 1]]])("a scale always has some room: %j", (numbers) => {
    const values = Float32Array.from(numbers);
    for (const sign of ["absolute", "positive", "signed"] as const) {
      const { low, high } = fieldOf(explained({ values, valuesTable: percentiles(values) }), sign);
      expect(high).toBeGreaterThan(low);
    }
  });
});

describe("heat", () => {
  test.each(["absolute", "positive", "signed"] as const)("%s colours each cell by its place on the scale, as worked out one by one", (sign) => {
    const field = fieldOf(signed(), sign);
    const lut = lookupTable(sign === "signed" ? "diverging" : "viridis");
    const cut = field.table[tableIndex(40)]!;
    const out = new Uint32Array(field.values.length);

    heat(field, cut, lut, out);

    for (const [i, value] of field.values.entries()) {
      const share = Math.min(Math.max((value - field.low) / (field.high - field.low), 0), 1);
      const expected = field.strength[i]! >= cut ? lut[Math.round(share * (lut.length - 1))] : 0;
      expect(out[i]).toBe(expected);
    }
  });

  test("at threshold 0 every cell carries colour", () => {
    const field = fieldOf(signed(), "absolute");
    const out = new Uint32Array(field.values.length);
    heat(field, field.table[0]!, lookupTable("inferno"), out);

    expect([...out].every((word) => word >>> 24 === 255)).toBe(true);
  });

  test("zero is the middle of the signed colours", () => {
    const lut = lookupTable("diverging");
    const out = new Uint32Array(1);
    const field = { values: Float32Array.of(0), strength: Float32Array.of(0), table: new Float32Array(1001), low: -3, high: 3 };
    heat(field, 0, lut, out);

    expect(out[0]).toBe(lut[127]);
    expect(out[0]).toBe(pack(0xf7, 0xf7, 0xf7, 255));
  });
});

test("the shade covers the pixels that are not kept", () => {
  const out = new Uint32Array(3);
  shade(Uint8Array.of(1, 0, 1), out);

  expect([...out]).toEqual([0, SHADE, 0]);
});

test("grey keeps lightness and drops colour", () => {
  const rgba = Uint8ClampedArray.of(255, 255, 255, 255, 255, 0, 0, 128);
  grey(rgba);

  expect([...rgba]).toEqual([255, 255, 255, 255, 54, 54, 54, 128]);
});

test("bars never fall from left to right and fit their box", () => {
  const heights = bars(fieldOf(signed(), "absolute"), 48);

  expect(heights).toHaveLength(48);
  expect(heights).toEqual([...heights].sort((a, b) => a - b));
  expect(Math.max(...heights)).toBeLessThanOrEqual(1);
});

test("a border is the kept cells beside others, and is as long as their open sides", () => {
  const kept = Uint8Array.from([
    1, 1, 1, 0,
    1, 1, 1, 0,
    1, 1, 1, 0,
    0, 0, 0, 1,
  ]);
  const out = new Uint32Array(16);

  expect(markBorder(kept, 4, 4, 7, out)).toBe(12 + 4);
  expect([...out]).toEqual([7, 7, 7, 0, 7, 0, 7, 0, 7, 7, 7, 0, 0, 0, 0, 7]);
});
