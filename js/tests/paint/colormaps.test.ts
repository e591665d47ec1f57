import { expect, test } from "vitest";
import { COLORMAPS, cssColours, lookupTable } from "../../src/paint/colormaps.ts";

/** Every 17th colour of matplotlib 3.10's tables. */
const MATPLOTLIB: Record<string, string> = {
  inferno: "000004 0c0826 240c4f 420a68 5d126e 781c6d 932667 ae305c c73e4c dd513a ed6925 f8850f fca50a fac62d f2e661 fcffa4",
  viridis: "440154 481a6c 472f7d 414487 39568c 31688e 2a788e 23888e 1f988b 22a884 35b779 54c568 7ad151 a5db36 d2e21b fde725",
  magma: "000004 0b0924 20114b 3b0f70 57157e 721f81 8c2981 a8327d c43c75 de4968 f1605d fa7f5e fe9f6d febf84 fddea0 fcfdbf",
  cividis: "00224e 002e6c 1e3a6f 35456c 47516c 575d6d 666970 757575 848279 948e77 a59c74 b7a96e c8b866 dbc75a eed649 fee838",
  gray: "000000 111111 222222 333333 444444 555555 666666 777777 888888 999999 aaaaaa bbbbbb cccccc dddddd eeeeee ffffff",
};

function channels(word: number): number[] {
  return [word & 255, (word >>> 8) & 255, (word >>> 16) & 255];
}

test.each(COLORMAPS)("%s stays within 4/255 of matplotlib", (name) => {
  const table = lookupTable(name);
  const reference = MATPLOTLIB[name]!.split(" ").map((hex) => parseInt(hex, 16));

  for (const [i, hex] of reference.entries()) {
    const expected = [hex >>> 16, (hex >>> 8) & 255, hex & 255];
    for (const [c, value] of channels(table[17 * i]!).entries()) expect(Math.abs(value - expected[c]!)).toBeLessThanOrEqual(4);
  }
});

test.each([...COLORMAPS, "diverging"])("%s is opaque from end to end", (name) => {
  expect([...lookupTable(name)].every((word) => word >>> 24 === 255)).toBe(true);
});

test("the diverging table has a middle, lightest there and darker to both sides", () => {
  const table = lookupTable("diverging");
  const light = [...table].map((word) => channels(word).reduce((a, b) => a + b, 0));

  expect(table).toHaveLength(255);
  expect(light.indexOf(Math.max(...light))).toBe(127);
  expect(light[0]).toBeLessThan(light[60]!);
  expect(light[254]).toBeLessThan(light[200]!);
});

test("an unknown colormap is shown as inferno", () => {
  expect(lookupTable("no such")).toEqual(lookupTable("inferno"));
});

test("CSS colours run from the first to the last of the table", () => {
  expect(cssColours(lookupTable("gray"), 3)).toEqual(["rgb(0,0,0)", "rgb(128,128,128)", "rgb(255,255,255)"]);
});
