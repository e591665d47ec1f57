import { describe, expect, test } from "vitest";
import { keyOf, pairOf, type Cell } from "../../src/core/cell.ts";
import { regionsFor } from "../../src/core/picked.ts";
import { readingAt } from "../../src/core/reading.ts";
import { keepShown, regionCount } from "../../src/core/regions.ts";
import { percentileShown, shownSign } from "../../src/core/scale.ts";
import type { Settings } from "../../src/core/settings.ts";
import { shownCell, type State } from "../../src/core/state.ts";
import { statusOf } from "../../src/core/status.ts";
import { update, type StateEvent } from "../../src/core/update.ts";
import { SPEC } from "../fake-model.ts";
import { explained, REGIONS, result, state, withResult } from "../fixtures.ts";

function after(start: State, ...events: StateEvent[]): State {
  return events.reduce(update, start);
}
/** A method of the spec, for what is shown. */
function cellOf(method: number): Cell {
  return { ...shownCell(state()), method: SPEC.methods[method]!.id };
}
const failure = { kind: "ValueError", message: "no", details: "" };

describe("settings", () => {
  test("that are set are shown and not yet saved", () => {
    const now = after(state(), { kind: "set", settings: { opacity: 0.2 } });

    expect(now.shown.opacity).toBe(0.2);
    expect(now.saved.opacity).toBe(0.7);
  });

  test("are saved together by a commit", () => {
    const now = after(state(), { kind: "set", settings: { opacity: 0.2 } }, { kind: "set", settings: { threshold: 5 } }, { kind: "commit" });
    expect(now.saved).toBe(now.shown);
  });

  test("that change nothing give the same state, so that nothing is drawn or sent", () => {
    const start = state();

    expect(after(start, { kind: "set", settings: { opacity: 0.7 } })).toBe(start);
    expect(after(start, { kind: "commit" })).toBe(start);
  });

  test("from Python win at once, and leave a gesture's other settings alone", () => {
    const now = after(state(), { kind: "set", settings: { opacity: 0.2 } }, { kind: "synced", settings: { threshold: 60 } });

    expect(now.shown).toMatchObject({ opacity: 0.2, threshold: 60 });
    expect(now.saved).toMatchObject({ opacity: 0.7, threshold: 60 });
  });

  test("go back to the first look, but not to the first method, class or view, by a reset", () => {
    const changed = after(state(), { kind: "set", settings: { method: "ig", target: 9, mode: "heat", opacity: 0.1, threshold: 80 } });
    expect(after(changed, { kind: "reset" }).saved).toEqual({ ...state().shown, method: "ig", target: 9, mode: "heat" });
  });
});

describe("undo and redo", () => {
  const change = (one: State, settings: Partial<Settings>): State => after(one, { kind: "set", settings }, { kind: "commit" });

  test("restore whole gestures, in order, and send them to Python", () => {
    let now = after(state(), { kind: "set", settings: { keep: 20 } }, { kind: "set", settings: { keep: 40 } }, { kind: "commit" });
    now = change(now, { mode: "heat" });
    const back = after(now, { kind: "undo" });
    expect(back.saved).toEqual({ ...state().shown, keep: 40 });
    expect(after(back, { kind: "undo" }).saved).toEqual(state().shown);
    expect(after(back, { kind: "undo" }, { kind: "undo" }).saved).toEqual(state().shown);
    const again = after(back, { kind: "undo" }, { kind: "redo" }, { kind: "redo" }, { kind: "redo" });
    expect(again.shown).toEqual(now.shown);
    expect(again.saved).toBe(again.shown);
  });

  test("a new change ends what could be redone, and Reset can be undone", () => {
    const undone = after(change(state(), { keep: 40 }), { kind: "undo" });
    const other = change(undone, { opacity: 0.1 });
    expect(after(other, { kind: "redo" })).toBe(other);
    const reset = after(other, { kind: "reset" });
    expect(after(reset, { kind: "undo" }).shown).toEqual(other.shown);
  });

  test("leave open tabs as they are, and nothing to undo leaves the state alone", () => {
    const opened = change(state(), { live: true });
    expect(after(opened, { kind: "undo" })).toBe(opened);
    const both = change(opened, { keep: 40 });
    expect(after(both, { kind: "undo" }).shown).toEqual({ ...state().shown, live: true });
    expect(after(state(), { kind: "commit" })).toEqual(state());
  });
});

