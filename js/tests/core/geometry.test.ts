import { describe, expect, test } from "vitest";
import { WHOLE, cellAt, onCanvas, outside, panBy, pixelOf, placeOnCanvas, pointAt, zoomAt } from "../../src/core/geometry.ts";

const SIZE = [300, 450] as const;
const CROP = [75, 0, 300, 300] as const;

test("the model's view scales with the canvas", () => {
  expect(placeOnCanvas(CROP, SIZE, 900, 600)).toEqual({ x: 150, y: 0, width: 600, height: 600 });
});

test("the model's view begins and ends on whole pixels of the screen", () => {
  const box = placeOnCanvas([75.3, -2, 301, 300], SIZE, 526, 351);

  expect(Object.values(box).every(Number.isInteger)).toBe(true);
  expect(Math.abs(box.x - (75.3 * 526) / 450)).toBeLessThanOrEqual(0.5);
});

describe("outside of the model's view", () => {
  test("there are two strips beside a crop from the middle", () => {
    expect(outside({ x: 150, y: 0, width: 600, height: 600 }, 900, 600)).toEqual([
      { x: 0, y: 0, width: 150, height: 600 },
      { x: 750, y: 0, width: 150, height: 600 },
    ]);
  });

  test("there is nothing where the view sticks out on all sides", () => {
    expect(outside({ x: -10, y: -10, width: 920, height: 620 }, 900, 600)).toEqual([]);
  });

  test("the strips and the view together cover the canvas once", () => {
    const box = { x: 100, y: 50, width: 300, height: 200 };
    const area = outside(box, 900, 600).reduce((total, { width, height }) => total + width * height, 0);

    expect(area + box.width * box.height).toBe(900 * 600);
  });
});

describe("the pixel under a point", () => {
  const box = { x: 10, y: 20, width: 900, height: 600 };

  test.each([[10, 20, [0, 0]], [909.9, 619.9, [449, 299]], [460, 320, [225, 150]]] as const)("%f, %f", (x, y, pixel) => {
    expect(pixelOf(pointAt(box, WHOLE, x, y)!, SIZE)).toEqual(pixel);
  });

  test.each([[9.9, 20], [910, 20], [10, 19], [10, 620]])("beside the picture (%f, %f) there is none", (x, y) => {
    expect(pointAt(box, WHOLE, x, y)).toBeNull();
  });
});

describe("the cell over a pixel", () => {
  test("is in row and column of the map, not of the picture", () => {
    expect(cellAt(CROP, [10, 10], 75, 0)).toEqual([0, 0]);
    expect(cellAt(CROP, [10, 10], 374, 299)).toEqual([9, 9]);
    expect(cellAt(CROP, [10, 20], 225, 30)).toEqual([1, 10]);
  });

  test.each([[74, 0], [375, 0]])("there is none where the model did not look (%i, %i)", (x, y) => {
    expect(cellAt(CROP, [10, 10], x, y)).toBeNull();
  });

  test("every cell's middle leads back to the cell", () => {
    const shape = [7, 5] as const;
    for (let row = 0; row < 7; row++) {
      for (let column = 0; column < 5; column++) {
        const x = CROP[0] + ((column + 0.5) / shape[1]) * CROP[2] - 0.5;
        const y = CROP[1] + ((row + 0.5) / shape[0]) * CROP[3] - 0.5;
        expect(cellAt(CROP, shape, x, y)).toEqual([row, column]);
      }
    }
  });
});

describe("looking closer", () => {
  const box = { x: 10, y: 20, width: 400, height: 300 };

  test.each([[0.25, 0.5], [0, 0], [0.9, 0.1]] as const)("the point under the pointer stays where it is (%f, %f)", (at, down) => {
    const before = zoomAt(WHOLE, 2, [0.5, 0.5]);
    const point = [before.u + at / 2, before.v + down / 2] as const;
    const after = zoomAt(before, 1.7, [at, down]);

    expect(after.zoom).toBeCloseTo(3.4);
    expect(onCanvas(after, point)[0]).toBeCloseTo(at);
    expect(onCanvas(after, point)[1]).toBeCloseTo(down);
  });

  test("goes no farther away than the whole, and no closer than makes sense", () => {
    expect(zoomAt(zoomAt(WHOLE, 5, [0.3, 0.3]), 0.01, [0.9, 0.9])).toEqual(WHOLE);
    expect(zoomAt(WHOLE, 1e9, [0.5, 0.5]).zoom).toBe(16);
  });

  test("never leaves the picture", () => {
    const near = zoomAt(WHOLE, 4, [0, 0]);
    expect(panBy(near, -1, -1)).toEqual(near);
    expect(panBy(near, 99, 99)).toEqual({ u: 0.75, v: 0.75, zoom: 4 });
  });

  test("a point of the screen is a point of the part that is shown, and back", () => {
    const view = zoomAt(WHOLE, 2, [1, 1]);
    const point = pointAt(box, view, 110, 170)!;
    expect(point[0]).toBeCloseTo(0.625);
    expect(point[1]).toBeCloseTo(0.75);
    expect(onCanvas(view, point)[0]).toBeCloseTo(0.25);
  });

  test("the map stays over the picture", () => {
    const view = zoomAt(WHOLE, 2, [0, 0]);
    expect(placeOnCanvas(CROP, SIZE, 900, 600, view)).toEqual({ x: 300, y: 0, width: 1200, height: 1200 });
  });
});
