import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import widget from "../src/widget.ts";
import { fakeModel, SPEC } from "./fake-model.ts";
import { explained, result } from "./fixtures.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "./mounting.ts";

type Hook = (props: object) => unknown;
let seq = 1000;

const slider = (root: HTMLElement, label: string) => root.querySelector<HTMLInputElement>(`[aria-label=${label}]`)!;

function drag(range: HTMLInputElement, values: readonly number[]): void {
  for (const value of values) {
    range.value = String(value);
    range.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
function press(element: HTMLElement, key: string, type = "keydown"): KeyboardEvent {
  const event = new KeyboardEvent(type, { key, bubbles: true, cancelable: true });
  element.dispatchEvent(event);
  return event;
}

beforeEach(stubCanvas);
afterEach(openedEnds);

async function shown(more: Readonly<Record<string, unknown>> = {}) {
  const fake = fakeModel(more);
  const view = await open(fake);
  welcome(fake);
  finish(fake);
  await frame();
  return { fake, ...view };
}

describe("traits", () => {
  test("nothing is written while a slider is dragged, and one message when it is let go", async () => {
    const { fake, root } = await shown();
    const range = slider(root, "Percentile");
    drag(range, [60, 65, 70, 90]);
    await frame();
    expect(fake.saved).toEqual([]);

    range.dispatchEvent(new Event("change", { bubbles: true }));
    expect(fake.saved).toEqual([{ keep: 10 }]);
  });

  test("a held arrow key is one message, when it is let go", async () => {
    const { fake, root } = await shown({ mode: "heat" });
    const range = slider(root, "Percentile");
    for (let i = 0; i < 5; i++) press(range, "ArrowRight"); // faster than frames
    await frame();
    expect(fake.saved).toEqual([]);

    press(range, "ArrowRight", "keyup");
    expect(fake.saved).toEqual([{ threshold: 5 }]);
  });

  test("a change from Python is shown and not written back", async () => {
    const { fake, root } = await shown();
    fake.tell({ opacity: 0.25, mode: "heat" });
    await frame();

    expect(slider(root, "Opacity").value).toBe("0.25");
    expect(find(root, ".slw-segment[aria-checked=true]").textContent).toBe("Heat map");
    expect(fake.saved).toEqual([]);
  });

  test("choosing a method writes it once and requests it once", async () => {
    const { fake, root } = await shown();
    root.querySelectorAll<HTMLElement>(".slw-method")[1]!.click();
    await frame();

    expect(fake.saved).toEqual([{ method: "ig" }]);
    expect(fake.requested("compute").slice(1)).toMatchObject([{ method: "ig", target: 3 }]);
  });
});

describe("what the page says", () => {
  test("the state of the picture, for whoever looks from outside", async () => {
    const fake = fakeModel();
    const { root } = await open(fake);
    expect(root.dataset["state"]).toBe("waiting");
    welcome(fake);
    await frame();
    expect(root.dataset["state"]).toBe("busy");
    expect(root.getAttribute("aria-busy")).toBe("true");
    const before = Number(root.dataset["painted"]);
    finish(fake);
    await frame();

    expect(root.dataset).toMatchObject({ state: "ready", method: "xrai", target: "3", region: "1" });
    expect(Number(root.dataset["painted"])).toBeGreaterThan(before);
  });

  test("names and labels are text, whatever they look like", async () => {
    const { root } = await shown();

    expect(root.querySelector("img")).toBeNull();
    expect(root.querySelectorAll(".slw-chip-label")[1]!.textContent).toBe("<img src=x onerror=alert(1)>");
  });

  test("a method that failed shows its error with a way to try again", async () => {
    const fake = fakeModel();
    const { root } = await open(fake);
    welcome(fake);
    fake.say({ op: "error", seq: ++seq, rid: fake.requested("compute")[0]!.rid, kind: "MemoryError", message: "out of <memory>", details: "Traceback" });
    await frame();
    const box = find(root, ".slw-message");

    expect(box.hidden).toBe(false);
    expect(box.textContent).toContain("out of <memory>");
    expect(find(box, "pre").textContent).toBe("Traceback");
    [...box.querySelectorAll("button")].find(({ textContent }) => textContent === "Try again")!.click();
    expect(fake.requested("compute")).toHaveLength(2);
  });

  test("an unsupported method shows the reason, and is not requested", async () => {
    const { fake, root } = await shown();
    root.querySelectorAll<HTMLElement>(".slw-method")[2]!.click();
    await frame();

    expect(find(root, ".slw-message").textContent).toContain("this model has none");
    expect(fake.requested("compute")).toHaveLength(1);
  });

  test("a method shows its estimated time as soon as the model's pace is known", async () => {
    const fake = fakeModel();
    const { root } = await open(fake);
    welcome(fake);
    finish(fake);
    const row = [...root.querySelectorAll<HTMLElement>(".slw-status")].at(1)!;
    await frame();
    expect(row.textContent).toBe("~25 images");

    fake.say({ op: "pace", seq: 9001, model: 0, image: 0, seconds: { ig: 0.74, xrai: "soon" } });
    await frame();
    expect(row.textContent).toBe("~25 images · 0.7 s");
    fake.say({ op: "pace", seq: 9002, model: 1, image: 0, seconds: { ig: 60 } });
    await frame();
    expect(row.textContent).toBe("~25 images · 0.7 s");
  });

  test("a running method has a bar and a button that cancels it", async () => {
    const fake = fakeModel();
    const { root } = await open(fake);
    welcome(fake);
    const { rid } = fake.requested("compute")[0]!;
    fake.say({ op: "progress", seq: ++seq, rid, done: 62, total: 100, seconds_left: 4 });
    await frame();

    expect(find(root, "li[data-status=running] .slw-status").textContent).toBe("62 % · 4.0 s left");
    find(root, "li[data-status=running] .slw-stop").click();
    expect(fake.requested("cancel")).toEqual([{ op: "cancel", rid }]);
  });

  test("a result without regions has none on the screen", async () => {
    const { fake, root } = await shown();
    fake.tell({ method: "ig" });
    finish(fake, explained({ result: result({ method: "ig", regions: null }), step: null }));
    await frame();

    expect(root.querySelectorAll(".slw-region")).toHaveLength(0);
    expect(find(root, ".slw-regions").hasAttribute("data-absent")).toBe(true);
  });
});

describe("keys", () => {
  test("every control keeps its keys from the notebook by itself", async () => {
    const { root } = await shown();
    const controls = root.querySelectorAll("button, input, select, summary, [tabindex]");

    expect(controls.length).toBeGreaterThan(15);
    expect([...controls].filter((control) => !control.hasAttribute("data-lm-suppress-shortcuts"))).toEqual([]);
  });

  test("plain keys stay in the widget, those with Ctrl go on to the host", async () => {
    const { root } = await shown();
    const outside = vi.fn();
    document.body.addEventListener("keydown", outside);
    press(find(root, ".slw-picture"), "x");
    expect(outside).not.toHaveBeenCalled();

    find(root, ".slw-picture").dispatchEvent(new KeyboardEvent("keydown", { key: "s", ctrlKey: true, bubbles: true }));
    expect(outside).toHaveBeenCalledTimes(1);
    document.body.removeEventListener("keydown", outside);
  });

  test("space on the picture shows it plain while held", async () => {
    const { root } = await shown();
    press(find(root, ".slw-picture"), " ");
    await frame();
    expect(find(root, ".slw-caption-left").textContent).toBe("Original");

    press(find(root, ".slw-picture"), " ", "keyup");
    await frame();
    expect(find(root, ".slw-caption-left").textContent).toContain("XRAI");
  });

  test("space on a button is the button's", async () => {
    const { root } = await shown();
    const event = press(find(root, ".slw-play"), " ");
    await frame();

    expect(event.defaultPrevented).toBe(false);
    expect(find(root, ".slw-caption-left").textContent).toContain("XRAI");
  });

  test("arrows on the picture step through the regions, Home and End go to the ends", async () => {
    const { fake, root } = await shown();
    const canvas = find(root, ".slw-picture");
    for (const [key, region] of [["ArrowRight", "2"], ["End", "3"], ["ArrowRight", "3"], ["ArrowLeft", "2"], ["Home", "1"]] as const) {
      press(canvas, key);
      await frame();
      expect(root.dataset["region"]).toBe(region);
    }
    expect(fake.saved).toEqual([]);
    press(canvas, "ArrowRight");
    press(canvas, "ArrowRight", "keyup");
    expect(fake.saved).toEqual([{ keep: 50, region: 2 }]);
  });

  test("a group of choices is one tab stop", async () => {
    const { root } = await shown();
    for (const selector of [".slw-chip", ".slw-method", ".slw-region"]) {
      const items = [...root.querySelectorAll(selector)];
      expect(items.filter((item) => item.getAttribute("tabindex") === "0")).toHaveLength(1);
    }
  });
});

describe("life", () => {
  test("two views of one model move together", async () => {
    const fake = fakeModel();
    const { els } = await open(fake, 2);
    const [a, b] = els.map((el) => slider(el, "Opacity"));
    drag(a!, [0.4]);
    await frame();

    expect(b!.value).toBe("0.4");
  });

  test("two models share nothing", async () => {
    const [a, b] = [await open(fakeModel()), await open(fakeModel())];
    drag(slider(a.root, "Opacity"), [0.4]);
    await frame();

    expect(slider(b.root, "Opacity").value).toBe("0.7");
  });

  test("closing a view takes it off the page and leaves the other", async () => {
    const { closers, els } = await open(fakeModel(), 2);
    closers[0]!();

    expect(els.map((el) => el.childElementCount)).toEqual([0, 1]);
  });

  test("in the end nothing stays attached", async () => {
    const fake = fakeModel();
    const added = vi.spyOn(document, "addEventListener");
    const { end, closers } = await open(fake);
    expect(fake.listeners).toBeGreaterThan(0);
    closers[0]!();
    end();

    expect(fake.listeners).toBe(0);
    expect(added.mock.calls.every(([, , options]) => (options as AddEventListenerOptions).signal?.aborted)).toBe(true);
  });

  test("a host's own signal ends it as well", async () => {
    const fake = fakeModel();
    const life = new AbortController();
    const { initialize } = await (widget as () => Promise<{ initialize: Hook }>)();
    await initialize({ model: fake.model, signal: life.signal });
    life.abort();

    expect(fake.listeners).toBe(0);
  });
});

test("a new spec brings its methods", async () => {
  const { fake, root } = await shown();
  fake.tell({ spec: { ...SPEC, methods: SPEC.methods.slice(0, 2) } });
  await frame();

  expect(root.querySelectorAll(".slw-method")).toHaveLength(2);
});
