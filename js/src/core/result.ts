/** Results of the kernel: maps, classes, what-if answers, verdicts, descriptions of methods. Names follow docs/widget-protocol.md. */

import type { Cell } from "./cell.ts";

export type Sign = "absolute" | "positive" | "signed";

export interface ClassRow {
  readonly index: number;
  readonly label: string;
  /** NaN where the model's outputs are values in a unit of their own. */
  readonly probability: number;
  readonly value?: number;
}

export interface Region {
  readonly gain: number;
  readonly area: number;
  readonly cumulative: number;
}

export interface Result extends Cell {
  readonly label: string;
  readonly caption: string;
  readonly quality: string;
  readonly shape: readonly [height: number, width: number];
  /** Placement of the map in the image, in pixels of the image; it may extend beyond it. */
  readonly place: readonly [x: number, y: number, width: number, height: number];
  readonly sign: Sign;
  /** Images that the model evaluated. */
  readonly images: number;
  /** Images that a verdict on it evaluates; null where that is not known. */
  readonly check: VerdictImages | null;
  readonly seconds: number;
  readonly layer: string | null;
  readonly notes: readonly string[];
  readonly regions: readonly Region[] | null;
  readonly concern: Concern | null;
}

/** Why a result is poor. */
export interface Concern {
  readonly sentence: string;
  /** One change of the method that improves it: the label of a button, and the parameters that it changes. */
  readonly remedy: { readonly label: string; readonly fields: ParameterValues } | null;
}

/** A result with its maps. */
export interface Explained {
  readonly result: Result;
  /** Share of the work that is done; a partial result has less than 1. */
  readonly share: number;
  readonly values: Float32Array;
  readonly valuesTable: Float32Array;
  readonly magnitude: Float32Array | null;
  readonly magnitudeTable: Float32Array | null;
  /** Rank of the region that holds the pixel; 65535 = none. */
  readonly step: Uint16Array | null;
  /** The model's weights have changed since. */
  readonly stale: boolean;
}

export interface Failure {
  readonly kind: string;
  readonly message: string;
  readonly details: string;
}

