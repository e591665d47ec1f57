import { describe, expect, test } from "vitest";
import { npy, npzOf, zip } from "../../src/core/npz.ts";
import { traceOutline } from "../../src/paint/outline.ts";
import { pathOf, svgOf, type Sheet } from "../../src/paint/svg.ts";
import { explained } from "../fixtures.ts";

const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

describe("NumPy's files", () => {
  test("an array has its kind, its shape, and its numbers from a multiple of 64 on", () => {
    const bytes = npy(Float32Array.of(1, -2.5, 3, 4, 5, 6), [2, 3]);
    const header = bytes[8]! + 256 * bytes[9]!;

    expect(text(bytes.subarray(0, 6))).toBe("\u0093NUMPY");
    expect((10 + header) % 64).toBe(0);
    expect(text(bytes.subarray(10, 10 + header))).toMatch(/^\{'descr': '<f4', 'fortran_order': False, 'shape': \(2, 3\), \} *\n$/);
    expect(new Float32Array(bytes.slice(10 + header).buffer)[1]).toBe(-2.5);
  });

  test("a tuple of one keeps its comma", () => {
    expect(text(npy(Uint8Array.of(1), [1]))).toContain("'shape': (1,)");
  });

  test("a zip's directory finds every file, with the checksum that is known of it", () => {
    const bytes = zip(new Map([["a.txt", Uint8Array.from("123456789", (letter) => letter.charCodeAt(0))], ["b", new Uint8Array(0)]]));
    const view = new DataView(bytes.buffer);
    const end = bytes.length - 22;

    expect(view.getUint32(end, true)).toBe(0x06054b50);
    expect(view.getUint16(end + 10, true)).toBe(2);
    const directory = view.getUint32(end + 16, true);
    expect(view.getUint32(directory, true)).toBe(0x02014b50);
    // the check value of CRC-32
    expect(view.getUint32(directory + 16, true)).toBe(0xcbf43926);
    const at = view.getUint32(directory + 42, true);
    expect(view.getUint32(at, true)).toBe(0x04034b50);
    expect(text(bytes.subarray(at + 30, at + 35))).toBe("a.txt");
    expect(text(bytes.subarray(at + 35, at + 44))).toBe("123456789");
  });

  test("a result has its values, its ranks and what is selected", () => {
    const file = text(npzOf(explained(), new Uint8Array(8)));

    for (const name of ["values.npy", "ranks.npy", "selection.npy"]) expect(file).toContain(name);
    expect(file).not.toContain("magnitude.npy");
    expect(file).toContain("'<u2'");
  });
});

describe("SVG", () => {
  const sheet: Sheet = {
    width: 40, height: 20, picture: "data:image/png;base64,AA==", overlays: [], shades: { colour: "#111", opacity: 0.5, boxes: [] }, lines: [], title: "<b>cat & mouse</b>", bar: null,
  };

  test("holds words as text, whatever they are", () => {
    const svg = svgOf(sheet);
    expect(svg).toContain("<title>&lt;b&gt;cat &amp; mouse&lt;/b&gt;</title>");
    expect(new DOMParser().parseFromString(svg, "image/svg+xml").querySelector("parsererror")).toBeNull();
  });

  test("is higher by the colour bar, with the numbers of its ends", () => {
    const svg = svgOf({ ...sheet, bar: { colours: ["rgb(0 0 0)", "rgb(255 255 255)"], field: { low: -1, high: 1 } } });
    expect(svg).toContain('viewBox="0 0 40 54"');
    expect(svg).toContain("\u22121.00");
    expect(svg).toContain(">1.00<");
  });

  test("draws over the picture in order: the map, what the model did not see, lines", () => {
    const svg = svgOf({
      ...sheet, overlays: [{ href: "data:map", x: 10, y: 0, width: 20, height: 20, opacity: 0.7, smooth: false }],
      shades: { colour: "#111", opacity: 0.7, boxes: [{ x: 0, y: 0, width: 10, height: 20 }] },
      lines: [{ path: "M0 0L1 1Z", colour: "#fff", alpha: 1, width: 1.5 }],
    });
    const drawn = [...new DOMParser().parseFromString(svg, "image/svg+xml").querySelectorAll("image, rect, path")];
    expect(drawn.map(({ tagName }) => tagName)).toEqual(["image", "image", "rect", "path"]);
    expect(drawn[1]!.getAttribute("style")).toBe("image-rendering:pixelated");
    expect(drawn[2]!.getAttribute("width")).toBe("10");
    expect(drawn[3]!.getAttribute("stroke-width")).toBe("1.50");
  });

  test("outlines lie where their cells do", () => {
    const outline = traceOutline(Uint8Array.of(1, 0, 0, 0), 2, 2, 100);
    const numbers = pathOf(outline!, [10, 0, 20, 40], [2, 2]).match(/[\d.]+/g)!.map(Number);
    const xs = numbers.filter((_, i) => i % 2 === 0);
    const ys = numbers.filter((_, i) => i % 2 === 1);

    expect([Math.min(...xs), Math.max(...xs)]).toEqual([10, 20]);
    expect([Math.min(...ys), Math.max(...ys)]).toEqual([0, 20]);
  });
});
