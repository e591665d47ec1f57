/** Answers to questions that a panel asks on its own, checked as messages.ts checks the others. */

import type { Raw } from "./packet.ts";
import type { ClassRow } from "./state.ts";

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
  const { only, without, area } = raw;
  if (!Array.isArray(only) || !Array.isArray(without) || typeof area !== "number") throw new Error("expected what_if to have only, without and area");
  return { only: only as ClassRow[], without: without as ClassRow[], area };
}

export function curve(raw: Raw): Curve {
  const lines = [raw["shares"], raw["insertion"], raw["deletion"]].map((line) => {
    if (!Array.isArray(line) || !line.every((each) => typeof each === "number")) throw new Error("expected curves to be numbers");
    return line;
  });
  const [shares, insertion, deletion] = lines as [number[], number[], number[]];
  if (insertion.length !== shares.length || deletion.length !== shares.length) throw new Error("expected curves of one length");
  return { shares, insertion, deletion, insertionAuc: Number(raw["insertion_auc"]), deletionAuc: Number(raw["deletion_auc"]) };
}

/** What the curves of an explanation say of a share of its pixels, of the explained class alone. */
export function readAt({ shares, insertion, deletion }: Curve, area: number, row: Omit<ClassRow, "probability">): WhatIf {
  const next = Math.max(shares.findIndex((share) => share >= area), 1);
  const [from = 0, to = 1] = [shares[next - 1], shares[next]];
  const at = (heights: readonly number[]): readonly ClassRow[] => {
    const [before = 0, after = 0] = [heights[next - 1], heights[next]];
    return [{ ...row, probability: before + ((area - from) / (to - from)) * (after - before) }];
  };
  return { only: at(insertion), without: at(deletion), area, read: true };
}

export function described(raw: Raw): Described {
  if (!Array.isArray(raw["fields"]) || !Array.isArray(raw["presets"])) throw new Error("expected described to have fields and presets");
  return raw as unknown as Described;
}

/** The fields that are not what they are by default. */
export function differing(fields: readonly Field[]): Fields {
  const changed = fields.filter((field) => JSON.stringify(field.value) !== JSON.stringify(field.default));
  return Object.fromEntries(changed.map((field) => [field.name, field.value]));
}
