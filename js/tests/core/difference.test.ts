import { describe, expect, test } from "vitest";
import { percentiles } from "../../playground/maps.ts";
import { differenceOf } from "../../src/core/difference.ts";
import type { Explained, Result } from "../../src/core/result.ts";
import { SETTINGS, SPEC } from "../fake-model.ts";
import { explained, result, state } from "../fixtures.ts";

function mapOf(values: readonly number[], shape: Result["shape"], more: Partial<Result> = {}): Explained {
  const numbers = Float32Array.from(values);
  return explained({ values: numbers, valuesTable: percentiles(numbers), step: null, result: result({ shape, regions: null, sign: "positive", ...more }) });
}
const shared = state({ shown: { ...SETTINGS, scale: "shared" } });
const own = state();
/** The other image of a state with two. */
const pair = state({ spec: { ...SPEC, images: [{ name: "a", size: [20, 20] }, { name: "b", size: [40, 20] }] }, shown: { ...SETTINGS, scale: "shared" } });

describe("the difference of two maps", () => {
  test("is first minus second, of the values or of the values over the ends of their scales", () => {
    const [first, second] = [mapOf([0, 1, 2, 4], [2, 2]), mapOf([8, 6, 4, 0], [2, 2])];

    expect([...differenceOf(shared, first, second).map.values]).toEqual([-8, -5, -2, 4]);
    const [a, b] = [first.valuesTable[990]!, second.valuesTable[990]!];
    expect([...differenceOf(own, first, second).map.values]).toEqual([-8 / b, 1 / a - 6 / b, 2 / a - 4 / b, 4 / a].map(Math.fround));
    expect(differenceOf(shared, first, second).map.result.sign).toBe("signed");
  });

  test("has the correlations that SciPy gives, also with equal values", () => {
    const { correlation, rankCorrelation } = differenceOf(shared, mapOf([1, 2, 2, 3, 9, 0], [2, 3]), mapOf([2, 1, 4, 4, 5, 0.5], [2, 3]));

    // scipy.stats.pearsonr and spearmanr
    expect(correlation).toBeCloseTo(0.7596855, 6);
    expect(rankCorrelation).toBeCloseTo(0.8676471, 6);
  });

  test("has no correlation and no overlap with a constant map", () => {
    const { correlation, rankCorrelation, overlap } = differenceOf(shared, mapOf([0.1, 0.1, 0.1, 0.1], [2, 2]), mapOf([1, 2, 3, 4], [2, 2]));
    expect([correlation, rankCorrelation, overlap]).toEqual([NaN, NaN, NaN]);
  });

  test("has the intersection over union of the top fifths", () => {
    const rising = Array.from({ length: 10 }, (_, i) => i);
    const moved = rising.map((value) => (value === 8 ? 0.5 : value));
    expect(differenceOf(shared, mapOf(rising, [2, 5]), mapOf(rising, [2, 5])).overlap).toBe(1);
    // {8, 9} and {7, 9}
    expect(differenceOf(shared, mapOf(rising, [2, 5]), mapOf(moved, [2, 5])).overlap).toBeCloseTo(1 / 3);
  });

  test("of equal maps is zero everywhere", () => {
    const map = mapOf([1, 2, 3, 4], [2, 2]);
    const { map: zero, common } = differenceOf(own, map, map);
    expect([...zero.values]).toEqual([0, 0, 0, 0]);
    expect(common).toBe(1);
  });

  test("compares the same places of the picture where grids differ", () => {
    const coarse = mapOf([1, 2, 3, 4], [2, 2]);
    const fine = mapOf(Array.from({ length: 16 }, (_, i) => 10 * i), [4, 4]);
    // the centres of the four large cells lie on corners of small ones: the one below and to the right has the value
    expect([...differenceOf(shared, coarse, fine).map.values]).toEqual([1 - 50, 2 - 70, 3 - 130, 4 - 150]);
    expect([...differenceOf(shared, fine, coarse).map.values].slice(0, 4)).toEqual([-1, 9, 18, 28]);
  });

  test("has no value where the second map does not cover the first", () => {
    const left = mapOf([5, 7], [1, 2], { place: [-10, 0, 20, 20] });
    const { map, common, correlation } = differenceOf(shared, mapOf([1, 2, 3, 4], [1, 4]), left);
    expect([...map.values]).toEqual([1 - 7, 2 - 7, NaN, NaN]);
    expect(common).toBe(0.5);
    expect(correlation).toBeNaN();
    expect(map.magnitudeTable?.[1000]).toBe(6);
  });

  test("of maps of two pictures compares the same share of each", () => {
    const second = mapOf([10, 20], [2, 1], { image: 1, place: [0, 0, 20, 40] });
    expect([...differenceOf(pair, mapOf([1, 2], [2, 1]), second).map.values]).toEqual([-9, -18]);
  });
});
