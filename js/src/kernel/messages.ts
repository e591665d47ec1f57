/** Parses messages of the kernel: one that does not hold what docs/widget-protocol.md promises throws here, and nowhere later. */

import type { ClassRow, Concern, Explained, Failure, ParameterValues, Region, Result, Sign, VerdictImages } from "../core/result.ts";
import type { Link } from "../core/state.ts";
import type { StateEvent } from "../core/update.ts";
import { floatsOf, shortsOf, unexpected, type Buffers, type Message, type Raw } from "./packet.ts";

export interface Reply {
  readonly op: string;
  readonly rid: string;
  readonly raw: Raw;
  readonly buffers: Buffers;
  /** The changes of the state. */
  readonly events: readonly StateEvent[];
}

const TABLE_LENGTH = 1001;

/** Throw an Error that gives what was expected and what was received. `link` is "live" for a message of a kernel, else it was stored. */
export function parseReply({ raw, buffers }: Message, link: Link): Reply {
  const op = raw["op"];
  const rid = typeof raw["rid"] === "string" ? raw["rid"] : "";
  if (typeof op !== "string" || !Object.hasOwn(PARSERS, op)) throw unexpected("a known op", op);
  return { op, rid, raw, buffers, events: PARSERS[op]!(raw, rid, buffers, link) };
}

type Parser = (raw: Raw, rid: string, buffers: Buffers, link: Link) => readonly StateEvent[];

/** An answer changes nothing by itself: it goes to what sent its request. */
const none: Parser = () => [];

const PARSERS: Readonly<Record<string, Parser>> = {
  accepted: none, what_if: none, curve: none, verdict: none, partial_verdict: none, change: none, channels: none, concepts: none, examples: none, described: none, configured: none, code: none, taken: none, classes: none,
  done: none, order: none, film: none, detail: none,
  items: (raw, _rid, buffers) => [{ kind: "items", items: { raw, buffers } }],
  welcome(raw, _rid, buffers, link) {
    const bytes = buffers.get("picture");
    if (!bytes) throw unexpected("a picture in welcome", bytes);
    // a copy: a Blob takes no view of shared memory, and the host may reuse its own
    const picture = new Blob([bytes.slice()], { type: text(raw, "format") });
    return [{ kind: "linked", link, image: whole(raw, "image", 0), picture }];
  },
  module(_raw, _rid, buffers) {
    const code = buffers.get("code");
    if (!code) throw unexpected("code in module", code);
    return [{ kind: "code", code }];
  },
  prediction: (raw) => [{ kind: "predicted", ...pair(raw), classes: classRows(raw, "classes") }],
  ready: (raw) => [{ kind: "ready", cell: { method: text(raw, "method"), target: whole(raw, "target"), ...pair(raw) } }],
  stale: (raw) => [{ kind: "stale", ...pair(raw) }],
  warning: (raw) => [{ kind: "warning", ...pair(raw), text: text(raw, "text") }],
  pace: (raw) => [{ kind: "paced", ...pair(raw), seconds: object(raw["seconds"], "seconds") }],
  progress(raw, rid) {
    const left = raw["seconds_left"];
    const secondsLeft = typeof left === "number" ? left : null;
    return [{ kind: "progress", rid, job: { done: number(raw, "done"), total: number(raw, "total"), secondsLeft } }];
  },
  partial: (raw, _rid, buffers) => [{ kind: "explained", explained: explained(object(raw["result"], "result"), buffers, number(raw, "share")) }],
  result: (raw, rid, buffers) => [{ kind: "explained", explained: explained(object(raw["result"], "result"), buffers, 1) }, { kind: "ended", rid }],
  cancelled: (_raw, rid) => [{ kind: "ended", rid }],
  error: (raw, rid) => [{ kind: "failed", rid, failure: failureIn(raw) }],
};

export function failureIn(raw: Raw): Failure {
  return { kind: text(raw, "kind"), message: text(raw, "message"), details: text(raw, "details", "") };
}

function pair(raw: Raw): { readonly model: number; readonly image: number } {
  return { model: whole(raw, "model", 0), image: whole(raw, "image", 0) };
}

