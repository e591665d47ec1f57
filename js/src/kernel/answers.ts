/** Answers to questions that a panel asks on its own, checked as messages.ts checks the others. */

import { classRow, list, number, object, text } from "./messages.ts";
import { unexpected, type Raw } from "./packet.ts";
import type { ClassRow } from "../core/state.ts";

export interface WhatIf {
  readonly only: readonly ClassRow[];
  readonly without: readonly ClassRow[];
  readonly area: number;
  /** The model was not asked about this very selection: two numbers read from the curves. */
  readonly read?: boolean;
}

export interface Curve {
  readonly shares: readonly number[];
  readonly insertion: readonly number[];
  readonly deletion: readonly number[];
  readonly insertionAuc: number;
  readonly deletionAuc: number;
  /** Whether heights are values in the model's own unit, not probabilities. */
  readonly ofValues?: boolean;
}

export type FieldValue = number | string | boolean | readonly string[] | null;
export type Fields = Readonly<Record<string, FieldValue>>;

export interface Field {
  readonly name: string;
  readonly kind: "whole" | "number" | "flag" | "choice" | "names" | "text" | "fixed";
  readonly value: FieldValue;
  readonly default: FieldValue;
  readonly optional: boolean;
  /** What null stands for, where that is known. */
  readonly automatic?: string;
  readonly low: number | null;
  readonly high: number | null;
  readonly choices: readonly string[] | null;
  readonly help: string;
}

export interface Described {
  readonly about: string;
  readonly advice: string;
  readonly paper: string;
  readonly fields: readonly Field[];
  readonly presets: readonly { readonly name: string; readonly fields: Fields; readonly cost: number }[];
  /** 0 where only the model's answer can tell: `beyond` says what it depends on. */
  readonly cost: number;
  readonly beyond?: string;
  readonly seconds: number | null;
  readonly problem: string;
}

export function whatIf(raw: Raw): WhatIf {
  return { only: list(raw, "only").map(classRow), without: list(raw, "without").map(classRow), area: number(raw, "area") };
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

/** What the curves of an explanation say of a share of its pixels, of the explained class alone. */
export function readAt({ shares, insertion, deletion, ofValues }: Curve, area: number, row: Omit<ClassRow, "probability">): WhatIf {
  const next = Math.max(shares.findIndex((share) => share >= area), 1);
  const [from = 0, to = 1] = [shares[next - 1], shares[next]];
  const at = (heights: readonly number[]): readonly ClassRow[] => {
    const [before = 0, after = 0] = [heights[next - 1], heights[next]];
    const height = before + ((area - from) / (to - from)) * (after - before);
    return [ofValues ? { ...row, probability: NaN, value: height } : { ...row, probability: height }];
  };
  return { only: at(insertion), without: at(deletion), area, read: true };
}

const KINDS = ["whole", "number", "flag", "choice", "names", "text", "fixed"] as const satisfies readonly Field["kind"][];

export function described(raw: Raw): Described {
  return {
    about: text(raw, "about", ""), advice: text(raw, "advice", ""), paper: text(raw, "paper", ""), problem: text(raw, "problem", ""), beyond: text(raw, "beyond", ""),
    fields: list(raw, "fields").map(field),
    presets: list(raw, "presets").map((each) => {
      const preset = object(each, "preset");
      return { name: text(preset, "name"), fields: object(preset["fields"], "fields") as Fields, cost: number(preset, "cost") };
    }),
    cost: number(raw, "cost"),
    seconds: typeof raw["seconds"] === "number" ? raw["seconds"] : null,
  };
}

function field(value: unknown): Field {
  const raw = object(value, "field");
  text(raw, "name");
  if (!KINDS.some((kind) => kind === raw["kind"])) throw unexpected(`kind to be one of ${KINDS.join(", ")}`, raw["kind"]);
  if (raw["choices"] != null) list(raw, "choices");
  return raw as unknown as Field;
}

/** The fields that are not what they are by default. */
export function differing(fields: readonly Field[]): Fields {
  const changed = fields.filter((field) => JSON.stringify(field.value) !== JSON.stringify(field.default));
  return Object.fromEntries(changed.map((field) => [field.name, field.value]));
}
