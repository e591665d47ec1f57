import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fakeModel } from "../fake-model.ts";
import { find, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(() => {
  openedEnds();
  Reflect.deleteProperty(document, "fullscreenEnabled");
});

async function opened(fullscreenEnabled: boolean | undefined) {
  Object.defineProperty(document, "fullscreenEnabled", { value: fullscreenEnabled, configurable: true });
  const fake = fakeModel();
  const { root } = await open(fake);
  welcome(fake);
  await frame();
  return { root, full: find(root, "[aria-label='Full screen']") };
}

describe("the buttons above the picture", () => {
  test("open the command palette", async () => {
    const { root } = await opened(true);
    find(root, "[aria-label=Commands]").click();
    await frame();
    expect(find(root, ".slw-palette").hidden).toBe(false);
  });

  test.each([false, undefined])("offer no full screen where the host allows none (%s)", async (enabled) => {
    const { root, full } = await opened(enabled);
    find(root, "[aria-label=Commands]").click();
    await frame();
    expect(full.hidden).toBe(true);
    expect(find(root, ".slw-palette").textContent).not.toContain("Full screen");
  });

  test("start the full screen, and do not offer it again where the host refuses it", async () => {
    const { root, full } = await opened(true);
    const request = vi.fn(() => Promise.resolve());
    root.requestFullscreen = request;
    full.click();
    await frame();
    expect(request).toHaveBeenCalledOnce();
    expect(full.hidden).toBe(false);

    vi.spyOn(console, "warn").mockReturnValueOnce(undefined);
    request.mockReturnValueOnce(Promise.reject(new TypeError("not granted")));
    full.focus();
    full.click();
    await frame();
    expect(full.hidden).toBe(true);
    expect(root.contains(document.activeElement)).toBe(true);
  });
});
