/** Lines of equal value through a map, as the colours between its cells have it: straight from cell to cell. */

/** Pairs of a square's sides that a line runs between, by which of its corners are above; sides: top, right, bottom, left. */
const SIDES: readonly (readonly number[])[] = [
  [], [3, 0], [0, 1], [3, 1], [1, 2], [3, 0, 1, 2], [0, 2], [3, 2], [2, 3], [2, 0], [0, 1, 2, 3], [2, 1], [1, 3], [1, 0], [0, 3], [],
];

/**
 * x1, y1, x2, y2, … of the pieces of a line, in cells from the top left corner; a value stands in the middle of its cell.
 * Null where there would be more pieces than `most`: so long a line hides what it goes round.
 */
export function isoLine(values: Float32Array, width: number, height: number, level: number, most: number): Float32Array | null {
  const points: number[] = [];
  const end = (side: number, x: number, y: number, corners: readonly number[]): void => {
    const [a, b, c, d] = corners as readonly [number, number, number, number];
    const share = (from: number, to: number): number => (level - from) / (to - from);
    if (side === 0) points.push(x + share(a, b), y);
    else if (side === 1) points.push(x + 1, y + share(b, c));
    else if (side === 2) points.push(x + share(d, c), y + 1);
    else points.push(x, y + share(a, d));
  };
  for (let y = 0; y < height - 1; y++) {
    for (let x = 0; x < width - 1; x++) {
      const i = y * width + x;
      const a = values[i]!;
      const b = values[i + 1]!;
      const d = values[i + width]!;
      const c = values[i + width + 1]!;
      const kind = (a >= level ? 1 : 0) | (b >= level ? 2 : 0) | (c >= level ? 4 : 0) | (d >= level ? 8 : 0);
      if (kind === 0 || kind === 15) continue;
      for (const side of SIDES[kind]!) end(side, x + 0.5, y + 0.5, [a, b, c, d]);
      if (points.length > 4 * most) return null;
    }
  }
  return Float32Array.from(points);
}
