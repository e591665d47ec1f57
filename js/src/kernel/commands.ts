/** The requests that panels may send to the kernel. */

import type { ChangeKind, ChannelMethod, WhatIfRequest } from "../core/answers.ts";
import type { Cell } from "../core/cell.ts";
import type { Brushed } from "../core/settings.ts";
import type { Change, Channels, Concepts, Curve, Described, Examples, Failure, ParameterValues, Verdict, WhatIf } from "../core/result.ts";
import type { ItemsMessage } from "../core/state.ts";

export interface Commands {
  /** Compute a cell, unless it is there, running or unsupported; after a failure or a change of weights only `again`. */
  compute(cell: Cell, again?: boolean): void;
  cancel(cell: Cell): void;
  /** Search classes by their label; the result stands in the state. */
  search(query: string): void;
  /** The panels of the second module, by name; it is loaded once. Rejects with an Error whose message is a sentence for users. */
  more(): Promise<Readonly<Record<string, unknown>>>;
  /** Send a request whose answer goes to the caller. */
  request<Op extends keyof Requests>(op: Op, fields: Requests[Op]["fields"], options?: Options<Requests[Op]["answer"]>): Request<Requests[Op]["answer"]>;
}

/** By `op`: the fields of a request, and what its answer holds. */
export interface Requests {
  readonly what_if: { readonly fields: WhatIfRequest; readonly answer: WhatIf };
  readonly curve: { readonly fields: Cell & { readonly fill: string }; readonly answer: Curve };
  readonly check: { readonly fields: Cell; readonly answer: Verdict };
  readonly change: { readonly fields: Cell & { readonly kind: ChangeKind; readonly fill: string; readonly to: number | null }; readonly answer: Change };
  readonly channels: { readonly fields: Cell & { readonly layer: string; readonly by: ChannelMethod }; readonly answer: Channels };
  readonly concepts: { readonly fields: Cell & { readonly layer: string; readonly brushed: readonly Brushed[] }; readonly answer: Concepts };
  readonly examples: { readonly fields: Cell; readonly answer: Examples };
  readonly film: { readonly fields: Cell & { readonly fill: string; readonly encoding: "gif" | "frames" }; readonly answer: ItemsMessage };
  readonly detail: { readonly fields: { readonly image: number; readonly box: readonly number[]; readonly width: number }; readonly answer: ItemsMessage };
  readonly describe: { readonly fields: OfMethod; readonly answer: Described };
  readonly configure: { readonly fields: OfMethod; readonly answer: unknown };
  readonly code: { readonly fields: Cell; readonly answer: string };
  readonly items: { readonly fields: { readonly images: readonly number[]; readonly model: number; readonly method: string }; readonly answer: unknown };
  readonly order: { readonly fields: OrderRequest; readonly answer: ItemsMessage };
  readonly open: { readonly fields: { readonly image: number }; readonly answer: unknown };
  readonly predict: { readonly fields: { readonly model: number }; readonly answer: unknown };
  readonly picture: { readonly fields: { readonly name: string }; readonly answer: unknown };
}

/** An order of the gallery's pictures. */
export interface OrderRequest {
  readonly model: number;
  readonly method: string;
  readonly sort: string;
  readonly descending: boolean;
  readonly show: string;
  readonly query: string;
  /** The picture whose nearest are listed. */
  readonly near: number | null;
}

interface OfMethod {
  readonly method: string;
  readonly fields: ParameterValues;
}

export interface Options<T> {
  readonly progress?: (share: number) => void;
  /** Called with answers that others follow. */
  readonly partial?: (answer: T) => void;
  readonly buffers?: readonly ArrayBuffer[];
}

export interface Request<T> {
  /** Rejects with a `Refusal`; never settles after `cancel`. */
  readonly answer: Promise<T>;
  readonly cancel: () => void;
}

/** An error that the kernel reported. */
export class Refusal extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.name = failure.kind;
    this.failure = failure;
  }
}

/** Return whatever was thrown as a failure to be shown. */
export function failureOf(reason: unknown): Failure {
  if (reason instanceof Refusal) return reason.failure;
  return { kind: "Error", message: reason instanceof Error ? reason.message : String(reason), details: "" };
}
