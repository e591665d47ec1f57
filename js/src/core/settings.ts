/** The settings of a widget, and what it is about. Names follow docs/widget-protocol.md. */

import type { Picked } from "./picked.ts";
import type { ParameterValues, Sign } from "./result.ts";

export type Mode = "heat" | "area";

/** The comparison: every combination of these. An axis that is missing or empty has only what is shown. */
export interface Grid {
  readonly methods?: readonly string[];
  readonly targets?: readonly number[];
  readonly models?: readonly number[];
  readonly images?: readonly number[];
}

export interface MethodSpec {
  readonly id: string;
  readonly name: string;
  /** Images evaluated; 0 = not known. */
  readonly cost: number;
  readonly paper: string;
  /** Its formula as plain text, and when to use it; empty or missing where there is none. */
  readonly formula?: string;
  readonly advice?: string;
  /** Its heading in the list; empty for methods before all headings. */
  readonly family?: string;
  /** Its standing on the leaderboard, 0 to 1; null or missing where it was not measured. */
  readonly standing?: number | null;
  /** For each model the reason why it does not support the method; empty where it does. */
  readonly lacks: readonly string[];
}

/** A mask of a picture's map, as in `Picked`, under the name of a concept. */
export interface Brushed {
  readonly name: string;
  /** Index of the image. */
  readonly image: number;
  readonly shape: readonly [height: number, width: number];
  readonly runs: readonly number[];
}

export interface ImageSpec {
  readonly name: string;
  readonly size: readonly [height: number, width: number];
  /** The size of the picture in Python, where the one here is a smaller copy. */
  readonly full?: readonly [height: number, width: number];
}

export interface Spec {
  readonly title: string;
  readonly methods: readonly MethodSpec[];
  /** The names of the models; one at least. */
  readonly models: readonly string[];
  /** By their indices; in a gallery only those that are open. */
  readonly images: Readonly<Record<number, ImageSpec>>;
  readonly notes: readonly string[];
  /** Names of the concepts that Python gave. */
  readonly concepts?: readonly string[];
  /** For each model, whether its training images are known. */
  readonly index?: readonly boolean[];
  readonly gallery?: GallerySpec;
  /** Widgets of one page with the same group are linked. */
  readonly group?: string;
  /** Whether there is no model: maps were stored, and nothing new is computed. */
  readonly stored?: boolean;
}

/** What a gallery of many pictures offers. */
export interface GallerySpec {
  /** The number of pictures. */
  readonly count: number;
  /** What they can be sorted and filtered by: the key and its name. */
  readonly sorts: readonly (readonly [key: string, name: string])[];
  readonly shows: readonly (readonly [key: string, name: string])[];
  /** Whether the pictures with the nearest maps can be listed. */
  readonly nearest?: boolean;
}

/** The traits a person can change, each a word of the protocol. */
export interface Settings {
  readonly method: string;
  /** Index of a class; negative for the model's most likely one, until it is known. */
  readonly target: number;
  readonly model_index: number;
  readonly image_index: number;
  /** Empty: one picture. */
  readonly grid: Grid;
  readonly mode: Mode;
  readonly sign: Sign | "auto";
  readonly keep: number;
  readonly threshold: number;
  readonly opacity: number;
  readonly colormap: string;
  /** A colour is chosen by the value's share of the scale to this power. */
  readonly gamma: number;
  /** Whether colours run into each other between the cells of a map. */
  readonly smooth: boolean;
  /** Whether lines of equal value are drawn over the colours. */
  readonly contours: boolean;
  /** Whether all cells of a grid have one colour scale. */
  readonly scale: "own" | "shared";
  readonly region: number;
  /** The manual selection, instead of what `keep` or `region` keep. */
  readonly picked: Picked;
  /** The replacement of removed pixels. */
  readonly fill: string;
  /** The class that a smallest change is to lead to; negative for any other than the model's answer. */
  readonly change_to: number;
  /** Regions of pictures that are concepts. */
  readonly brushed: readonly Brushed[];
  /** Whether what-if requests follow the selection as it changes. */
  readonly live: boolean;
  /** Whether the gallery is shown instead of a picture. */
  readonly gallery: boolean;
}

export type ChangedParameters = Readonly<Record<string, ParameterValues>>;
