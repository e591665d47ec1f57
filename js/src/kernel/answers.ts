/** Parses the answers to requests of panels, as messages.ts parses the other messages. */

import { changeKey, channelsKey, conceptsKey, type ChangeKind, type ChannelMethod, type WhatIfRequest } from "../core/answers.ts";
import { keyOf, type Cell } from "../core/cell.ts";
import type { Change, Channels, Concept, Concepts, Curve, Described, Example, Examples, Measure, Shared, ParameterSpec, ParameterValues, Verdict, WhatIf } from "../core/result.ts";
import type { Brushed } from "../core/settings.ts";
import type { State } from "../core/state.ts";
import type { StateEvent } from "../core/update.ts";
import type { Requests } from "./commands.ts";
import { classRows, images, list, number, object, placeOf, text, type Reply } from "./messages.ts";
import { unexpected, warn, type Buffers, type Message, type Raw } from "./packet.ts";

/** By the `op` of the request. Each throws an Error that names what was expected and what came. */
export const ANSWERS: { readonly [Op in keyof Requests]: (raw: Raw, buffers: Buffers) => Requests[Op]["answer"] } = {
  what_if: whatIf, curve, check: verdict, change, channels, concepts, examples, describe: described, code: (raw) => text(raw, "text"), configure: String, picture: String,
  items: String, open: String, predict: String, order: whole, film: whole, detail: whole,
};

/** What is parsed by the panel that shows it. */
function whole(raw: Raw, buffers: Buffers): Message {
  return { raw, buffers };
}

/** Return the changes of the state by a message. An answer that no panel requested brings its request, and follows the result that it is about. */
export function eventsOf({ raw, buffers, events }: Reply, state: State): readonly StateEvent[] {
  return raw["asked"] ? answeredBy(raw, buffers, state) : events;
}

function answeredBy(raw: Raw, buffers: Buffers, { explained }: State): readonly StateEvent[] {
  const { op, ...request } = object(raw["asked"], "asked");
  const about = explained.get(keyOf(request as unknown as Cell));
  try {
    if (op === "describe") {
      const { method, fields } = request as { method: string; fields: ParameterValues };
      return [{ kind: "described", method, fields, described: described(raw) }];
    }
    if (about && op === "what_if") return [{ kind: "answered", about, request: request as unknown as WhatIfRequest, answer: whatIf(raw) }];
    if (about && op === "curve") return [{ kind: "curve", about, fill: String(request["fill"]), curve: curve(raw) }];
    if (about && op === "check") return [{ kind: "verdict", about, verdict: verdict(raw) }];
    if (about && op === "change") return [{ kind: "change", about, key: changeKey(request["kind"] as ChangeKind, String(request["fill"]), typeof request["to"] === "number" ? request["to"] : null), change: change(raw) }];
    if (about && op === "channels") return [{ kind: "channels", about, key: channelsKey(String(request["layer"]), request["by"] as ChannelMethod), channels: channels(raw, buffers) }];
    if (about && op === "concepts") return [{ kind: "concepts", about, key: conceptsKey(String(request["layer"]), request["brushed"] as Brushed[]), concepts: concepts(raw, buffers) }];
    if (about && op === "examples") return [{ kind: "examples", about, examples: examples(raw, buffers) }];
  } catch (error) {
    // one answer that is malformed hides no other message
    warn(error);
  }
  return [];
}

export function whatIf(raw: Raw): WhatIf {
  return { only: classRows(raw, "only"), without: classRows(raw, "without"), area: number(raw, "area") };
}

export function curve(raw: Raw): Curve {
  const line = (name: string): readonly number[] => lineOf(raw, name, "shares");
  return {
    shares: line("shares"), insertion: line("insertion"), deletion: line("deletion"),
    insertionAuc: number(raw, "insertion_auc"), deletionAuc: number(raw, "deletion_auc"),
    ofValues: raw["measure"] === "value",
  };
}

/** Numbers, as many as there are positions. */
function lineOf(raw: Raw, name: string, positions: string): readonly number[] {
  const heights = list(raw, name);
  if (heights.length === list(raw, positions).length && heights.every(Number.isFinite)) return heights as readonly number[];
  throw unexpected(`${name} to be as many numbers as ${positions}`, heights);
}

export function verdict(raw: Raw): Verdict {
  return {
    supported: typeof raw["supported"] === "boolean" ? raw["supported"] : null,
    strength: optional(raw, "strength"),
    sentence: text(raw, "sentence"),
    label: text(raw, "label"),
    percent: raw["percent"] === true,
    measures: list(raw, "measures").map(measure),
    images: images(raw, "images"),
    notes: list(raw, "notes").map(String),
    finished: raw["op"] === "verdict",
  };
}

