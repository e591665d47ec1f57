import { describe, expect, test } from "vitest";
import { percentiles } from "../../playground/maps.ts";
import { keyOf } from "../../src/core/cell.ts";
import { histogram, shareUpTo } from "../../src/core/histogram.ts";
import { surplus } from "../../src/core/memory.ts";
import type { Explained } from "../../src/core/result.ts";
import { lookupTable } from "../../src/paint/colormaps.ts";
import { isoLine } from "../../src/paint/contour.ts";
import { boxBlur } from "../../src/paint/pixels.ts";
import { SETTINGS } from "../fake-model.ts";
import { explained, result, state } from "../fixtures.ts";

/** A repeatable stream of numbers in 0–1. */
function noise(count: number): Float32Array {
  let seed = 7;
  return Float32Array.from({ length: count }, () => (seed = (seed * 16807) % 2147483647) / 2147483647);
}

describe("lines of equal value", () => {
  test("of a ramp are straight, and where the value is", () => {
    const ramp = Float32Array.from({ length: 5 * 4 }, (_, i) => i % 5);
    const pieces = isoLine(ramp, 5, 4, 2.25, 100)!;
    const xs = [...pieces].filter((_, i) => i % 2 === 0);

    expect(new Set(xs)).toEqual(new Set([2.75])); // half a cell more: a value stands in the middle of its cell
    expect(pieces).toHaveLength(3 * 4);
  });

  test("lie on the level everywhere, by the straight lines between cells", () => {
    const [width, height, level] = [13, 9, 0.45];
    const map = noise(width * height);
    const pieces = isoLine(map, width, height, level, 1e6)!;
    const at = (x: number, y: number): number => {
      const [left, top] = [Math.min(Math.floor(x), width - 2), Math.min(Math.floor(y), height - 2)];
      const [u, v] = [x - left, y - top];
      const value = (dx: number, dy: number): number => map[(top + dy) * width + left + dx]!;
      return (value(0, 0) * (1 - u) + value(1, 0) * u) * (1 - v) + (value(0, 1) * (1 - u) + value(1, 1) * u) * v;
    };
    expect(pieces.length).toBeGreaterThan(100);
    for (let i = 0; i < pieces.length; i += 2) expect(at(pieces[i]! - 0.5, pieces[i + 1]! - 0.5)).toBeCloseTo(level, 4);
  });

  test("inside a map are closed: every end is met by another", () => {
    const map = new Float32Array(81);
    for (const [i] of map.entries()) map[i] = 6 - Math.hypot((i % 9) - 4, Math.floor(i / 9) - 4);
    const pieces = isoLine(map, 9, 9, 3.3, 1000)!;
    const ends = new Map<string, number>();
    for (let i = 0; i < pieces.length; i += 2) {
      const key = `${pieces[i]!.toFixed(3)},${pieces[i + 1]!.toFixed(3)}`;
      ends.set(key, (ends.get(key) ?? 0) + 1);
    }
    expect(ends.size).toBeGreaterThan(8);
    expect([...ends.values()].every((count) => count === 2)).toBe(true);
  });

  test("that would be too long are left away", () => {
    expect(isoLine(noise(400), 20, 20, 0.5, 20)).toBeNull();
  });
});

describe("a histogram", () => {
  test("counts what a count over the map counts", () => {
    const map = noise(20_000).map((value) => value ** 2);
    const heights = histogram(percentiles(map), 0, 1, 20);
    const counts = new Array<number>(20).fill(0);
    for (const value of map) counts[Math.min(Math.floor(value * 20), 19)]!++;
    const most = Math.max(...counts);

    for (const [i, count] of counts.entries()) expect(heights[i]).toBeCloseTo((count / most) ** 0.3, 1);
  });

  test("has the zeros of a map in its first bar, and what is above the scale in its last", () => {
    const map = Float32Array.from({ length: 1000 }, (_, i) => (i < 900 ? 0 : i < 950 ? 0.55 : 5));
    const heights = histogram(percentiles(map), 0, 1, 10);

    expect(heights[0]).toBe(1);
    expect(heights[5]).toBeCloseTo((50 / 900) ** 0.3, 1);
    expect(heights[9]).toBeCloseTo((50 / 900) ** 0.3, 1);
    expect(heights[3]).toBeLessThan(0.1); // a percentile is a thousandth: its position between two is not known
  });

  test("turned round gives the percentile of a value", () => {
    const table = percentiles(noise(5000));
    for (const percentile of [0, 12.5, 50, 99.9]) expect(shareUpTo(table, table[percentile * 10]!)).toBeCloseTo(percentile / 100, 6);
    expect([shareUpTo(table, -1), shareUpTo(table, 2)]).toEqual([0, 1]);
  });
});

test("a blurred map has the mean of the cells around each, cropped at the edges", () => {
  const [width, height, radius] = [7, 5, 2];
  const map = noise(width * height);
  const blurred = boxBlur(map, width, height, radius);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let [total, cells] = [0, 0];
      for (let v = Math.max(0, y - radius); v <= Math.min(height - 1, y + radius); v++) {
        for (let u = Math.max(0, x - radius); u <= Math.min(width - 1, x + radius); u++, cells++) total += map[v * width + u]!;
      }
      expect(blurred[y * width + x]).toBeCloseTo(total / cells, 5);
    }
  }
  expect(boxBlur(map, width, height, 0)).toBe(map);
});

describe("gamma", () => {
  test("gives a share of the scale the colour of its power", () => {
    const [straight, bent] = [lookupTable("viridis"), lookupTable("viridis", 2)];
    for (const share of [0, 0.25, 0.5, 0.8, 1]) {
      expect(bent[Math.round(share * (bent.length - 1))]).toBe(straight[Math.round(share ** 2 * (straight.length - 1))]);
    }
  });

  test("leaves zero in the middle of the diverging colours", () => {
    const straight = lookupTable("diverging");
    for (const gamma of [0.3, 2.5]) {
      const bent = lookupTable("diverging", gamma);
      expect(bent.length % 2).toBe(1);
      expect(bent[(bent.length - 1) / 2]).toBe(straight[127]);
    }
  });
});

describe("memory", () => {
  const entry = (method: string, target: number): [string, Explained] => {
    const one = explained({ result: result({ method, target }) });
    return [keyOf(one.result), one];
  };
  const each = 8 * 4 + 8 * 2;
  const many = new Map([entry("ig", 1), entry("xrai", 3), entry("ig", 2), entry("ig", 4)]);

  test("is kept by forgetting what came first and is not on the screen", () => {
    const now = state({ link: "live", explained: many });

    expect(surplus(now, 4 * each)).toEqual([]);
    expect(surplus(now, 3 * each)).toEqual(["ig:1:0:0"]);
    expect(surplus(now, each)).toEqual(["ig:1:0:0", "ig:2:0:0", "ig:4:0:0"]);
  });

  test("keeps every cell of a grid", () => {
    const now = state({ link: "live", explained: many, shown: { ...SETTINGS, grid: { methods: ["ig", "xrai"], targets: [1, 3] } } });
    expect(surplus(now, each)).toEqual(["ig:2:0:0", "ig:4:0:0"]);
  });

  test("without a kernel forgets nothing: nobody could bring it back", () => {
    expect(surplus(state({ link: "packed", explained: many }), 0)).toEqual([]);
  });
});
