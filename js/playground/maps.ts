/** Invented maps over a real photo: plausible to look at, never computed by a model. */

export interface Maps {
  readonly size: number;
  readonly values: Float32Array;
  readonly magnitude: Float32Array | null;
  readonly step: Uint16Array | null;
  readonly regions: readonly RegionRow[] | null;
}

export interface RegionRow {
  readonly gain: number;
  readonly area: number;
  readonly cumulative: number;
  readonly bbox: readonly number[];
  readonly centroid: readonly number[];
}

export type Random = () => number;

/** A seeded generator (mulberry32), so that every visit shows the same maps. */
export function seeded(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 4294967296;
  };
}

/** Hills over the eyes and the nose of the cat. */
export function hills(size: number, turn: number): Float32Array {
  const centres = [
    [0.36, 0.38, 0.11, 1],
    [0.84, 0.46, 0.08, 0.5 + 0.4 * turn],
    [0.66, 0.78, 0.09, 0.75 - 0.3 * turn],
    [0.6, 0.28, 0.13, 0.55 * (1 - turn)],
  ] as const;
  const map = new Float32Array(size * size);
  for (let i = 0; i < map.length; i++) {
    const x = (i % size) / size;
    const y = Math.floor(i / size) / size;
    for (const [cx, cy, spread, height] of centres) {
      map[i]! += height * Math.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * spread ** 2));
    }
  }
  return map;
}

/** Like a gradient: signed, speckled, strong where the photo has edges. */
export function speckle(photo: ImageData, seed: number, noise: number, turn: number): Maps {
  const size = photo.width;
  const random = seeded(seed);
  const hill = hills(size, turn);
  const values = new Float32Array(size * size);
  const magnitude = new Float32Array(size * size);
  const light = (i: number): number => photo.data[4 * i]! + photo.data[4 * i + 1]! + photo.data[4 * i + 2]!;
  for (let i = 0; i < values.length; i++) {
    const edge = Math.abs(light(i) - light(Math.min(i + 1, values.length - 1))) / 300 + 0.03;
    const strength = (0.08 + hill[i]!) * edge * (1 - noise + noise * 2 * random());
    const sign = random() < 0.2 + 0.3 * noise ? -1 : 1;
    values[i] = sign * strength * 0.02;
    magnitude[i] = strength * 0.02 * (1 + 0.5 * random());
  }
  return { size, values, magnitude, step: null, regions: null };
}

export function smooth(size: number, turn: number): Maps {
  return { size, values: hills(size, turn), magnitude: null, step: null, regions: null };
}

/** Like XRAI: superpixels of the photo (a few rounds of SLIC), ranked by the hill they lie on. */
export function regions(photo: ImageData, count: number, turn: number): Maps {
  const size = photo.width;
  const labels = superpixels(photo, count);
  const hill = hills(size, turn);
  const sums = new Map<number, { total: number; cells: number[] }>();
  for (const [i, label] of labels.entries()) {
    const entry = sums.get(label) ?? { total: 0, cells: [] };
    entry.total += hill[i]!;
    entry.cells.push(i);
    sums.set(label, entry);
  }
  const ranked = [...sums.values()].sort((a, b) => b.total / b.cells.length - a.total / a.cells.length);
  const step = new Uint16Array(size * size);
  const values = new Float32Array(size * size);
  let covered = 0;
  const rows = ranked.map(({ total, cells }, rank): RegionRow => {
    const gain = total / cells.length - 0.02;
    for (const cell of cells) {
      step[cell] = rank;
      values[cell] = gain;
    }
    covered += cells.length;
    const ys = cells.map((cell) => Math.floor(cell / size));
    const xs = cells.map((cell) => cell % size);
    const mean = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0) / numbers.length;
    return { gain, area: cells.length / step.length, cumulative: covered / step.length, bbox: [], centroid: [mean(ys), mean(xs)] };
  });
  return { size, values, magnitude: values.map(Math.abs), step, regions: rows };
}

function superpixels(photo: ImageData, count: number): Uint16Array {
  const size = photo.width;
  const side = Math.round(Math.sqrt(count));
  const pitch = size / side;
  const pixel = (i: number): readonly number[] => [
    (i % size) / pitch, Math.floor(i / size) / pitch, photo.data[4 * i]! / 70, photo.data[4 * i + 1]! / 70, photo.data[4 * i + 2]! / 70,
  ];
  let centres = Array.from({ length: side * side }, (_, k) => {
    const x = Math.floor(((k % side) + 0.5) * pitch);
    const y = Math.floor((Math.floor(k / side) + 0.5) * pitch);
    return pixel(y * size + x);
  });
  const labels = new Uint16Array(size * size);
  for (let round = 0; round < 4; round++) {
    const sums = centres.map(() => [0, 0, 0, 0, 0, 0]);
    for (let i = 0; i < labels.length; i++) {
      const p = pixel(i);
      labels[i] = nearest(p, centres, side);
      const sum = sums[labels[i]!]!;
      for (let c = 0; c < 5; c++) sum[c]! += p[c]!;
      sum[5]!++;
    }
    centres = sums.map((sum, k) => (sum[5]! > 0 ? sum.slice(0, 5).map((total) => total / sum[5]!) : centres[k]!));
  }
  return labels;
}

/** Only centres in the neighbouring cells of the grid are asked. */
function nearest(p: readonly number[], centres: readonly (readonly number[])[], side: number): number {
  let best = 0;
  let least = Infinity;
  for (let row = Math.max(0, Math.floor(p[1]!) - 1); row <= Math.min(side - 1, Math.floor(p[1]!) + 1); row++) {
    for (let column = Math.max(0, Math.floor(p[0]!) - 1); column <= Math.min(side - 1, Math.floor(p[0]!) + 1); column++) {
      const centre = centres[row * side + column]!;
      let distance = 0;
      for (let c = 0; c < 5; c++) distance += (p[c]! - centre[c]!) ** 2;
      if (distance < least) {
        least = distance;
        best = row * side + column;
      }
    }
  }
  return best;
}

/** `np.percentile(values, 0, 0.1, … 100)`. */
export function percentiles(values: Float32Array): Float32Array {
  const sorted = values.slice().sort();
  return Float32Array.from({ length: 1001 }, (_, p) => {
    const at = (p / 1000) * (sorted.length - 1);
    const below = sorted[Math.floor(at)]!;
    return below + (sorted[Math.ceil(at)]! - below) * (at - Math.floor(at));
  });
}
