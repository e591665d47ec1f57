import { describe, expect, test } from "vitest";
import { box, brush, fits, keepPicked, massIn, runsOf, toggled } from "../../src/core/picked.ts";
import { explained } from "../fixtures.ts";

const SHAPE = [6, 9] as const;
const empty = (): Uint8Array => new Uint8Array(SHAPE[0] * SHAPE[1]);
const rows = (mask: Uint8Array): string[] => Array.from({ length: SHAPE[0] }, (_, row) => [...mask.subarray(row * SHAPE[1], (row + 1) * SHAPE[1])].join(""));

describe("run lengths", () => {
  test.each([[[0, 0, 1, 1, 0]], [[1, 0, 0, 0, 1]], [[0, 0, 0]], [[1, 1]]])("of %j are the mask again", (cells) => {
    const mask = Uint8Array.from(cells);
    const one = explained({ step: null, values: new Float32Array(cells.length) });
    const result = { ...one.result, shape: [1, cells.length] as const };
    const kept = new Uint8Array(cells.length).fill(7);

    const count = keepPicked({ ...one, result }, { shape: [1, cells.length], runs: runsOf(mask) }, kept);

    expect([...kept]).toEqual(cells);
    expect(count).toBe(cells.filter(Boolean).length);
  });

  test("begin with what is not picked, as docs/widget-protocol.md has it", () => {
    expect(runsOf(Uint8Array.of(0, 0, 1, 1, 1, 0))).toEqual([2, 3, 1]);
    expect(runsOf(Uint8Array.of(1, 1, 0))).toEqual([0, 2, 1]);
  });
});

describe("what is picked", () => {
  test("regions are all their pixels", () => {
    const kept = new Uint8Array(8);

    expect(keepPicked(explained(), { regions: [0, 2] }, kept)).toBe(6);
    expect([...kept]).toEqual([1, 1, 0, 0, 1, 1, 1, 1]);
  });

  test("means nothing for a result without regions, or of another shape", () => {
    expect(fits(explained({ step: null }), { regions: [0] })).toBe(false);
    expect(fits(explained(), { shape: [4, 2], runs: [8] })).toBe(false);
    expect(fits(explained(), {})).toBe(false);
    expect(keepPicked(explained(), {}, new Uint8Array(8))).toBeNull();
  });

  test("a region clicked twice is as it was", () => {
    expect(toggled([0, 3], 1)).toEqual([0, 1, 3]);
    expect(toggled(toggled([0, 3], 1), 1)).toEqual([0, 3]);
    expect(toggled([0, 3], 0)).toEqual([3]);
  });
});

describe("tools", () => {
  test("a brush sets the cells whose middles lie within its radius of the line", () => {
    const mask = empty();
    brush(mask, SHAPE, [2.5, 2.5], [2.5, 6.5], 1.1, 1);

    for (let row = 0; row < SHAPE[0]; row++) {
      for (let column = 0; column < SHAPE[1]; column++) {
        const x = Math.min(Math.max(column + 0.5, 2.5), 6.5);
        const near = Math.hypot(row + 0.5 - 2.5, column + 0.5 - x) <= 1.1;
        expect(mask[row * SHAPE[1] + column]).toBe(near ? 1 : 0);
      }
    }
    expect(rows(mask)[2]).toBe("011111110");
  });

  test("a dot is a line to itself, also at the very edge, and beyond it nothing", () => {
    const mask = empty();
    brush(mask, SHAPE, [0, 0], [0, 0], 1, 1);
    brush(mask, SHAPE, [-9, 40], [-9, 40], 2, 1);
    expect(mask.reduce((total, cell) => total + cell, 0)).toBe(1);
    expect(mask[0]).toBe(1);
  });

  test("a rectangle has its corners in any order, stays on the map, and takes away", () => {
    const mask = empty();
    box(mask, SHAPE, [4.2, 20], [1.9, 6.1], 1);
    expect(rows(mask)).toEqual(["000000000", "000000111", "000000111", "000000111", "000000111", "000000000"]);

    box(mask, SHAPE, [2, 7], [2.5, 7.5], 0);
    expect(rows(mask)[2]).toBe("000000101");
  });
});

test("mass, share and mean of what is selected", () => {
  const values = Float32Array.of(1, -3, 2, 0, 0, 0, 0, 4);
  const found = massIn(explained({ values, magnitude: values.map(Math.abs), step: null }), Uint8Array.of(1, 1, 0, 1, 0, 0, 0, 0));

  expect(found.area).toBe(3 / 8);
  expect(found.mass).toBe(-2);
  expect(found.share).toBeCloseTo(0.4);
  expect(found.mean).toBeCloseTo(-2 / 3);
});

test("nothing selected of nothing has no share and no mean, not NaN", () => {
  expect(massIn(explained({ values: new Float32Array(8), step: null }), new Uint8Array(8))).toEqual({ area: 0, mass: 0, share: 0, mean: 0 });
});
