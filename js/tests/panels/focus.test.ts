import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fakeModel } from "../fake-model.ts";
import { explained, result } from "../fixtures.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(openedEnds);

const concern = { sentence: "Few samples: 5.", remedy: { label: "20 more samples", fields: { samples: 25 } } };

async function opened() {
  const fake = fakeModel();
  const { root } = await open(fake);
  welcome(fake);
  finish(fake, explained({ result: result({ concern }) }));
  await frame();
  return { fake, root };
}

describe("the focus stays in the widget", () => {
  test("when the remedy's button hides, and Ctrl+K opens the palette from there", async () => {
    const { fake, root } = await opened();
    find(root, ".slw-concern button").focus();
    finish(fake);
    await frame();

    expect(document.activeElement).toBe(find(root, ".slw-foot"));
    document.activeElement!.dispatchEvent(new KeyboardEvent("keydown", { key: "k", ctrlKey: true, bubbles: true }));
    await frame();
    expect(find(root, ".slw-palette").hidden).toBe(false);
    expect(find(root, ".slw-foot").hasAttribute("tabindex")).toBe(false);
  });

  test.each<[string, (control: HTMLButtonElement) => void]>([
    ["hidden", (control) => (control.hidden = true)],
    ["disabled", (control) => (control.disabled = true)],
    ["removed", (control) => control.remove()],
    ["in a hidden part", (control) => (control.parentElement!.hidden = true)],
  ])("when the focused control is %s", async (_, lose) => {
    const { root } = await opened();
    const control = find(root, ".slw-concern button") as HTMLButtonElement;
    control.focus();
    lose(control);
    await frame();

    expect(root.contains(document.activeElement)).toBe(true);
    expect(document.activeElement).not.toBe(control);
  });

  test("and is not taken from the page when a control hides that had it before", async () => {
    const { root } = await opened();
    const elsewhere = document.body.appendChild(document.createElement("input"));
    const control = find(root, ".slw-concern button");
    control.focus();
    elsewhere.focus();
    await frame();
    control.hidden = true;
    await frame();

    expect(document.activeElement).toBe(elsewhere);
  });
});