describe("regions and keep", () => {
  test.each([[0, 0], [1, 1], [25, 1], [37, 1], [38, 2], [50, 2], [76, 3], [100, 3]])("keep %i %% is %i regions", (keep, count) => {
    expect(regionsFor(REGIONS, keep / 100)).toBe(count);
    expect(regionCount(withResult(explained(), { shown: { ...state().shown, keep } }))).toBe(count);
  });

  test("stepping to a region moves keep to the area that is covered then", () => {
    expect(after(withResult(), { kind: "set", settings: { region: 2 } }).shown).toMatchObject({ region: 2, keep: 50 });
  });

  test.each([[0, 1], [-3, 1], [99, 3]])("a step to region %i ends at %i", (asked, reached) => {
    expect(after(withResult(), { kind: "set", settings: { region: asked } }).shown.region).toBe(reached);
  });

  test("moving keep lets the regions follow again", () => {
    const now = after(withResult(), { kind: "set", settings: { region: 1 } }, { kind: "set", settings: { keep: 90 } });

    expect(now.shown.region).toBe(0);
    expect(regionCount(now)).toBe(3);
  });

  test("a region set by Python decides on what is kept", () => {
    const now = after(withResult(), { kind: "synced", settings: { region: 1 } });

    expect([regionCount(now), keepShown(now), percentileShown(now)]).toEqual([1, 25, 75]);
  });

  test("without regions there are none, whatever the trait is", () => {
    const flat = explained({ step: null, result: result({ regions: null }) });
    const now = after(withResult(flat), { kind: "synced", settings: { region: 4 } });

    expect([regionCount(now), keepShown(now)]).toEqual([0, 30]);
  });
});

describe("results", () => {
  const key = keyOf(cellOf(0));
  const running = (): State => after(state({ link: "live" }), { kind: "started", key, rid: "a-1" });

  test("a whole result ends its job", () => {
    const now = after(running(), { kind: "explained", explained: explained() });

    expect(now.jobs.size).toBe(0);
    expect(statusOf(now, cellOf(0)).kind).toBe("done");
  });

  test("a partial result is shown while its job goes on", () => {
    const now = after(running(), { kind: "explained", explained: explained({ share: 0.5 }) });

    expect(now.explained.get(key)?.share).toBe(0.5);
    expect(statusOf(now, cellOf(0)).kind).toBe("running");
  });

  test("a late partial does not replace the whole", () => {
    const now = after(withResult(), { kind: "explained", explained: explained({ share: 0.9 }) });
    expect(now.explained.get(key)?.share).toBe(1);
  });

  test("what a cancelled job had found stays on the screen", () => {
    const now = after(running(), { kind: "explained", explained: explained({ share: 0.5 }) }, { kind: "ended", rid: "a-1" });

    expect(now.explained.has(key)).toBe(true);
    expect(statusOf(now, cellOf(0)).kind).toBe("idle");
  });

  test("progress of a job that was not requested here is ignored", () => {
    const start = running();
    expect(after(start, { kind: "progress", rid: "other", job: { done: 1, total: 2, secondsLeft: null } })).toBe(start);
  });

  test("a failure stays until the method is tried again", () => {
    const failed = after(running(), { kind: "failed", rid: "a-1", failure });

    expect(statusOf(failed, cellOf(0))).toEqual({ kind: "failed", failure });
    expect(statusOf(after(failed, { kind: "started", key, rid: "a-2" }), cellOf(0)).kind).toBe("running");
  });

  test("results of another class leave this one alone", () => {
    const other = explained({ result: result({ target: 4 }) });
    expect(statusOf(withResult(other), cellOf(0)).kind).toBe("idle");
  });
});

describe("links", () => {
  const picture = new Blob(["x"]);

  test("stored results stay on the screen when a kernel appears, but are requested again", () => {
    const packed = withResult(explained(), { link: "packed" });
    const live = after(packed, { kind: "linked", link: "live", image: 0, picture });

    expect(live.link).toBe("live");
    expect(live.explained.get(keyOf(cellOf(0)))?.share).toBe(0);
    expect(statusOf(live, cellOf(0)).kind).toBe("idle");
  });

  test("a snapshot never replaces a live kernel", () => {
    const live = state({ link: "live" });
    expect(after(live, { kind: "linked", link: "packed", image: 0, picture })).toBe(live);
  });

  test("without a kernel, what was not computed is unreachable", () => {
    expect(statusOf(state({ link: "packed" }), cellOf(1)).kind).toBe("unreachable");
  });

  test("an unsupported method is marked, with or without a kernel", () => {
    expect(statusOf(state({ link: "packed" }), cellOf(2)).kind).toBe("lacking");
  });
});

describe("readings", () => {
  test("tell value, rank, gain and cumulative area under a pixel", () => {
    expect(readingAt(withResult(), cellOf(0), [0.6, 0.15])).toEqual({
      value: Math.fround(0.5), region: { rank: 2, gain: 0.5, cumulative: 0.5 },
    });
  });

  test("have no value where the model did not look", () => {
    const now = withResult(explained({ result: result({ place: [10, 0, 10, 20] }) }));
    expect(readingAt(now, cellOf(0), [0.15, 0.15])).toEqual({ value: null, region: null });
  });

  test("have no value before there is a result", () => {
    expect(readingAt(state(), cellOf(0), [0.15, 0.15]).value).toBeNull();
  });
});

test("the sign is what the result suggests, until somebody chooses", () => {
  const now = withResult(explained({ result: result({ sign: "signed" }) }));

  expect(shownSign(now)).toBe("signed");
  expect(shownSign(after(now, { kind: "set", settings: { sign: "positive" } }))).toBe("positive");
});

test("a class chosen from the search joins the chips once", () => {
  const row = { index: 9, label: "fox", probability: 0.1 };
  expect(after(state(), { kind: "chosen", row }, { kind: "chosen", row }).predictions.get(pairOf(0, 0))).toEqual([row]);
});
