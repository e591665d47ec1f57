/** Outlines of a set of cells as closed lines, for drawing at the resolution of the screen. */

export interface Outline {
  /** x, y, x, y, … in cells, with line after line. */
  readonly points: Float32Array;
  /** The end of each line in `points`. */
  readonly ends: readonly number[];
  /** Length of all lines, in edges of cells. */
  readonly edges: number;
}

const DX = [1, 0, -1, 0] as const;
const DY = [0, 1, 0, -1] as const;

/**
 * Walks along every border between an inside and an outside cell, inside on the right. The line runs through the middles of the
 * cells' edges, which cuts the corners of the stairs. Gives up with null when the border is longer than `limit` edges:
 * round a speckled map an outline would hide what it encloses.
 */
export function traceOutline(inside: Uint8Array, width: number, height: number, limit: number): Outline | null {
  const isIn = (x: number, y: number): boolean =>
    x >= 0 && y >= 0 && x < width && y < height && inside[y * width + x] === 1;
  // one flag for each top edge of an inside cell below an outside one: every closed border has at least one
  const walked = new Uint8Array(width * height);
  const points: number[] = [];
  const ends: number[] = [];
  let budget = limit;
  for (let y = 0; y < height; y++) {
    for (let x = 0, i = y * width; x < width; x++, i++) {
      if (inside[i] !== 1 || walked[i] === 1 || (y > 0 && inside[i - width] === 1)) continue;
      budget = walk(isIn, x, y, budget, walked, width, points);
      if (budget < 0) return null;
      ends.push(points.length);
    }
  }
  return { points: Float32Array.from(points), ends, edges: limit - budget };
}

/** Follows one border from the top edge of cell (startX, startY), eastwards; returns what is left of the budget. */
function walk(
  isIn: (x: number, y: number) => boolean,
  startX: number,
  startY: number,
  budget: number,
  walked: Uint8Array,
  width: number,
  points: number[],
): number {
  let x = startX;
  let y = startY;
  let heading = 0;
  let left = budget;
  let bend = -1;
  do {
    if (--left < 0) return left;
    if (heading === 0) walked[y * width + x] = 1;
    const nextX = x + DX[heading]!;
    const nextY = y + DY[heading]!;
    // cells on either side of the corner ahead: right of the way, left of the way
    const rightAhead = isIn(cellX(nextX, heading), cellY(nextY, heading));
    const leftAhead = isIn(cellX(nextX, (heading + 3) & 3), cellY(nextY, (heading + 3) & 3));
    const turn = !rightAhead ? 1 : leftAhead ? 3 : 0;
    if (turn !== 0 || bend !== 0) points.push((x + nextX) / 2, (y + nextY) / 2);
    bend = turn;
    x = nextX;
    y = nextY;
    heading = (heading + turn) & 3;
  } while (x !== startX || y !== startY || heading !== 0);
  return left;
}

/** The cell ahead of corner (x, y) on the right of a heading (0 east, 1 south, 2 west, 3 north). */
function cellX(x: number, heading: number): number {
  return heading === 0 || heading === 3 ? x : x - 1;
}

function cellY(y: number, heading: number): number {
  return heading === 0 || heading === 1 ? y : y - 1;
}
