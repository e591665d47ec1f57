/** A picture as SVG: its parts as text. */

import type { Field } from "../core/field.ts";
import { formatScale } from "../core/format.ts";
import type { Box } from "../core/geometry.ts";
import type { Outline } from "./outline.ts";

export const BAR_HEIGHT = 34;

export interface Sheet {
  readonly width: number;
  readonly height: number;
  /** URLs of the picture, and of what is drawn over it. */
  readonly picture: string;
  readonly overlays: readonly (Box & { readonly href: string; readonly opacity: number; readonly smooth: boolean })[];
  /** The part of the picture that the model did not see. */
  readonly shades: { readonly colour: string; readonly opacity: number; readonly boxes: readonly Box[] };
  readonly lines: readonly { readonly path: string; readonly colour: string; readonly alpha: number; readonly width: number }[];
  readonly title: string;
  /** Colours from left to right, and the ends of the scale. */
  readonly bar: { readonly colours: readonly string[]; readonly field: Pick<Field, "low" | "high"> } | null;
}

/** A picture whose outlines, colour bar and words stay sharp at any size. */
export function svgOf({ width, height, picture, overlays, shades, lines, title, bar }: Sheet): string {
  const whole = height + (bar ? BAR_HEIGHT : 0);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${whole}" width="${width}" height="${whole}">`,
    `<title>${escaped(title)}</title>`,
    `<image href="${picture}" width="${width}" height="${height}"/>`,
  ];
  const placed = ({ x, y, width: across, height: down }: Box): string => `x="${x}" y="${y}" width="${across}" height="${down}"`;
  for (const { href, opacity, smooth, ...box } of overlays) {
    const drawn = smooth ? "" : ' style="image-rendering:pixelated"';
    parts.push(`<image href="${href}" ${placed(box)} preserveAspectRatio="none" opacity="${opacity}"${drawn}/>`);
  }
  for (const box of shades.boxes) parts.push(`<rect ${placed(box)} fill="${shades.colour}" opacity="${shades.opacity}"/>`);
  for (const { path, colour, alpha, width: wide } of lines) {
    parts.push(`<path d="${path}" fill="none" stroke="${colour}" stroke-width="${wide.toFixed(2)}" stroke-opacity="${alpha.toFixed(2)}"/>`);
  }
  if (bar) {
    const { colours, field } = bar;
    const stops = colours.map((colour, i) => `<stop offset="${(i / (colours.length - 1)).toFixed(3)}" stop-color="${colour}"/>`).join("");
    const words = formatScale(field);
    parts.push(`<linearGradient id="bar">${stops}</linearGradient><rect y="${height}" width="${width}" height="${BAR_HEIGHT}" fill="#fff"/>`);
    parts.push(`<rect x="4" y="${height + 5}" width="${width - 8}" height="10" fill="url(#bar)"/>`);
    const ends = [["start", 4], ["middle", width / 2], ["end", width - 4]] as const;
    for (const [i, [anchor, x]] of ends.entries()) {
      parts.push(`<text x="${x}" y="${height + 28}" text-anchor="${anchor}" font-family="sans-serif" font-size="11" fill="#1b1d21">${escaped(words[i] ?? "")}</text>`);
    }
  }
  return `${parts.join("\n")}\n</svg>\n`;
}

/** An outline, in cells, as a path over the picture. */
export function pathOf({ points, ends }: Pick<Outline, "points" | "ends">, place: readonly [number, number, number, number], shape: readonly [number, number]): string {
  const x = (cell: number): string => (place[0] + (cell * place[2]) / shape[1]).toFixed(1);
  const y = (cell: number): string => (place[1] + (cell * place[3]) / shape[0]).toFixed(1);
  let path = "";
  let start = 0;
  for (const end of ends) {
    for (let i = start; i < end; i += 2) path += `${i === start ? "M" : "L"}${x(points[i]!)} ${y(points[i + 1]!)}`;
    path += "Z";
    start = end;
  }
  return path;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
