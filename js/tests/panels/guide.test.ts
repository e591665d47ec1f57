import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { pack } from "../../playground/pack.ts";
import { fakeModel, SPEC } from "../fake-model.ts";
import { explained, resultMessage } from "../fixtures.ts";
import { find, finish, frame, GUIDE, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

const page = globalThis as { saliencyGuide?: Element };

beforeEach(() => {
  stubCanvas();
  localStorage.removeItem(GUIDE);
  delete page.saliencyGuide;
});
afterEach(() => {
  vi.unstubAllGlobals();
  openedEnds();
});

const press = (element: Element, key: string, more: KeyboardEventInit = {}): boolean =>
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
const guide = (root: HTMLElement): HTMLElement | null => root.querySelector<HTMLElement>(".slw-guide:not([hidden])");
const named = (root: HTMLElement, name: string): HTMLButtonElement => [...root.querySelectorAll("button")].find((each) => each.textContent === name)!;
const step = async (root: HTMLElement, name: string): Promise<void> => {
  named(guide(root)!, name).click();
  await frame();
};

/** A widget whose first map is on the screen. */
async function shown(more: object = {}, views = 1) {
  const fake = fakeModel({ ...more });
  const opened = await open(fake, views);
  welcome(fake);
  await frame();
  return { fake, ...opened };
}
async function mapped(more: object = {}, views = 1) {
  const opened = await shown(more, views);
  finish(opened.fake);
  await frame();
  return opened;
}

test("it appears with the first map, without the focus, and asks four questions beside their controls", async () => {
  const { fake, root } = await shown();
  const chip = find(root, ".slw-chip");
  chip.focus();
  expect(guide(root)).toBeNull();
  finish(fake);
  await frame();

  const seen = [];
  for (let i = 0; i < 4; i++) {
    const part = guide(root)!;
    seen.push([find(part, "strong").textContent, find(part, ".slw-name").textContent, root.querySelectorAll("[data-guided]").length, part.parentElement!.className]);
    if (i === 0) expect(root.querySelector(":focus")?.className).toContain("slw-chip");
    if (i < 3) await step(root, "Next");
  }
  expect(seen).toEqual([
    ["Which class, and how sure?", "The classes", 1, "slw-main"],
    ["Where in the picture?", "Top pixels", 1, "slw-main"],
    ["Can you believe it?", "Evidence", 1, "slw-drawer"],
    ["How do you show it to a colleague?", "Save", 1, "slw-drawer"],
  ]);
  expect(find(root, "[data-guided]").textContent).toBe("Save");
  expect(find(guide(root)!, "[role=status]").textContent).toContain("4 of 4");
});

test("Back leads back, and the name of a control moves the focus to it", async () => {
  const { root } = await mapped();
  await step(root, "Next");
  await step(root, "Next");
  await step(root, "Back");
  expect(find(guide(root)!, "strong").textContent).toBe("Where in the picture?");
  named(guide(root)!, "Top pixels").click();
  expect(document.activeElement?.getAttribute("aria-checked")).toBe("true");
  await step(root, "Back");
  await step(root, "Back");
  expect(find(guide(root)!, "strong").textContent).toBe("Which class, and how sure?");
  expect(named(guide(root)!, "Back").getAttribute("aria-disabled")).toBe("true");
});

test("the focus stays on Next while the guide moves", async () => {
  const { root } = await mapped();
  named(guide(root)!, "Next").focus();
  for (let i = 0; i < 3; i++) await step(root, document.activeElement!.textContent);
  expect(document.activeElement?.textContent).toBe("Done");
  await step(root, "Done");
  expect(document.activeElement?.textContent).toBe("Save");
  expect(root.querySelector("[data-guided]")).toBeNull();
});

test.each([["Skip", (root: HTMLElement) => named(guide(root)!, "Skip").click()], ["Esc", (root: HTMLElement) => press(find(root, "canvas.slw-picture"), "Escape")]])(
  "%s dismisses it for ever", async (_, dismiss) => {
    const first = await mapped();
    dismiss(first.root);
    await frame();
    expect(guide(first.root)).toBeNull();
    expect(localStorage.getItem(GUIDE)).toBe("dismissed");
    openedEnds();
    // another page of the same browser
    delete page.saliencyGuide;
    expect(guide((await mapped()).root)).toBeNull();
  });

test("Esc closes an open tab before the guide", async () => {
  const { root } = await mapped();
  named(root, "Save").click();
  await frame();
  press(find(root, "canvas.slw-picture"), "Escape");
  await frame();
  expect(guide(root)).not.toBeNull();
  press(find(root, "canvas.slw-picture"), "Escape");
  await frame();
  expect(guide(root)).toBeNull();
});

test("of the widgets and views of a page one has it; the next when that is gone", async () => {
  const one = await mapped({}, 2);
  const other = await mapped();
  expect([...document.querySelectorAll(".slw-guide:not([hidden])")]).toHaveLength(1);
  expect(guide(other.root)).toBeNull();
  for (const close of one.closers) close();
  expect(guide((await mapped()).root)).not.toBeNull();
});

test.each([
  ["that throws", { getItem: () => { throw new Error("SecurityError"); } }],
  ["that is missing", undefined],
])("with a storage %s it does not appear by itself, and can be opened", async (_, storage) => {
  vi.stubGlobal("localStorage", storage);
  const { root } = await mapped();
  expect(guide(root)).toBeNull();
  named(root, "Keys").click();
  await frame();
  named(root, "Show the guide").click();
  await frame();
  expect(guide(root)).not.toBeNull();
  await step(root, "Skip");
  expect(guide(root)).toBeNull();
});

test("a storage that keeps nothing shows it once in a page", async () => {
  vi.stubGlobal("localStorage", { getItem: () => null, setItem: () => { throw new Error("QuotaExceededError"); } });
  const { root } = await mapped();
  await step(root, "Skip");
  expect(guide((await mapped()).root)).toBeNull();
});

test("it is opened from the command palette, with the focus", async () => {
  localStorage.setItem(GUIDE, "dismissed");
  const { root } = await mapped();
  expect(guide(root)).toBeNull();
  press(find(root, "canvas.slw-picture"), "k", { ctrlKey: true });
  await frame();
  const input = find(root, ".slw-palette input") as HTMLInputElement;
  input.value = "guide";
  input.dispatchEvent(new Event("input"));
  press(input, "Enter");
  await frame();
  expect(document.activeElement?.textContent).toBe("Next");
  press(document.activeElement!, "Escape");
  await frame();
  expect(guide(root)).toBeNull();
});

test("there is none without a kernel, over stored masks, or over a gallery", async () => {
  const stored = await mapped({ spec: { ...SPEC, stored: true } });
  expect(guide(stored.root)).toBeNull();
  named(stored.root, "Keys").click();
  await frame();
  expect(named(stored.root, "Show the guide").hidden).toBe(true);

  const gallery = await mapped({ gallery: true, spec: { ...SPEC, gallery: { count: 9, sorts: [], shows: [] } } });
  expect(guide(gallery.root)).toBeNull();
  gallery.fake.tell({ gallery: false });
  await frame();
  expect(guide(gallery.root)).not.toBeNull();
  openedEnds();
  delete page.saliencyGuide;

  const { message, buffers } = resultMessage(explained());
  const packet = pack([{ message: { op: "welcome", rid: "", format: "image/png" }, buffers: new Map([["picture", Uint8Array.of(1)]]) }, { message, buffers }]);
  const saved = await open(fakeModel({ _snapshot: packet, _alone: true }));
  await frame();
  expect(find(saved.root, ".slw-link").textContent).toContain("No kernel");
  expect(guide(saved.root)).toBeNull();
});

test("a failure to load it is not reported: nobody requested it", async () => {
  const { root } = await mapped({ _more: () => { throw new Error("blocked"); } });
  expect(guide(root)).toBeNull();
  expect(find(root, ".slw-link").hidden).toBe(true);
});