/** The model's classes for the selection alone, and for the image without it. */
export interface WhatIf {
  readonly only: readonly ClassRow[];
  readonly without: readonly ClassRow[];
  /** Share of the pixels that is selected. */
  readonly area: number;
  /** Interpolated from the insertion and deletion curves: the model did not evaluate this selection. */
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

/** Images evaluated for the map, for random maps (once for a class, model and image), and by running the method again. */
export type VerdictImages = readonly [map: number, random: number, reruns: number];

/** Whether the model supports a map: measurements, compared with those of random maps. */
export interface Verdict {
  /** Null where it is undecided. */
  readonly supported: boolean | null;
  /** Maps of one class, model and image are ordered by it; null where it is undefined. */
  readonly strength: number | null;
  readonly sentence: string;
  /** The explained class or value. */
  readonly label: string;
  /** Whether the model's values are probabilities. */
  readonly percent: boolean;
  readonly measures: readonly Measure[];
  readonly images: VerdictImages;
  readonly notes: readonly string[];
  /** Whether all measurements were made. */
  readonly finished: boolean;
}

export interface Measure {
  readonly title: string;
  /** What high and low values mean. */
  readonly advice: string;
  /** Whether the verdict depends on it. */
  readonly decides: boolean;
  /** Null where it is undefined: `reason` says why. */
  readonly value: number | null;
  readonly reason: string;
  /** The interval of random maps; null where there is none. */
  readonly low: number | null;
  readonly high: number | null;
  /** The model's values over the share of removed pixels, by what is removed first. */
  readonly curves: readonly { readonly name: string; readonly at: readonly number[]; readonly values: readonly number[] }[];
  /** The same of random maps. */
  readonly band: { readonly at: readonly number[]; readonly low: readonly number[]; readonly high: readonly number[] } | null;
}

/** A small set of segments without which the answer changes, or that is enough for it. */
export interface Change {
  readonly sentence: string;
  /** The explained class or value. */
  readonly label: string;
  /** Whether the model's values are probabilities. */
  readonly percent: boolean;
  /** The probability, or value, for the picture and for the changed picture. */
  readonly before: number;
  readonly after: number;
  /** Images that were evaluated. */
  readonly images: number;
  readonly notes: readonly string[];
  /** The set that was found, and others of the same size, as manual selections. */
  readonly sets: readonly { readonly shape: readonly [height: number, width: number]; readonly runs: readonly number[] }[];
}

/** The channels of a layer with the largest attributions, the largest first. */
export interface Channels {
  readonly layer: string;
  /** The layers that can be chosen. */
  readonly layers: readonly string[];
  /** The explained class or value. */
  readonly label: string;
  /** Number of channels of the layer. */
  readonly count: number;
  /** Images that were evaluated. */
  readonly images: number;
  readonly notes: readonly string[];
  /** Share: the absolute sum, as a share of those of all channels. */
  readonly channels: readonly { readonly index: number; readonly sum: number; readonly share: number }[];
  /** Their maps, each from −127 to 127 by its own largest absolute value; null for a layer without a grid. */
  readonly maps: ChannelMaps | null;
}

export interface ChannelMaps extends Pick<Result, "shape" | "place"> {
  /** One map after the other. */
  readonly levels: Int8Array;
}

/** The concepts of a layer, by their effect on the score of the class, for one picture. */
export interface Concepts {
  readonly layer: string;
  /** The layers that can be chosen. */
  readonly layers: readonly string[];
  /** The explained class or value. */
  readonly label: string;
  /** Number of random sets, and the level of the test. */
  readonly sets: number;
  readonly alpha: number;
  readonly notes: readonly string[];
  readonly concepts: readonly Concept[];
  /** Where the values point in each concept's direction, as the maps of channels; null for a layer without a grid. */
  readonly maps: ChannelMaps | null;
}

export interface Concept {
  readonly name: string;
  /** Mean derivative in the concept's direction, as a share of the gradient's length. */
  readonly sensitivity: number;
  /** The interval of 95 % of random sets. */
  readonly low: number;
  readonly high: number;
  /** Two-sided, multiplied by the number of tests. */
  readonly p: number;
  readonly significant: boolean;
  /** Of the classifiers on held-out images, 0.5 for chance. */
  readonly accuracy: number;
}

/** The training images with the largest influence on an answer. */
export interface Examples {
  /** The explained class or value. */
  readonly label: string;
  /** The estimator of the influence, and what a score is. */
  readonly method: string;
  readonly unit: string;
  /** Number of training images. */
  readonly count: number;
  readonly notes: readonly string[];
  /** Those for the answer, with positive scores, then those against it; each with the largest first. */
  readonly examples: readonly Example[];
}

export interface Example {
  readonly name: string;
  /** The label that it was trained with. */
  readonly label: string;
  readonly score: number;
  /** The model's loss on it. */
  readonly loss: number;
  /** A JPEG file; null where the images cannot be read again. */
  readonly picture: Blob | null;
  readonly size: readonly [height: number, width: number];
  /** What the shown picture shares with it, and what it shares with the picture, each on the whole of it; null where there are no maps. */
  readonly shared: readonly [Shared, Shared] | null;
}

export interface Shared {
  readonly shape: readonly [height: number, width: number];
  /** From 0 to 255, the most alike. */
  readonly levels: Uint8Array;
}

export type ParameterValue = number | string | boolean | readonly string[] | null;
export type ParameterValues = Readonly<Record<string, ParameterValue>>;

/** One parameter of a method. */
export interface ParameterSpec {
  readonly name: string;
  readonly kind: "whole" | "number" | "flag" | "choice" | "names" | "text" | "fixed";
  readonly value: ParameterValue;
  readonly default: ParameterValue;
  readonly optional: boolean;
  /** The value that null stands for, where it is known. */
  readonly automatic?: string;
  readonly low: number | null;
  readonly high: number | null;
  readonly choices: readonly string[] | null;
  readonly help: string;
}

/** A method with its parameters, and the cost of a run with them. */
export interface Described {
  readonly about: string;
  readonly advice: string;
  readonly paper: string;
  readonly fields: readonly ParameterSpec[];
  readonly presets: readonly { readonly name: string; readonly fields: ParameterValues; readonly cost: number }[];
  /** 0 where the cost is known only during the run: `beyond` names what it depends on. */
  readonly cost: number;
  readonly beyond?: string;
  readonly seconds: number | null;
  readonly problem: string;
}