function explained(raw: Raw, buffers: Buffers, share: number): Explained {
  const result = resultOf(raw);
  const cells = result.shape[0] * result.shape[1];
  const map = (name: string, length: number): Float32Array | null => {
    const bytes = buffers.get(name);
    return bytes ? sized(floatsOf(bytes), length, name) : null;
  };
  const values = map("values", cells);
  const valuesTable = map("values_table", TABLE_LENGTH);
  if (!values || !valuesTable) throw unexpected("values and values_table beside a result", [...buffers.keys()]);
  const magnitude = map("magnitude", cells);
  const magnitudeTable = map("magnitude_table", TABLE_LENGTH);
  const step = buffers.get("step");
  return {
    result,
    share,
    values,
    valuesTable,
    // one without the other is of no use
    magnitude: magnitudeTable && magnitude,
    magnitudeTable: magnitude && magnitudeTable,
    step: step ? sized(shortsOf(step), cells, "step") : null,
    stale: false,
  };
}

function resultOf(raw: Raw): Result {
  const [height, width] = list(raw, "shape");
  if (!isWhole(height) || !isWhole(width) || height < 1 || width < 1) throw unexpected("shape [h, w]", raw["shape"]);
  return {
    method: text(raw, "method"),
    target: whole(raw, "target"),
    ...pair(raw),
    label: text(raw, "label", ""),
    caption: text(raw, "caption", ""),
    quality: text(raw, "quality", ""),
    shape: [height, width],
    place: placeOf(raw["place"]),
    sign: signOf(raw["sign"]),
    images: number(raw, "images", 0),
    check: Array.isArray(raw["check"]) ? images(raw, "check") : null,
    seconds: number(raw, "seconds", 0),
    layer: typeof raw["layer"] === "string" ? raw["layer"] : null,
    notes: Array.isArray(raw["notes"]) ? raw["notes"].map(String) : [],
    regions: Array.isArray(raw["regions"]) ? raw["regions"].map(region) : null,
    concern: raw["concern"] == null ? null : concern(object(raw["concern"], "concern")),
  };
}

function concern(raw: Raw): Concern {
  const remedy = raw["remedy"] == null ? null : object(raw["remedy"], "remedy");
  return { sentence: text(raw, "sentence"), remedy: remedy && { label: text(remedy, "label"), fields: object(remedy["fields"], "fields") as ParameterValues } };
}

export function images(raw: Raw, name: string): VerdictImages {
  const [map, random, reruns] = list(raw, name);
  if (isWhole(map) && isWhole(random) && isWhole(reruns)) return [map, random, reruns];
  throw unexpected(`${name} to be three numbers of images`, raw[name]);
}

export function placeOf(value: unknown): Result["place"] {
  if (Array.isArray(value) && value.length === 4 && value.every(Number.isFinite)) return value as unknown as Result["place"];
  throw unexpected("place [x, y, width, height]", value);
}

function signOf(value: unknown): Sign {
  return value === "positive" || value === "signed" ? value : "absolute";
}

function region(value: unknown): Region {
  const raw = object(value, "region");
  return { gain: number(raw, "gain"), area: number(raw, "area"), cumulative: number(raw, "cumulative") };
}

export function classRows(raw: Raw, name: string): readonly ClassRow[] {
  return list(raw, name).map(classRow);
}

function classRow(value: unknown): ClassRow {
  const raw = object(value, "class");
  const named = { index: whole(raw, "index"), label: text(raw, "label") };
  return raw["value"] === undefined ? { ...named, probability: number(raw, "probability") } : { ...named, probability: NaN, value: number(raw, "value") };
}

function sized<A extends Float32Array | Uint16Array>(array: A, length: number, name: string): A {
  if (array.length !== length) throw unexpected(`${length} numbers in ${name}`, array.length);
  return array;
}

export function object(value: unknown, name: string): Raw {
  if (typeof value === "object" && value !== null) return value as Raw;
  throw unexpected(`${name} to be an object`, value);
}

/** A reader of fields of one type. */
function fields<T>(what: string, is: (value: unknown) => value is T): (raw: Raw, name: string, otherwise?: T) => T {
  return (raw, name, otherwise) => {
    const value = raw[name] ?? otherwise;
    if (is(value)) return value;
    throw unexpected(`${name} to be ${what}`, value);
  };
}

export const list = fields<readonly unknown[]>("a list", (value) => Array.isArray(value));
export const text = fields("text", (value) => typeof value === "string");
/** JSON has no other, but a host may hand over what is no JSON. */
export const number = fields("a number", (value): value is number => Number.isFinite(value));
const whole = fields("a whole number", isWhole);

function isWhole(value: unknown): value is number {
  return Number.isInteger(value);
}
