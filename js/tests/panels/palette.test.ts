import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { matching, type Entry } from "../../src/panels/palette/entries.ts";
import { fakeModel } from "../fake-model.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(openedEnds);

const press = (element: Element, key: string, more: KeyboardEventInit = {}): boolean =>
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));

async function opened(more: object = {}) {
  const fake = fakeModel({ ...more });
  const { root } = await open(fake);
  welcome(fake);
  finish(fake);
  await frame();
  find(root, "canvas.slw-picture").focus();
  press(find(root, "canvas.slw-picture"), "k", { ctrlKey: true });
  await frame();
  return { fake, root, palette: find(root, ".slw-palette"), input: find(root, ".slw-palette input") as HTMLInputElement };
}
const names = (palette: HTMLElement): readonly (string | null)[] => [...palette.querySelectorAll("[role=option] > span:first-child")].map((each) => each.textContent);
function type(input: HTMLInputElement, text: string): void {
  input.value = text;
  input.dispatchEvent(new Event("input"));
}

describe("the command palette", () => {
  test("opens with Ctrl+K, which does not reach the notebook, and holds methods, classes, views, tabs and actions", async () => {
    const beyond = vi.fn();
    document.addEventListener("keydown", beyond, { once: true });
    const { palette, input } = await opened();

    expect(beyond).not.toHaveBeenCalled();
    document.removeEventListener("keydown", beyond);
    expect(palette.hidden).toBe(false);
    expect(document.activeElement).toBe(input);
    expect([...palette.querySelectorAll(".slw-family")].map((each) => each.textContent)).toEqual(["Actions", "Views", "Tabs", "Methods", "Classes"]);
    // a method that the model does not support is not offered
    expect(names(palette)).toEqual(expect.arrayContaining(["Compare", "Heat map", "Evidence", "Integrated Gradients", "cat"]));
    expect(names(palette)).not.toContain("LRP");
  });

  test("Enter runs what the arrows chose among the matches, and gives the focus back", async () => {
    const { fake, root, palette, input } = await opened();
    type(input, "map heat");
    expect(names(palette)).toEqual(["Heat map"]);
    type(input, "e");
    const second = names(palette)[1];
    press(input, "ArrowDown");
    expect(palette.querySelector("[aria-selected=true] > span")!.textContent).toBe(second);
    expect(input.getAttribute("aria-activedescendant")).toBe(palette.querySelector("[aria-selected=true]")!.id);

    type(input, "integrated");
    press(input, "Enter");
    await frame();
    expect(palette.hidden).toBe(true);
    expect(fake.saved.at(-1)).toMatchObject({ method: "ig" });
    expect(document.activeElement).toBe(find(root, "canvas.slw-picture"));
  });

  test("a class is searched in the kernel, and a click chooses it", async () => {
    const { fake, palette, input } = await opened();
    type(input, "lynx");
    fake.say({ op: "classes", rid: fake.requested("classes")[0]!.rid, classes: [{ index: 9, label: "lynx", probability: 0.01 }] });
    await frame();
    expect(names(palette)).toEqual(["lynx"]);

    find(palette, "[role=option]").click();
    await frame();
    expect(fake.saved.at(-1)).toMatchObject({ target: 9 });
  });

  test("Escape closes it without a change; a tab is opened by its name", async () => {
    const { fake, root, palette, input } = await opened();
    press(input, "Escape");
    await frame();
    expect(palette.hidden).toBe(true);
    expect(fake.saved).toEqual([]);

    press(find(root, "canvas.slw-picture"), "k", { metaKey: true });
    await frame();
    expect(input.value).toBe("");
    type(input, "save");
    press(input, "Enter");
    await frame();
    expect(find(root, ".slw-drawer [aria-label=Save]").hidden).toBe(false);
  });

  test("finds entries by all words, in any order, in names, other words and groups", () => {
    const entry = (name: string, also = ""): Entry => ({ group: "Methods", name, note: "", also, run: () => undefined });
    const entries = [entry("Grad-CAM", "grad_cam"), entry("Guided Grad-CAM"), entry("XRAI")];

    expect(matching(entries, " cam  guided").map(({ name }) => name)).toEqual(["Guided Grad-CAM"]);
    expect(matching(entries, "methods")).toHaveLength(3);
    expect(matching(entries, "")).toHaveLength(3);
    expect(matching(entries, "nonesuch")).toEqual([]);
  });
});

describe("a method that the model turns out not to support", () => {
  test("is a quiet row with the reason, not an error", async () => {
    const fake = fakeModel();
    const { root } = await open(fake);
    welcome(fake);
    fake.say({ op: "error", rid: fake.requested("compute")[0]!.rid, kind: "Unsupported", message: "XRAI needs gradients; Net has none.", details: "" });
    await frame();
    const row = find(root, ".slw-method-list li");

    expect(row.dataset["status"]).toBe("lacking");
    expect(row.textContent).toContain("unsupported: XRAI needs gradients");
    expect(find(root, ".slw-message").textContent).toContain("XRAI is not possible with this model");
    expect(find(root, ".slw-message").textContent).not.toContain("failed");
  });
});
