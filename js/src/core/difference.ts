/** The difference of two maps, and how alike they are. docs/widget.md computes the same numbers in Python. */

import { areaField, fieldOf, tableIndex } from "./field.ts";
import { imageOf } from "./lookup.ts";
import type { Explained } from "./result.ts";
import { signOf } from "./scale.ts";
import type { State } from "./state.ts";

/** Overlap is that of the pixels at or above this percentile. */
const TOP = 80;

export interface Difference {
  /** First minus second, as a signed map with the grid and placement of the first; NaN where the second has no value. */
  readonly map: Explained;
  /** Share of the first map's pixels where the second has a value. */
  readonly common: number;
  /** Pearson's correlation, and Spearman's rank correlation, of these pixels; NaN where a map is constant. */
  readonly correlation: number;
  readonly rankCorrelation: number;
  /** Intersection over union of the top 20 % of both; NaN where all pixels of a map are in its top. */
  readonly overlap: number;
}

/** Unless all share one colour scale, each map is divided by the end of its own. Pixels are compared at the same place of their pictures. */
export function differenceOf(state: State, first: Explained, second: Explained): Difference {
  const [one, two] = [salienceOf(state, first), salienceOf(state, second)];
  const [rows, columns] = ([0, 1] as const).map((axis) => matches(state, first, second, axis)) as [Int32Array, Int32Array];
  const width = second.result.shape[1];
  const count = one.values.length;
  const values = new Float32Array(count).fill(NaN);
  const [x, y] = [new Float32Array(count), new Float32Array(count)];
  let [found, both, inOne, inTwo] = [0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const row = rows[Math.floor(i / columns.length)]!;
    const column = columns[i % columns.length]!;
    if (row < 0 || column < 0) continue;
    const [a, b] = [one.values[i]!, two.values[row * width + column]!];
    values[i] = a / one.high - b / two.high;
    [x[found], y[found]] = [a, b];
    found++;
    const [ofOne, ofTwo] = [a >= one.cut, b >= two.cut];
    if (ofOne) inOne++;
    if (ofTwo) inTwo++;
    if (ofOne && ofTwo) both++;
  }
  const [left, right] = [x.subarray(0, found), y.subarray(0, found)];
  return {
    map: signedMap(first, values),
    common: found / count,
    correlation: correlation(left, right),
    rankCorrelation: correlation(meanRanks(left), meanRanks(right)),
    overlap: inOne < found && inTwo < found ? both / (inOne + inTwo - both) : NaN,
  };
}

/** The numbers of `Explanation.salience()`, the percentile of the top, and what the numbers are divided by. */
function salienceOf(state: State, explained: Explained): { readonly values: Float32Array; readonly cut: number; readonly high: number } {
  const sign = signOf(state, explained);
  const { strength, table } = areaField(explained, sign);
  return { values: strength, cut: table[tableIndex(TOP)]!, high: state.shown.scale === "shared" ? 1 : fieldOf(explained, sign).high };
}

/** For each row (axis 0) or column (axis 1) of the first map, that of the second at the same share of its picture; -1 where there is none. */
function matches(state: State, first: Explained, second: Explained, axis: 0 | 1): Int32Array {
  const [from, to] = [first, second].map(({ result }) => ({
    count: result.shape[axis], start: result.place[1 - axis]!, length: result.place[3 - axis]!, size: imageOf(state, result).size[axis],
  })) as [Axis, Axis];
  return Int32Array.from({ length: from.count }, (_, i) => {
    const share = (from.start + ((i + 0.5) / from.count) * from.length) / from.size;
    const index = Math.floor(((share * to.size - to.start) / to.length) * to.count);
    return index >= 0 && index < to.count ? index : -1;
  });
}

interface Axis {
  readonly count: number;
  readonly start: number;
  readonly length: number;
  readonly size: number;
}

function signedMap(first: Explained, values: Float32Array): Explained {
  const magnitude = values.map(Math.abs);
  return {
    ...first, values, magnitude, valuesTable: percentiles(values), magnitudeTable: percentiles(magnitude), step: null, stale: false,
    result: { ...first.result, sign: "signed", regions: null },
  };
}

/** The percentiles 0, 0.1, … 100 of the numbers that are not NaN, interpolated as by NumPy. */
function percentiles(values: Float32Array): Float32Array {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort();
  return Float32Array.from({ length: 1001 }, (_, i) => {
    const at = (i / 1000) * (sorted.length - 1);
    const low = sorted[Math.floor(at)] ?? 0;
    return low + ((sorted[Math.ceil(at)] ?? low) - low) * (at % 1);
  });
}

type Numbers = Float32Array | Float64Array;

function correlation(x: Numbers, y: Numbers): number {
  const [meanX, meanY] = [meanOf(x), meanOf(y)];
  let [xx, yy, xy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [a, b] = [x[i]! - meanX, y[i]! - meanY];
    xx += a * a;
    yy += b * b;
    xy += a * b;
  }
  // rounding alone does not make values differ
  const constant = xx <= 1e-12 * x.length * meanX ** 2 || yy <= 1e-12 * y.length * meanY ** 2;
  return constant ? NaN : xy / Math.sqrt(xx * yy);
}

function meanOf(values: Numbers): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** The rank of each value; equal values share the mean of their ranks. */
function meanRanks(values: Float32Array): Float64Array {
  const sorted = values.slice().sort();
  const below = (value: number, orEqual: boolean): number => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle]! < value || (orEqual && sorted[middle] === value)) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return Float64Array.from(values, (value) => (below(value, false) + below(value, true)) / 2);
}
