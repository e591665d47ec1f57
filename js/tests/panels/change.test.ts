import { afterEach, beforeEach, expect, test } from "vitest";
import { fakeModel, type FakeModel } from "../fake-model.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(openedEnds);

const SETS = [{ shape: [2, 4], runs: [0, 2, 6] }, { shape: [2, 4], runs: [2, 2, 4] }];
const ANSWER = { sentence: "Replacing 1 of 4 <b>segments</b>.", label: "cat", percent: true, before: 0.95, after: 0.004, images: 97, notes: ["a <i>note</i>"], sets: SETS };
const ASKED = { op: "change", method: "xrai", target: 3, model: 0, image: 0, kind: "remove", fill: "blur", to: null };

let seq = 8000;
const say = (fake: FakeModel, op: string, fields: object = {}): void => fake.say({ op, seq: ++seq, rid: fake.requested("change").at(-1)!.rid, ...fields });
const named = (root: HTMLElement, name: string): HTMLButtonElement => [...root.querySelectorAll("button")].find((each) => each.textContent === name)!;
const text = (root: HTMLElement): string => find(root, ".slw-change [role=status]").textContent;

/** A map on the screen, and the tab open. */
async function shown() {
  const fake = fakeModel();
  const { root } = await open(fake);
  welcome(fake);
  finish(fake);
  await frame();
  named(root, "Smallest change").click();
  await frame();
  return { fake, root };
}

test("nothing is requested before a click; then the set is selected on the picture", async () => {
  const { fake, root } = await shown();
  expect(fake.requested("change")).toEqual([]);
  expect(find(root, ".slw-change .slw-measure").textContent).toBe("Find smallest changeAbout 100 images evaluated");

  named(root, "Find smallest change").click();
  await frame();
  expect(fake.requested("change")).toMatchObject([ASKED]);
  say(fake, "progress", { done: 25, total: 100, seconds_left: null });
  await frame();
  expect(find(root, ".slw-change .slw-measure").textContent).toBe("Stop25 %");
  say(fake, "change", ANSWER);
  await frame();

  expect(text(root)).toBe("Replacing 1 of 4 <b>segments</b>.");
  expect([...root.querySelectorAll(".slw-change .slw-says strong")].map((each) => each.textContent)).toEqual(["95 %", "0.4 %"]);
  expect(find(root, ".slw-change .slw-measure").textContent).toBe("97 images evaluated");
  expect(find(root, ".slw-change .slw-measure button").hidden).toBe(true);
  expect(root.querySelector(".slw-change b, .slw-change i")).toBeNull();
  expect(fake.saved.at(-1)).toMatchObject({ picked: SETS[0] });
});

test("another set is selected by a click, which is marked and keeps the focus", async () => {
  const { fake, root } = await shown();
  named(root, "Find smallest change").click();
  say(fake, "change", ANSWER);
  await frame();
  named(root, "Set 2").focus();
  named(root, "Set 2").click();
  await frame();

  expect(fake.saved.at(-1)).toMatchObject({ picked: SETS[1] });
  expect(["Set 1", "Set 2"].map((name) => named(root, name).getAttribute("aria-pressed"))).toEqual(["false", "true"]);
  expect(document.activeElement?.textContent).toBe("Set 2");
});

test("each kind and fill has its own answer", async () => {
  const { fake, root } = await shown();
  named(root, "Find smallest change").click();
  say(fake, "change", ANSWER);
  await frame();
  named(root, "Is enough").click();
  await frame();
  expect(text(root)).toContain("alone gives");
  named(root, "Find smallest change").click();
  expect(fake.requested("change").at(-1)).toMatchObject({ kind: "keep", fill: "blur" });
  say(fake, "change", { ...ANSWER, sentence: "Keeping.", sets: [SETS[0]] });
  await frame();
  expect(text(root)).toBe("Keeping.");
  expect(named(root, "Show on the picture").getAttribute("aria-pressed")).toBe("true");
  named(root, "Must go").click();
  await frame();
  expect(text(root)).toContain("Replacing 1");
});

test("Stop cancels, and a failure is shown as text", async () => {
  const { fake, root } = await shown();
  named(root, "Find smallest change").click();
  await frame();
  named(root, "Stop").click();
  await frame();
  expect(fake.requested("cancel").at(-1)).toEqual({ op: "cancel", rid: fake.requested("change").at(-1)!.rid });

  named(root, "Find smallest change").click();
  say(fake, "error", { kind: "NotReached", message: "<b>no set</b>", details: "" });
  await frame();
  expect(find(root, ".slw-change .slw-trouble p").textContent).toBe("<b>no set</b>");
  expect(named(root, "Find smallest change").hidden).toBe(false);
});

test("a stored answer is shown without a request; other weights make it outdated; a malformed one is ignored", async () => {
  const { fake, root } = await shown();
  fake.say({ ...ANSWER, op: "change", seq: ++seq, rid: "", sets: [{ shape: [2, 4], runs: ["all"] }], asked: ASKED });
  await frame();
  expect(text(root)).toContain("Searches");
  fake.say({ ...ANSWER, op: "change", seq: ++seq, rid: "", asked: ASKED });
  await frame();
  expect(text(root)).toContain("Replacing 1");
  fake.say({ op: "stale", seq: ++seq, model: 0, image: 0 });
  await frame();

  expect(text(root)).toBe("Outdated, the weights changed. Replacing 1 of 4 <b>segments</b>.");
});

test("a class is chosen to which the answer is to change; each has its own answer", async () => {
  const { fake, root } = await shown();
  const field = find(root, ".slw-goal") as HTMLSelectElement;
  // the answer itself, "cat", is not offered
  expect([...field.options].map(({ value, text: label }) => [value, label])).toEqual([["-1", "any other class"], ["4", "<img src=x onerror=alert(1)>"]]);
  field.value = "4";
  field.dispatchEvent(new Event("change"));
  await frame();
  expect(fake.saved.at(-1)).toMatchObject({ change_to: 4 });
  expect(text(root)).toBe("Searches the smallest set of segments without which the model's answer is <img src=x onerror=alert(1)>.");

  named(root, "Find smallest change").click();
  expect(fake.requested("change").at(-1)).toMatchObject({ ...ASKED, to: 4 });
  say(fake, "change", { ...ANSWER, sentence: "To 4." });
  await frame();
  expect(text(root)).toBe("To 4.");
  field.value = "-1";
  field.dispatchEvent(new Event("change"));
  await frame();
  expect(text(root)).toContain("answer changes");
  fake.say({ ...ANSWER, op: "change", seq: ++seq, rid: "", sentence: "Stored.", asked: { ...ASKED, to: 4 } });
  fake.tell({ change_to: 4 });
  await frame();
  expect(text(root)).toBe("Stored.");
});

test("Python may choose a class that is not listed; the answer itself means any other", async () => {
  const { fake, root } = await shown();
  const field = find(root, ".slw-goal") as HTMLSelectElement;
  fake.tell({ change_to: 77 });
  await frame();
  expect(field.selectedOptions[0]?.text).toBe("class 77");
  fake.tell({ change_to: 3 });
  await frame();
  expect(field.value).toBe("-1");
  named(root, "Find smallest change").click();
  expect(fake.requested("change").at(-1)).toMatchObject(ASKED);
});