function measure(value: unknown): Measure {
  const raw = object(value, "measure");
  const line = (from: Raw, name: string): readonly number[] => lineOf(from, name, "at");
  const band = raw["band"] == null ? null : object(raw["band"], "band");
  return {
    title: text(raw, "title"), advice: text(raw, "advice", ""), reason: text(raw, "reason", ""),
    decides: raw["decides"] === true,
    value: optional(raw, "value"), low: optional(raw, "low"), high: optional(raw, "high"),
    curves: list(raw, "curves").map((each) => {
      const one = object(each, "curve");
      return { name: text(one, "name"), at: line(one, "at"), values: line(one, "values") };
    }),
    band: band && { at: line(band, "at"), low: line(band, "low"), high: line(band, "high") },
  };
}

export function change(raw: Raw): Change {
  return {
    sentence: text(raw, "sentence"), label: text(raw, "label"), percent: raw["percent"] === true,
    before: number(raw, "before"), after: number(raw, "after"), images: number(raw, "images"),
    notes: list(raw, "notes").map(String),
    sets: list(raw, "sets").map((each) => {
      const set = object(each, "set");
      if (![...list(set, "shape"), ...list(set, "runs")].every(Number.isFinite)) throw unexpected("shape and runs in a set", set);
      return set as unknown as Change["sets"][number];
    }),
  };
}

/** Return an object that has these texts, numbers and lists. */
function having(value: unknown, texts: readonly string[], numbers: readonly string[], lists: readonly string[] = []): unknown {
  const raw = object(value, "row");
  for (const each of texts) text(raw, each);
  for (const each of numbers) number(raw, each);
  for (const each of lists) list(raw, each);
  return raw;
}

const LISTS = ["layers", "notes"];

export function channels(raw: Raw, buffers: Buffers): Channels {
  const channels = list(raw, "channels").map((each) => having(each, [], ["index", "sum", "share"]) as Channels["channels"][number]);
  return { ...(having(raw, ["layer", "label"], ["count", "images"], LISTS) as Channels), channels, maps: channelMaps(raw, buffers, channels.length) };
}

export function concepts(raw: Raw, buffers: Buffers): Concepts {
  const concepts = list(raw, "concepts").map((each) => having(each, ["name"], ["sensitivity", "low", "high", "p", "accuracy"]) as Concept);
  return { ...(having(raw, ["layer", "label"], ["sets", "alpha"], LISTS) as Concepts), concepts, maps: channelMaps(raw, buffers, concepts.length) };
}

function channelMaps(raw: Raw, buffers: Buffers, count: number): Channels["maps"] {
  if (raw["shape"] == null) return null;
  const [height, width] = list(raw, "shape") as readonly number[];
  const bytes = buffers.get("maps");
  if (!height || !width || bytes?.length !== count * height * width) throw unexpected("shape [h, w], and a byte for each pixel of each map", raw["shape"]);
  return { shape: [height, width], place: placeOf(raw["place"]), levels: Int8Array.from(bytes) };
}

export function examples(raw: Raw, buffers: Buffers): Examples {
  const maps = buffers.get("maps") ?? new Uint8Array();
  let at = 0;
  const shared = (shape: unknown): Shared => {
    const [height, width] = shape as readonly [number, number];
    const levels = maps.slice(at, (at += height * width));
    if (levels.length !== height * width) throw unexpected("a byte for each pixel of each map", shape);
    return { shape: [height, width], levels };
  };
  return {
    ...(having(raw, ["label", "method", "unit"], ["count"], ["notes"]) as Examples),
    examples: list(raw, "examples").map((each, i): Example => {
      const one = having(each, ["name", "label"], ["score", "loss"]) as Example;
      const picture = buffers.get(String(i));
      return {
        ...one,
        picture: picture ? new Blob([picture.slice()], { type: "image/jpeg" }) : null,
        shared: one.shared && (one.shared.map(shared) as unknown as Example["shared"]),
      };
    }),
  };
}

/** A number, or null. */
function optional(raw: Raw, name: string): number | null {
  return raw[name] == null ? null : number(raw, name);
}

export function described(raw: Raw): Described {
  return {
    about: text(raw, "about", ""), advice: text(raw, "advice", ""), paper: text(raw, "paper", ""), problem: text(raw, "problem", ""), beyond: text(raw, "beyond", ""),
    fields: list(raw, "fields").map(parameter),
    presets: list(raw, "presets").map((each) => {
      const preset = object(each, "preset");
      return { name: text(preset, "name"), fields: object(preset["fields"], "fields") as ParameterValues, cost: number(preset, "cost") };
    }),
    cost: number(raw, "cost"),
    seconds: typeof raw["seconds"] === "number" ? raw["seconds"] : null,
  };
}

const KINDS = ["whole", "number", "flag", "choice", "names", "text", "fixed"] as const satisfies readonly ParameterSpec["kind"][];

function parameter(value: unknown): ParameterSpec {
  const raw = object(value, "field");
  text(raw, "name");
  if (!KINDS.some((kind) => kind === raw["kind"])) throw unexpected(`kind to be one of ${KINDS.join(", ")}`, raw["kind"]);
  if (raw["choices"] != null) list(raw, "choices");
  return raw as unknown as ParameterSpec;
}
