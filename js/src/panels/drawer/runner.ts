/** Runs one long request at a time, with its progress, until it is stopped; and the row that starts, stops and reports it. */

import { explainedOf } from "../../core/lookup.ts";
import type { Cell } from "../../core/cell.ts";
import type { Failure } from "../../core/result.ts";
import type { State } from "../../core/state.ts";
import { ended } from "../../core/store.ts";
import { failureOf, type Request, type Requests } from "../../kernel/commands.ts";
import { button, h, setText, type Context } from "../ui/dom.ts";
import { failureBox } from "../ui/failure.ts";
import { slowNotice } from "../ui/slow.ts";

export interface Runner {
  /** The cell that the running request is about. */
  readonly cell: Cell | null;
  /** Names the running request. */
  readonly key: string;
  /** Share of the images that were evaluated for it. */
  readonly share: number;
  /** The last failure of each request, by its key. */
  readonly failures: ReadonlyMap<string, Failure>;
  /** Send a request; `keep` gets its partial answers and its answer, and null where it failed. */
  readonly run: <Op extends "check" | "change" | "channels" | "concepts" | "examples">(key: string, op: Op, fields: Requests[Op]["fields"], keep: (answer: Requests[Op]["answer"] | null) => void, over?: () => void) => void;
  readonly stop: () => void;
}

export function createRunner({ commands, signal }: Context, changed: () => void): Runner {
  let running: { readonly cell: Cell; readonly key: string; readonly request: Request<unknown> } | null = null;
  let share = 0;
  const failures = new Map<string, Failure>();
  const stop = (): void => {
    running?.request.cancel();
    running = null;
  };
  ended(signal, stop);
  return {
    get cell() {
      return running?.cell ?? null;
    },
    get key() {
      return running?.key ?? "";
    },
    get share() {
      return share;
    },
    failures,
    run(key, op, fields, keep, over = changed) {
      stop();
      failures.delete(key);
      share = 0;
      const request = commands.request(op, fields, {
        partial: keep,
        progress(done) {
          share = done;
          changed();
        },
      });
      const mine = running = { cell: fields, key, request };
      const end = (answer: Parameters<typeof keep>[0]): void => {
        if (mine !== running || signal.aborted) return;
        running = null;
        keep(answer);
        over();
      };
      request.answer.then(end, (reason: unknown) => {
        failures.set(key, failureOf(reason));
        end(null);
      });
      changed();
    },
    stop() {
      stop();
      changed();
    },
  };
}

export interface RunnerRow {
  readonly parts: readonly HTMLElement[];
  /** `key`: the request that the row offers; `name`: the label of its button, empty where it is not offered. */
  readonly draw: (state: State, key: string, name: string, note: string) => void;
}

/** A button that starts or stops, what it costs or how far it is, the notice that it takes long, and the failure. */
export function runnerRow(context: Context, runner: Runner, failed: string, start: () => void): RunnerRow {
  const toggle = button(context, {}, "", () => (runner.cell ? runner.stop() : start()));
  const note = h("span", { class: "slw-muted slw-number" });
  const slow = slowNotice(context.signal);
  const trouble = failureBox(context, failed);
  let heard = "";
  return {
    parts: [h("div", { class: "slw-row slw-measure" }, toggle, note), slow.element, trouble.element],
    draw(state, key, name, text) {
      toggle.hidden = !runner.cell && !name;
      toggle.disabled = state.link !== "live";
      setText(toggle, runner.cell ? "Stop" : name);
      setText(note, text);
      trouble.show(runner.failures.get(key) ?? null);
      const now = runner.cell ? `${runner.key} ${runner.share}` : "";
      if (now !== heard) slow.wait(Boolean(now));
      heard = now;
    },
  };
}

/** Why nothing can be computed about the map of a cell; empty where it can. */
export function obstacle(state: State, cell: Cell): string {
  const explained = explainedOf(state, cell);
  if (!explained || explained.share < 1) return "Available once this method finishes.";
  if (explained.stale) return "Outdated, the weights changed. Compute the map again to measure it.";
  return state.link === "live" ? "" : "Not measured. This needs a running kernel.";
}
