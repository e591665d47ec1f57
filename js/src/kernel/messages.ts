/** What the kernel says, checked: a message that does not hold what docs/widget-protocol.md promises throws here and nowhere later. */

import { floatsOf, shortsOf, unexpected, type Buffers, type Message, type Raw } from "./packet.ts";
import type { ClassRow, Explained, Failure, Region, Result, Sign } from "../core/state.ts";

export type Reply = { readonly rid: string } & (
  | { readonly op: "accepted" | "cancelled" }
  | { readonly op: "welcome"; readonly image: number; readonly picture: Blob }
  | { readonly op: "prediction"; readonly model: number; readonly image: number; readonly classes: readonly ClassRow[] }
  | { readonly op: "classes"; readonly classes: readonly ClassRow[] }
  | { readonly op: "stale"; readonly model: number; readonly image: number }
  | { readonly op: "warning"; readonly model: number; readonly image: number; readonly text: string }
  | { readonly op: "pace"; readonly model: number; readonly image: number; readonly seconds: Readonly<Record<string, unknown>> }
  | { readonly op: "progress"; readonly done: number; readonly total: number; readonly secondsLeft: number | null }
  | { readonly op: "partial" | "result"; readonly explained: Explained }
  | { readonly op: "answer"; readonly raw: Raw }
  | { readonly op: "error"; readonly failure: Failure }
);

const TABLE_LENGTH = 1001;

/** Throws an Error that says what was expected and what came. */
export function parseReply({ raw, buffers }: Message): Reply {
  const op = raw["op"];
  const rid = typeof raw["rid"] === "string" ? raw["rid"] : "";
  switch (op) {
    case "accepted":
    case "cancelled":
      return { op, rid };
    case "welcome": {
      const bytes = buffers.get("picture");
      if (!bytes) throw unexpected("a picture in welcome", bytes);
      // a copy: a Blob takes no view of shared memory, and the host may reuse its own
      return { op, rid, image: whole(raw, "image", 0), picture: new Blob([bytes.slice()], { type: text(raw, "format") }) };
    }
    case "prediction": {
      const classes = list(raw, "classes").map(classRow);
      return { op, rid, model: whole(raw, "model", 0), image: whole(raw, "image", 0), classes };
    }
    case "classes":
      return { op, rid, classes: list(raw, "classes").map(classRow) };
    case "what_if":
    case "curve":
    case "described":
    case "configured":
    case "code":
    case "taken":
      return { op: "answer", rid, raw };
    case "stale":
      return { op, rid, model: whole(raw, "model", 0), image: whole(raw, "image", 0) };
    case "warning":
      return { op, rid, model: whole(raw, "model", 0), image: whole(raw, "image", 0), text: text(raw, "text") };
    case "pace":
      return { op, rid, model: whole(raw, "model", 0), image: whole(raw, "image", 0), seconds: object(raw["seconds"], "seconds") };
    case "progress": {
      const left = raw["seconds_left"];
      const secondsLeft = typeof left === "number" ? left : null;
      return { op, rid, done: number(raw, "done"), total: number(raw, "total"), secondsLeft };
    }
    case "partial":
      return { op, rid, explained: explained(object(raw["result"], "result"), buffers, number(raw, "share")) };
    case "result":
      return { op, rid, explained: explained(object(raw["result"], "result"), buffers, 1) };
    case "error":
      return {
        op,
        rid,
        failure: { kind: text(raw, "kind"), message: text(raw, "message"), details: text(raw, "details", "") },
      };
    default:
      throw unexpected("a known op", op);
  }
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
    model: whole(raw, "model", 0),
    image: whole(raw, "image", 0),
    label: text(raw, "label", ""),
    caption: text(raw, "caption", ""),
    quality: text(raw, "quality", ""),
    shape: [height, width],
    place: placeOf(raw["place"]),
    sign: signOf(raw["sign"]),
    calls: number(raw, "calls", 0),
    seconds: number(raw, "seconds", 0),
    layer: typeof raw["layer"] === "string" ? raw["layer"] : null,
    notes: Array.isArray(raw["notes"]) ? raw["notes"].map(String) : [],
    regions: Array.isArray(raw["regions"]) ? raw["regions"].map(region) : null,
  };
}

function placeOf(value: unknown): Result["place"] {
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

export function classRow(value: unknown): ClassRow {
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
