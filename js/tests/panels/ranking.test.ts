import { afterEach, beforeEach, expect, test } from "vitest";
import type { Curve } from "../../src/core/result.ts";
import { ranked } from "../../src/panels/drawer/ranking.ts";
import { fakeModel, type FakeModel } from "../fake-model.ts";
import { explained, result } from "../fixtures.ts";
import { find, finish, frame, open, openedEnds, stubCanvas, welcome } from "../mounting.ts";

beforeEach(stubCanvas);
afterEach(openedEnds);

const curveOf = (insertionAuc: number, deletionAuc: number): Curve =>
  ({ shares: [0, 1], insertion: [0, 1], deletion: [1, 0], insertionAuc, deletionAuc });

/** Two methods side by side with their maps, and the drawer open. */
async function compared(more: Readonly<Record<string, unknown>> = {}) {
  const fake = fakeModel({ grid: { methods: ["xrai", "ig"] }, live: true, ...more });
  const { root } = await open(fake);
  welcome(fake);
  await frame();
  finish(fake);
  finish(fake, explained({ result: result({ method: "ig", regions: null }), step: null }));
  await frame();
  const start = (): HTMLElement => find(root, ".slw-ranking button:not(.slw-rank)");
  return { fake, root, start, rows: () => [...root.querySelectorAll<HTMLElement>(".slw-ranks li")].map((row) => [...row.children].map(({ textContent }) => textContent)) };
}

let seq = 5000;
const say = (fake: FakeModel, op: string, fields: object): void =>
  fake.say({ op, seq: ++seq, rid: fake.requested("curve").at(-1)!.rid, ...fields });
const curve = (insertion: number, deletion: number): object =>
  ({ shares: [0, 1], insertion: [0, 1], deletion: [1, 0], insertion_auc: insertion, deletion_auc: deletion });

test("of one picture there is nothing to compare", async () => {
  const { root } = await compared({ grid: {} });

  expect(find(root, ".slw-ranking").hidden).toBe(true);
});

test("curves are computed for one map after another, and the best comes first", async () => {
  const { fake, root, start, rows } = await compared();
  expect(find(root, ".slw-ranking").hidden).toBe(false);
  expect(rows().map(([name]) => name)).toEqual(["XRAI", "Integrated Gradients"]);
  const before = fake.requested("curve").length;

  start().click();
  await frame();
  expect(fake.requested("curve").slice(before)).toMatchObject([{ method: "xrai", fill: "blur" }]);
  expect(start().textContent).toBe("Stop");
  say(fake, "curve", curve(0.5, 0.3));
  await frame();
  expect(fake.requested("curve").slice(before)).toMatchObject([{ method: "xrai" }, { method: "ig" }]);
  say(fake, "curve", curve(0.6, 0.1));
  await frame();

  expect(rows()).toEqual([["Integrated Gradients", "0.60", "0.10"], ["XRAI", "0.50", "0.30"]]);
  expect(start().hidden).toBe(true);
  expect(fake.requested("curve").length).toBe(before + 2);
});

test("a failed map is marked, and the next is computed", async () => {
  const { fake, start, rows } = await compared();
  start().click();
  say(fake, "error", { kind: "ValueError", message: "no" });
  await frame();
  say(fake, "curve", curve(0.4, 0.2));
  await frame();

  expect(rows()).toEqual([["Integrated Gradients", "0.40", "0.20"], ["XRAI", "failed", "failed"]]);
});

test("Stop, and closing the drawer, cancel the running request", async () => {
  const { fake, root, start } = await compared();
  start().click();
  await frame();
  start().click();
  await frame();
  expect(fake.requested("cancel").at(-1)).toEqual({ op: "cancel", rid: fake.requested("curve").at(-1)!.rid });
  expect(start().textContent).toBe("Compute all");

  start().click();
  const { rid } = fake.requested("curve").at(-1)!;
  [...root.querySelectorAll<HTMLElement>(".slw-tab")].find(({ textContent }) => textContent === "What if…")!.click();
  await frame();
  expect(fake.requested("cancel").map((each) => each.rid)).toContain(rid);
});

test("a row leads to its map", async () => {
  const { fake, root } = await compared();
  const row = [...root.querySelectorAll<HTMLElement>(".slw-rank")].at(-1)!;
  row.focus();
  row.click();
  await frame();

  expect(fake.saved.at(-1)).toMatchObject({ method: "ig" });
  expect(document.activeElement?.textContent).toBe("Integrated Gradients");
  expect(document.activeElement?.getAttribute("aria-current")).toBe("true");
});

test("maps of one class, model and picture are ranked among themselves", () => {
  const cell = (method: string, target: number) => ({ method, target, model: 0, image: 0 });
  const order = ranked([
    [cell("a", 1), curveOf(0.2, 0.1)], [cell("b", 1), undefined], [cell("c", 1), curveOf(0.9, 0.1)],
    [cell("a", 2), null], [cell("b", 2), curveOf(0.1, 0.9)],
  ]);

  expect(order.map(([{ method, target }]) => `${method}${target}`)).toEqual(["c1", "a1", "b1", "b2", "a2"]);
});
