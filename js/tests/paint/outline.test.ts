import { describe, expect, test } from "vitest";
import { seeded } from "../../playground/maps.ts";
import { traceOutline } from "../../src/paint/outline.ts";

function cells(text: string): [Uint8Array, number, number] {
  const rows = text.trim().split(/\s+/);
  return [Uint8Array.from(rows.join(""), Number), rows[0]!.length, rows.length];
}

/** Edges between an inside and an outside cell, counted one by one. */
function edgesByHand(inside: Uint8Array, width: number, height: number): number {
  const at = (x: number, y: number): number => (x < 0 || y < 0 || x >= width || y >= height ? 0 : inside[y * width + x]!);
  let count = 0;
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x <= width; x++) {
      if (at(x, y) !== at(x - 1, y)) count++;
      if (at(x, y) !== at(x, y - 1)) count++;
    }
  }
  return count;
}

describe("an outline", () => {
  test("of one cell is a diamond through the middles of its edges", () => {
    const outline = traceOutline(...cells("000 010 000"), 99)!;

    expect([...outline.points]).toEqual([1.5, 1, 2, 1.5, 1.5, 2, 1, 1.5]);
    expect(outline.ends).toEqual([8]);
  });

  test("of a block has no points along its straight sides", () => {
    const outline = traceOutline(...cells("00000 01110 01110 01110 00000"), 99)!;

    expect(outline.points).toHaveLength(16);
    expect(outline.edges).toBe(12);
  });

  test("of a ring is two lines", () => {
    expect(traceOutline(...cells("111 101 111"), 99)!.ends).toHaveLength(2);
  });

  test("of cells that touch at a corner is a line for each", () => {
    expect(traceOutline(...cells("10 01"), 99)!.ends).toHaveLength(2);
  });

  test("of nothing is empty", () => {
    expect(traceOutline(...cells("00 00"), 99)).toEqual({ points: new Float32Array(), ends: [], edges: 0 });
  });

  test.each([1, 2, 3])("walks every edge once, whatever the cells (seed %i)", (seed) => {
    const random = seeded(seed);
    const inside = Uint8Array.from({ length: 30 * 20 }, () => (random() < 0.5 ? 1 : 0));

    expect(traceOutline(inside, 30, 20, 1e6)!.edges).toBe(edgesByHand(inside, 30, 20));
  });

  test("that is longer than its limit is not drawn at all", () => {
    expect(traceOutline(...cells("1010 0101 1010"), 10)).toBeNull();
  });
});
