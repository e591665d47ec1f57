import { deflateSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { pack } from "../../playground/pack.ts";
import PANELS from "../../src/more.ts";
import { TABS } from "../../src/panels/ui/tabs.ts";
import { fakeModel, type FakeModel } from "../fake-model.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

/** A second module whose only panel shows how often the module was run. */
const CODE = `
globalThis.runs = (globalThis.runs ?? 0) + 1;
export default (shared) => ({ keys: () => Object.assign(document.createElement("div"), { className: "loaded", textContent: "run " + globalThis.runs }) });`;
const compressed = (code: string): Uint8Array => new Uint8Array(deflateSync(code));

beforeEach(() => {
  stubCanvas();
  delete (globalThis as { runs?: number }).runs;
});
afterEach(openedEnds);

const tab = (root: HTMLElement): HTMLElement => [...root.querySelectorAll<HTMLElement>(".slw-tab")].find((each) => each.textContent === "Keys")!;
const body = (root: HTMLElement): HTMLElement => find(root, ".slw-drawer [aria-label=Keys]");
const answer = (fake: FakeModel, code: string, request = fake.requested("module").at(-1)!): void =>
  fake.say({ op: "module", rid: request.rid, buffers: ["code"] }, [compressed(code)]);
async function until(ready: () => boolean): Promise<void> {
  await vi.waitFor(() => expect(ready()).toBe(true));
}

describe("the second module", () => {
  test("is requested when a tab is first opened, once for all views, and run once", async () => {
    const fake = fakeModel({ _more: null });
    const { els } = await open(fake, 2);
    welcome(fake);
    finish(fake);
    await frame();
    expect(fake.requested("module")).toEqual([]);

    for (const el of els) tab(el).click();
    await frame();
    expect(fake.requested("module")).toHaveLength(1);
    expect(body(els[0]!).textContent).toContain("Loading…");

    answer(fake, CODE + "// by request");
    await until(() => els.every((el) => body(el).textContent === "run 1"));
  });

  test("in the state of a saved notebook it needs no kernel", async () => {
    const fake = fakeModel({ _more: new DataView(compressed(CODE + "// in a notebook").slice().buffer) });
    const { root } = await open(fake);
    tab(root).click();

    await until(() => root.querySelector(".loaded") !== null);
    expect(fake.requested("module")).toEqual([]);
  });

  test("that arrives with a result is there when the kernel is gone", async () => {
    const fake = fakeModel({ _more: null });
    const { root } = await open(fake);
    welcome(fake);
    fake.tell({ _more: compressed(CODE + "// pushed") });
    tab(root).click();

    await until(() => root.querySelector(".loaded") !== null);
    expect(fake.requested("module")).toEqual([]);
  });

  test("a notebook that was saved without it says what to do", async () => {
    const picture = { message: { op: "welcome", rid: "", image: 0, format: "image/png" }, buffers: new Map([["picture", Uint8Array.of(1)]]) };
    const fake = fakeModel({ _more: null, _alone: true, _snapshot: new DataView(pack([picture]).slice().buffer) });
    const { root } = await open(fake);
    tab(root).click();

    await until(() => body(root).textContent.includes("This part of the widget needs a running kernel. Run the cell again."));
  });

  test("a failure of the kernel is shown, and Try again requests the module once more", async () => {
    const fake = fakeModel({ _more: null });
    const { root } = await open(fake);
    welcome(fake);
    tab(root).click();
    await frame();
    fake.say({ op: "error", rid: fake.requested("module")[0]!.rid, kind: "OSError", message: "The file is gone." });
    await until(() => body(root).textContent.includes("The file is gone."));

    find(body(root), "button").click();
    await frame();
    expect(fake.requested("module")).toHaveLength(2);
    answer(fake, CODE + "// at the second try");
    await until(() => root.querySelector(".loaded") !== null);
  });

  test("a failure is also shown where no tab is open, until the next try succeeds; the grid stays", async () => {
    const fake = fakeModel({ _more: null, grid: { methods: ["xrai", "ig"] } });
    const { root } = await open(fake);
    welcome(fake);
    finish(fake);
    await frame();
    const note = find(root, ".slw-link");
    expect(note.hidden).toBe(true);
    const difference = [...root.querySelectorAll<HTMLElement>("[role=radio]")].find((each) => each.textContent === "Difference")!;
    for (const [i, start] of [() => difference.click(), () => find(root, "[aria-label='Commands']").click()].entries()) {
      start();
      await until(() => fake.requested("module").length === i + 1);
      fake.say({ op: "error", rid: fake.requested("module").at(-1)!.rid, kind: "OSError", message: `The file is gone: ${i}.` });
      await until(() => note.textContent === `The file is gone: ${i}.` && !note.hidden);
      await until(() => root.querySelectorAll("canvas").length === 2 && difference.getAttribute("aria-checked") === "false");
    }

    difference.click();
    await until(() => fake.requested("module").length === 3);
    answer(fake, `export default () => ({ difference: () => Object.assign(document.createElement("div"), { className: "loaded" }) });`);
    await until(() => root.querySelector(".slw-stage > .loaded") !== null && note.hidden);
  });

  test("code that the page does not run is reported in a sentence", async () => {
    const fake = fakeModel({ _more: null });
    const { root } = await open(fake);
    welcome(fake);
    tab(root).click();
    await frame();
    answer(fake, "throw new Error('refused')");

    await until(() => body(root).textContent.includes("security policy"));
    expect(body(root).querySelector("button")!.hidden).toBe(false);
  });

  test("has a panel for each tab", async () => {
    const fake = fakeModel();
    const { root } = await open(fake);
    for (const each of root.querySelectorAll<HTMLElement>(".slw-tab[aria-controls]")) {
      each.click();
      await frame();
      expect(document.getElementById(each.getAttribute("aria-controls")!)!.textContent).not.toContain("Loading");
    }
    expect(root.querySelectorAll(".slw-tab[aria-controls]")).toHaveLength(TABS.length);
    expect(Object.keys(PANELS)).toEqual(expect.arrayContaining(TABS.map(([name]) => name)));
  });
});
