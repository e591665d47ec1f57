/** What the kernel says, checked: a message that does not hold what docs/widget-protocol.md promises throws here and nowhere later. */

import { floatsOf, shortsOf, unexpected, type Buffers, type Message, type Raw } from "./packet.ts";
import type { ClassRow, Explained, Failure, Region, Result, Sign } from "./state.ts";

export type Reply = { readonly rid: string } & (
  | { readonly op: "accepted" | "cancelled" }
  | { readonly op: "welcome"; readonly image: number; readonly picture: Blob }
  | { readonly op: "prediction"; readonly model: number; readonly image: number; readonly classes: readonly ClassRow[] }
  | { readonly op: "classes"; readonly classes: readonly ClassRow[] }
  | { readonly op: "stale"; readonly model: number; readonly image: number }
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
      return { op, rid, image: number(raw, "image", 0), picture: new Blob([bytes.slice()], { type: text(raw, "format") }) };
    }
    case "prediction": {
      const classes = list(raw, "classes").map(classRow);
      return { op, rid, model: number(raw, "model", 0), image: number(raw, "image", 0), classes };
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
      return { op, rid, model: number(raw, "model", 0), image: number(raw, "image", 0) };
    case "pace":
      return { op, rid, model: number(raw, "model", 0), image: number(raw, "image", 0), seconds: object(raw["seconds"], "seconds") };
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
  const shape = list(raw, "shape");
  const [height, width] = shape;
  if (typeof height !== "number" || typeof width !== "number" || height < 1 || width < 1) {
    throw unexpected("shape [h, w]", shape);
  }
  return {
    method: text(raw, "method"),
    target: number(raw, "target"),
    model: number(raw, "model", 0),
    image: number(raw, "image", 0),
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
  const [x, y, width, height] = Array.isArray(value) ? (value as unknown[]) : [];
  if (typeof x === "number" && typeof y === "number" && typeof width === "number" && typeof height === "number") return [x, y, width, height];
  throw unexpected("place [x, y, width, height]", value);
}

function signOf(value: unknown): Sign {
  return value === "positive" || value === "signed" ? value : "absolute";
}

function region(value: unknown): Region {
  const raw = object(value, "region");
  return { gain: number(raw, "gain"), area: number(raw, "area"), cumulative: number(raw, "cumulative") };
}

function classRow(value: unknown): ClassRow {
  const raw = object(value, "class");
  return { index: number(raw, "index"), label: text(raw, "label"), probability: number(raw, "probability") };
}

function sized<A extends Float32Array | Uint16Array>(array: A, length: number, name: string): A {
  if (array.length !== length) throw unexpected(`${length} numbers in ${name}`, array.length);
  return array;
}

function object(value: unknown, name: string): Raw {
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

const list = fields<readonly unknown[]>("a list", (value) => Array.isArray(value));
const text = fields("text", (value) => typeof value === "string");
const number = fields("a number", (value) => typeof value === "number");
