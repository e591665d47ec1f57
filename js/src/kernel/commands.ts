import type { Raw } from "./packet.ts";
import type { Cell } from "../core/state.ts";

/** What a view may ask of the kernel. */
export interface Commands {
  /** Have a cell computed, unless it is there, on its way or impossible; after a failure or a change of weights only `again`. */
  compute(cell: Cell, again?: boolean): void;
  cancel(cell: Cell): void;
  /** Find classes by their label. */
  search(query: string): void;
  /** Ask what only the asker wants to know: no state depends on it. */
  readonly request: (op: string, fields: Raw, options?: Options) => Request;
  /** Where no kernel answers: stored answers to requests with these fields, each with the request as `asked`. */
  readonly recall: (op: string, fields: Raw) => readonly Stored[];
}

export type Stored = Raw & { readonly asked: Raw };

export interface Options {
  readonly progress?: (share: number) => void;
  readonly buffers?: readonly ArrayBuffer[];
}

export interface Request {
  /** Rejects with a `Refusal`; never settles once it was cancelled. */
  readonly answer: Promise<Raw>;
  readonly cancel: () => void;
}
