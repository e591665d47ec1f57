/** Parses the answers to requests of panels, as messages.ts parses the other messages. */

import type { Curve, Described, ParameterSpec, ParameterValues, WhatIf } from "../core/result.ts";
import type { Requests } from "./commands.ts";
import { classRows, list, number, object, text } from "./messages.ts";
import { unexpected, type Raw } from "./packet.ts";

/** By the `op` of the request. Each throws an Error that names what was expected and what came. */
export const ANSWERS: { readonly [Op in keyof Requests]: (raw: Raw) => Requests[Op]["answer"] } = {
  what_if: whatIf, curve, describe: described, code: (raw) => text(raw, "text"), configure: String, picture: String,
};

export function whatIf(raw: Raw): WhatIf {
  return { only: classRows(raw, "only"), without: classRows(raw, "without"), area: number(raw, "area") };
}

export function curve(raw: Raw): Curve {
  const line = (name: string): readonly number[] => {
    const heights = list(raw, name);
    if (heights.length === list(raw, "shares").length && heights.every(Number.isFinite)) return heights as readonly number[];
    throw unexpected(`${name} to be as many numbers as shares`, heights);
  };
  return {
    shares: line("shares"), insertion: line("insertion"), deletion: line("deletion"),
    insertionAuc: number(raw, "insertion_auc"), deletionAuc: number(raw, "deletion_auc"),
    ofValues: raw["measure"] === "value",
  };
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
