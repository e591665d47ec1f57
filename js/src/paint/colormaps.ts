/** Lookup tables: 256 colours (255 for the diverging one, so that it has a middle) as packed RGBA words. */

/**
 * Control points `position, red, green, blue` in hexadecimal; between them colours run in straight lines, which stays within
 * 2/255 of matplotlib's tables.
 */
const CONTROL_POINTS: Readonly<Record<string, string>> = {
  inferno:
    "00000004 120d0829 23260c51 303d0965 445d126e 638f2469 83c03a51 9ee25734 bbf8850f c6fb9906 cffcaa0f e1f8cd37 eff2e865 faf5f992 fffcffa4",
  viridis:
    "00440154 1d482979 3a3e4c8a 7723888e 931fa287 a62fb47c bc56c667 d898d83e efd5e21a f7eae51a fffde725",
  magma:
    "00000004 0f090720 26251255 343d0f71 4559157e 69912b81 8bc83e73 9fe55064 b1f66c5c c2fc8c63 dcfebd82 fffcfdbf",
  cividis:
    "0000224e 15003170 18053371 201a386f 373a486c 6e6d6f72 8a868379 bcb8aa6e e1dfca57 f7f8df3c fcfee434 fffee838",
  gray: "00000000 ffffffff",
};

/** ColorBrewer's RdBu, evenly spaced and reversed: blue, white, red; safe for all kinds of colour vision. */
const DIVERGING = "053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f";

export const COLORMAPS: readonly string[] = Object.keys(CONTROL_POINTS);

type Point = readonly [at: number, red: number, green: number, blue: number];

/** Entries of a bent table: where gamma stretches the scale's low end, 256 would show as steps. */
const FINE = 1024;

/**
 * The table of a colormap; an unknown name gives inferno's, as a picture is better than none. With a gamma other than 1 the
 * colour at a share t of the scale is that of t ** gamma; the diverging one is bent from its middle, and zero stays zero.
 */
export function lookupTable(name: string, gamma = 1): Uint32Array {
  const table = straightTable(name);
  if (gamma === 1) return table;
  const diverges = name === "diverging";
  const length = diverges ? FINE - 1 : FINE;
  return Uint32Array.from({ length }, (_, i) => {
    const at = i / (length - 1);
    const side = 2 * at - 1;
    const bent = diverges ? (1 + Math.sign(side) * Math.abs(side) ** gamma) / 2 : at ** gamma;
    return table[Math.round(bent * (table.length - 1))]!;
  });
}

function straightTable(name: string): Uint32Array {
  const text = name === "diverging" ? DIVERGING : (CONTROL_POINTS[name] ?? CONTROL_POINTS["inferno"] ?? "");
  const points = text.split(" ").map((word, i, { length }): Point => {
    const value = parseInt(word, 16);
    const at = word.length > 6 ? (value >>> 24) / 255 : i / (length - 1);
    return [at, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  });
  return interpolate(points, name === "diverging" ? 255 : 256);
}

function interpolate(points: readonly Point[], length: number): Uint32Array {
  const table = new Uint32Array(length);
  let right = 1;
  for (let i = 0; i < length; i++) {
    const at = i / (length - 1);
    while (right < points.length - 1 && points[right]![0] < at) right++;
    const a = points[right - 1]!;
    const b = points[right]!;
    const share = (at - a[0]) / (b[0] - a[0]);
    const mix = (c: 1 | 2 | 3): number => Math.round(a[c] + (b[c] - a[c]) * share);
    table[i] = pack(mix(1), mix(2), mix(3), 255);
  }
  return table;
}

/** A colour as a word of an ImageData on little-endian machines: all that run a browser today. */
export function pack(red: number, green: number, blue: number, alpha: number): number {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** A table as CSS colours, evenly thinned. */
export function cssColours(table: Uint32Array, count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const word = table[Math.round((i * (table.length - 1)) / (count - 1))]!;
    return `rgb(${word & 255},${(word >>> 8) & 255},${(word >>> 16) & 255})`;
  });
}
