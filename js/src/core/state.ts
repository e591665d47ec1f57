/** Everything the screen depends on, but for what belongs to one view (glance.ts). */

import type { Cell } from "./cell.ts";
import type { Change, Channels, ClassRow, Concepts, Curve, Described, Examples, Explained, Failure, Verdict, WhatIf } from "./result.ts";
import type { ChangedParameters, Settings, Spec } from "./settings.ts";

/** `waiting`: no answer yet · `live`: a kernel answers · `packed`: showing what was stored, no kernel. */
export type Link = "waiting" | "live" | "packed";

export interface Job {
  readonly rid: string;
  readonly done: number;
  readonly total: number;
  readonly secondsLeft: number | null;
}

export interface Answers {
  /** By the request as JSON. */
  readonly whatIfs: ReadonlyMap<string, WhatIf>;
  /** By fill; null where they failed. */
  readonly curves: ReadonlyMap<string, Curve | null>;
  /** Partial while it is measured; null where it failed. */
  readonly verdict?: Verdict | null;
  /** By `changeKey`. */
  readonly changes?: ReadonlyMap<string, Change>;
  /** By `channelsKey`. */
  readonly channels?: ReadonlyMap<string, Channels>;
  /** By `conceptsKey`. */
  readonly concepts?: ReadonlyMap<string, Concepts>;
  /** The training images for and against the answer. */
  readonly examples?: Examples;
}

/** A message with pictures of the gallery, which its panel parses. */
export interface ItemsMessage {
  readonly raw: Readonly<Record<string, unknown>>;
  readonly buffers: ReadonlyMap<string, Uint8Array>;
}

export interface State {
  readonly spec: Spec;
  readonly shown: Settings;
  /** The settings of Python, or on the way to it; `shown` is copied here when a gesture ends. */
  readonly saved: Settings;
  /** The settings that Reset restores. */
  readonly initial: Settings;
  /** Earlier settings, the last one first undone; and those that were undone. */
  readonly past: readonly Settings[];
  readonly undone: readonly Settings[];
  readonly link: Link;
  /** By the index of the image. */
  readonly pictures: ReadonlyMap<number, Blob>;
  /** The best classes and those that were looked up, by `pairOf`. */
  readonly predictions: ReadonlyMap<string, readonly ClassRow[]>;
  readonly found: readonly ClassRow[];
  /** Warnings about the preprocessing of an image for a model, by `pairOf`. */
  readonly warnings: ReadonlyMap<string, string>;
  /** The estimated seconds of each method, by `pairOf` and its id. */
  readonly paces: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  /** By `keyOf`, as are the two after it. */
  readonly jobs: ReadonlyMap<string, Job>;
  readonly explained: ReadonlyMap<string, Explained>;
  readonly failures: ReadonlyMap<string, Failure>;
  /** By `keyOf`: answers about the result that is there now. */
  readonly answers: ReadonlyMap<string, Answers>;
  /** A result that nobody requested, computed while the model was idle; null where there is none. */
  readonly ready: Cell | null;
  /** Stored descriptions of methods, by `descriptionKey`. */
  readonly descriptions: ReadonlyMap<string, Described>;
  /** By the id of a method, the fields that are not as it was offered. */
  readonly parameters: ChangedParameters;
  /** The code of the second module, compressed, once it has arrived. */
  readonly code: Uint8Array | null;
  /** The last pictures of the gallery that arrived. */
  readonly items: ItemsMessage | null;
  /** The kernel is busy with something else, was restarted, or is gone. */
  readonly silent: boolean;
  /** The failure outside any method, e.g. while predicting. */
  readonly trouble: Failure | null;
}

export function initialState(spec: Spec, settings: Settings): State {
  return {
    spec,
    shown: settings,
    saved: settings,
    initial: settings,
    past: [],
    undone: [],
    link: "waiting",
    pictures: new Map(),
    predictions: new Map(),
    found: [],
    warnings: new Map(),
    paces: new Map(),
    jobs: new Map(),
    explained: new Map(),
    failures: new Map(),
    answers: new Map(),
    ready: null,
    descriptions: new Map(),
    parameters: {},
    code: null,
    items: null,
    silent: false,
    trouble: null,
  };
}

/** The cell that the panels speak of. */
export function shownCell({ shown: { method, target, model_index, image_index } }: State): Cell {
  return { method, target, model: model_index, image: image_index };
}

export function descriptionKey(method: string, fields: object): string {
  return `${method}:${JSON.stringify(fields)}`;
}
