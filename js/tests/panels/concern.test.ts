import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fakeModel } from "../fake-model.ts";
import { explained, result } from "../fixtures.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(openedEnds);

describe("a poor result", () => {
  const concern = { sentence: "Few samples: 5.", remedy: { label: "20 more samples", fields: { samples: 25 } } };

  test("has a badge with the reason, and one click sends the remedy with the other parameters", async () => {
    const fake = fakeModel({ parameters: { xrai: { steps: 7 } } });
    const { root } = await open(fake);
    welcome(fake);
    finish(fake);
    await frame();
    const badge = find(root, ".slw-concern");
    expect(badge.hidden).toBe(true);

    finish(fake, explained({ result: result({ concern }) }));
    await frame();
    expect(badge.hidden).toBe(false);
    expect(badge.textContent).toContain("Few samples: 5.");
    find(badge, "button").click();
    expect(fake.requested("configure")).toMatchObject([{ method: "xrai", fields: { steps: 7, samples: 25 } }]);
  });

  test("without a remedy, or on a page without a kernel, has no button", async () => {
    const fake = fakeModel();
    const { root } = await open(fake);
    welcome(fake);
    finish(fake, explained({ result: result({ concern: { sentence: "The map is nearly constant.", remedy: null } }) }));
    await frame();

    expect(find(root, ".slw-concern").textContent).toContain("constant");
    expect(find(root, ".slw-concern button").hidden).toBe(true);
  });
});
