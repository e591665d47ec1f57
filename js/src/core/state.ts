/** Everything the screen depends on, and the only way it changes. The words are those of docs/widget-protocol.md. */

import { clamp } from "./geometry.ts";
import { including, without } from "./immutable.ts";
import type { Picked } from "./picked.ts";

export type Mode = "heat" | "area";
export type Sign = "absolute" | "positive" | "signed";

/** What one picture on the screen answers: which method, for which class, of which model, on which image. */
export interface Cell {
  readonly method: string;
  readonly target: number;
  readonly model: number;
  readonly image: number;
}

/** What is laid side by side: every combination of what is named here. An axis that is missing or empty has only what is shown. */
export interface Grid {
  readonly methods?: readonly string[];
  readonly targets?: readonly number[];
  readonly models?: readonly number[];
  readonly images?: readonly number[];
}

export interface MethodSpec {
  readonly id: string;
  readonly name: string;
  /** Model evaluations; 0 = not known. */
  readonly cost: number;
  readonly paper: string;
  /** Under which heading it stands; empty for those that stand before all headings. */
  readonly family?: string;
  /** For each model why it cannot, in one sentence; empty where it can. */
  readonly lacks: readonly string[];
}

export interface ImageSpec {
  readonly name: string;
  readonly size: readonly [height: number, width: number];
}

export interface Spec {
  readonly title: string;
  readonly methods: readonly MethodSpec[];
  /** The names of the models; one at least. */
  readonly models: readonly string[];
  readonly images: readonly ImageSpec[];
  readonly notes: readonly string[];
}

/** The traits a person can change, each a word of the protocol. */
export interface Settings {
  readonly method: string;
  /** Index of a class; negative for the one the model finds most likely, until it has said which. */
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
  /** What was selected by hand, instead of what `keep` or `region` keep. */
  readonly picked: Picked;
  /** What stands where pixels are taken away. */
  readonly fill: string;
  /** Whether the model is asked about the selection as it changes. */
  readonly live: boolean;
}

export interface ClassRow {
  readonly index: number;
  readonly label: string;
  readonly probability: number; readonly value?: number; // a value in the model's own unit has no probability: NaN
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
  /** Where the map lies in the picture, in picture pixels; may stick out. */
  readonly place: readonly [x: number, y: number, width: number, height: number];
  readonly sign: Sign;
  readonly calls: number;
  readonly seconds: number;
  readonly layer: string | null;
  readonly notes: readonly string[];
  readonly regions: readonly Region[] | null;
}

/** A result with its maps. */
export interface Explained {
  readonly result: Result;
  /** Share of the work behind it; less than 1 is a partial result. */
  readonly share: number;
  readonly values: Float32Array;
  readonly valuesTable: Float32Array;
  readonly magnitude: Float32Array | null;
  readonly magnitudeTable: Float32Array | null;
  /** Rank of the region that holds the pixel, 65535 = none. */
  readonly step: Uint16Array | null;
  /** The model's weights have changed since. */
  readonly stale: boolean;
}

export interface Job {
  readonly rid: string;
  readonly done: number;
  readonly total: number;
  readonly secondsLeft: number | null;
}

export interface Failure {
  readonly kind: string;
  readonly message: string;
  readonly details: string;
}

/** `waiting`: no answer yet · `live`: a kernel answers · `packed`: showing what was stored, no kernel. */
export type Link = "waiting" | "live" | "packed";

export interface State {
  readonly spec: Spec;
  readonly shown: Settings;
  /** What Python knows, or is about to be told: `shown` catches it up when a gesture ends. */
  readonly saved: Settings;
  /** What Reset goes back to. */
  readonly initial: Settings;
  readonly link: Link;
  /** By the index of the image. */
  readonly pictures: ReadonlyMap<number, Blob>;
  /** The best classes and those that were looked up, by `pairOf`. */
  readonly predictions: ReadonlyMap<string, readonly ClassRow[]>;
  readonly found: readonly ClassRow[];
  /** What may be wrong with how a model is fed an image, by `pairOf`. */
  readonly warnings: ReadonlyMap<string, string>;
  /** How long each method would take, by `pairOf` and its id. */
  readonly paces: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  /** By `keyOf`, as are the two after it. */
  readonly jobs: ReadonlyMap<string, Job>;
  readonly explained: ReadonlyMap<string, Explained>;
  readonly failures: ReadonlyMap<string, Failure>;
  /** By the id of a method, the fields that are not as it was offered. */
  readonly parameters: Parameters;
  /** The kernel is busy with something else, was restarted, or is gone. */
  readonly silent: boolean;
  /** What went wrong outside any method, e.g. while predicting. */
  readonly trouble: Failure | null;
}

export type Parameters = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export type Event =
  | { readonly kind: "spec"; readonly spec: Spec }
  | { readonly kind: "told"; readonly settings: Partial<Settings> }
  | { readonly kind: "set"; readonly settings: Partial<Settings> }
  | { readonly kind: "commit" }
  | { readonly kind: "reset" }
  | { readonly kind: "linked"; readonly link: Link; readonly image: number; readonly picture: Blob }
  | { readonly kind: "predicted"; readonly model: number; readonly image: number; readonly classes: readonly ClassRow[] }
  | { readonly kind: "found"; readonly classes: readonly ClassRow[] }
  | { readonly kind: "paced"; readonly model: number; readonly image: number; readonly seconds: Readonly<Record<string, unknown>> }
  | { readonly kind: "warning"; readonly model: number; readonly image: number; readonly text: string }
  | { readonly kind: "chosen"; readonly row: ClassRow }
  | { readonly kind: "started"; readonly key: string; readonly rid: string }
  | { readonly kind: "progress"; readonly rid: string; readonly job: Omit<Job, "rid"> }
  | { readonly kind: "explained"; readonly explained: Explained }
  | { readonly kind: "ended"; readonly rid: string }
  | { readonly kind: "failed"; readonly rid: string; readonly failure: Failure }
  | { readonly kind: "stale"; readonly model: number; readonly image: number }
  | { readonly kind: "parameters"; readonly parameters: Parameters }
  | { readonly kind: "silent"; readonly silent: boolean }
  | { readonly kind: "forgotten"; readonly keys: readonly string[] }
  | { readonly kind: "trouble"; readonly failure: Failure };

/** The target that stands for the class the model finds most likely. */
export const TOP = -1;

export function initialState(spec: Spec, settings: Settings): State {
  return {
    spec,
    shown: settings,
    saved: settings,
    initial: settings,
    link: "waiting",
    pictures: new Map(),
    predictions: new Map(),
    found: [],
    warnings: new Map(),
    paces: new Map(),
    jobs: new Map(),
    explained: new Map(),
    failures: new Map(),
    parameters: {},
    silent: false,
    trouble: null,
  };
}

export function update(state: State, event: Event): State {
  switch (event.kind) {
    case "spec":
      return { ...state, spec: event.spec };
    case "told":
      return told(state, event.settings);
    case "set": {
      const shown = changed(state.shown, inStep(state, event.settings));
      return shown === state.shown ? state : { ...state, shown };
    }
    case "commit":
      return state.saved === state.shown ? state : { ...state, saved: state.shown };
    case "reset": {
      const { method, target, model_index, image_index, grid, live } = state.shown;
      const settings = { ...state.initial, method, target, model_index, image_index, grid, live };
      return { ...state, shown: settings, saved: settings };
    }
    case "linked":
      return linked(state, event.link, event.image, event.picture);
    case "predicted":
      return predicted(state, event, event.classes);
    case "found":
      return { ...state, found: event.classes };
    case "paced":
      return { ...state, paces: including(state.paces, pairOf(event.model, event.image), event.seconds) };
    case "warning":
      return { ...state, warnings: including(state.warnings, pairOf(event.model, event.image), event.text) };
    case "chosen":
      return chosen(state, event.row);
    case "started": {
      const job = { rid: event.rid, done: 0, total: 0, secondsLeft: null };
      return { ...state, jobs: including(state.jobs, event.key, job), failures: without(state.failures, event.key) };
    }
    case "progress": {
      const key = keyOfJob(state, event.rid);
      return key === null ? state : { ...state, jobs: including(state.jobs, key, { rid: event.rid, ...event.job }) };
    }
    case "explained":
      return explained(state, event.explained);
    case "ended": {
      const key = keyOfJob(state, event.rid);
      return key === null ? state : { ...state, jobs: without(state.jobs, key) };
    }
    case "failed": {
      const key = keyOfJob(state, event.rid);
      if (key === null) return state;
      return { ...state, jobs: without(state.jobs, key), failures: including(state.failures, key, event.failure) };
    }
    case "stale":
      return { ...state, explained: marked(state.explained, event) };
    case "forgotten":
      return event.keys.length === 0 ? state : { ...state, explained: event.keys.reduce(without, state.explained) };
    case "parameters":
      return configured(state, event.parameters);
    case "silent":
      return state.silent === event.silent ? state : { ...state, silent: event.silent };
    case "trouble":
      return { ...state, trouble: event.failure };
  }
}

/** What other fields gave stays on the screen, but counts as provisional until these have given theirs. */
function configured(state: State, parameters: Parameters): State {
  const changed = (key: string): boolean => {
    const method = key.slice(0, key.indexOf(":"));
    return JSON.stringify(state.parameters[method] ?? {}) !== JSON.stringify(parameters[method] ?? {});
  };
  const keep = <V>(map: ReadonlyMap<string, V>): ReadonlyMap<string, V> => new Map([...map].filter(([key]) => !changed(key)));
  const provisional = [...state.explained].map(([key, one]) => [key, changed(key) ? { ...one, share: 0 } : one] as const);
  return { ...state, parameters, explained: new Map(provisional), jobs: keep(state.jobs), failures: keep(state.failures) };
}

/** A class that was looked up stands beside the best. */
function chosen(state: State, row: ClassRow): State {
  const pair = pairOf(state.shown.model_index, state.shown.image_index);
  const rows = state.predictions.get(pair) ?? [];
  if (rows.some(({ index }) => index === row.index)) return state;
  return { ...state, predictions: including(state.predictions, pair, [...rows, row]) };
}

function told(state: State, settings: Partial<Settings>): State {
  const shown = changed(state.shown, settings);
  const saved = changed(state.saved, settings);
  return shown === state.shown && saved === state.saved ? state : { ...state, shown, saved };
}

export function keyOf({ method, target, model, image }: Cell): string {
  return `${method}:${target}:${model}:${image}`;
}

/** What has one prediction: a model and an image. */
export function pairOf(model: number, image: number): string {
  return `${model}:${image}`;
}

/** The cell that the panels speak of. */
export function shownCell({ shown: { method, target, model_index, image_index } }: State): Cell {
  return { method, target, model: model_index, image: image_index };
}

/** What a model gave for an image, as no longer its own. */
function marked(explained: State["explained"], { model, image }: Pick<Cell, "model" | "image">): State["explained"] {
  return new Map([...explained].map(([key, one]) =>
    [key, one.result.model === model && one.result.image === image ? { ...one, stale: true } : one]));
}

/** Settings that belong together move together. */
function inStep(state: State, settings: Partial<Settings>): Partial<Settings> {
  return { ...ofOnePair(state, settings), ...ofOneArea(state, settings), ...ofOneSelection(state, settings) };
}

/** Regions and `keep` are two names of one choice: setting one moves the other. */
function ofOneArea(state: State, settings: Partial<Settings>): Partial<Settings> {
  const regions = state.explained.get(keyOf(shownCell(state)))?.result.regions;
  if (settings.region !== undefined && regions) {
    const region = clamp(settings.region, 1, regions.length);
    return { ...settings, region, keep: Math.round((regions[region - 1]?.cumulative ?? 0) * 1000) / 10 };
  }
  return settings.keep === undefined ? settings : { ...settings, region: 0 };
}

/** Whoever moves a slider wants to see what it selects. */
function ofOneSelection({ shown }: State, { keep, region, picked }: Partial<Settings>): Partial<Settings> {
  const moved = picked === undefined && (keep !== undefined || region !== undefined);
  return moved && Object.keys(shown.picked).length > 0 ? { picked: {} } : {};
}

/** Where the top class was explained, another image or model has its own top class explained. */
function ofOnePair({ shown, predictions }: State, settings: Partial<Settings>): Partial<Settings> {
  const { model_index = shown.model_index, image_index = shown.image_index, target } = settings;
  const moves = model_index !== shown.model_index || image_index !== shown.image_index;
  const top = predictions.get(pairOf(shown.model_index, shown.image_index))?.[0]?.index;
  if (!moves || target !== undefined || shown.target !== top) return settings;
  return { ...settings, target: predictions.get(pairOf(model_index, image_index))?.[0]?.index ?? TOP };
}

/** A negative target stands for the class the model finds most likely: now it is known. */
function predicted(state: State, { model, image }: Pick<Cell, "model" | "image">, classes: readonly ClassRow[]): State {
  const news = { ...state, predictions: including(state.predictions, pairOf(model, image), classes) };
  const { target, model_index, image_index } = state.shown;
  const best = target < 0 && model === model_index && image === image_index ? classes[0] : undefined;
  return best ? told(news, { target: best.index }) : news;
}

/** Stored results stay on the screen when a kernel turns up, but count as provisional until it sends its own. */
function linked(state: State, link: Link, image: number, picture: Blob): State {
  if (link === "packed" && state.link === "live") return state;
  const takesOver = link === "live" && state.link === "packed";
  const results = takesOver
    ? new Map([...state.explained].map(([key, one]) => [key, { ...one, share: 0 }] as const))
    : state.explained;
  return { ...state, link, pictures: including(state.pictures, image, picture), explained: results };
}

/** Partial results never replace a whole one; a whole one ends its job. */
function explained(state: State, news: Explained): State {
  const key = keyOf(news.result);
  const whole = news.share >= 1;
  if (!whole && (state.explained.get(key)?.share ?? 0) >= 1) return state;
  return {
    ...state,
    explained: including(state.explained, key, news),
    jobs: whole ? without(state.jobs, key) : state.jobs,
    failures: whole ? without(state.failures, key) : state.failures,
  };
}

function keyOfJob(state: State, rid: string): string | null {
  for (const [key, job] of state.jobs) if (job.rid === rid) return key;
  return null;
}

/** The same object where nothing changes, so that "did it change" is one comparison. */
function changed(settings: Settings, patch: Partial<Settings>): Settings {
  const names = Object.keys(patch) as (keyof Settings)[];
  return names.every((name) => Object.is(settings[name], patch[name])) ? settings : { ...settings, ...patch };
}
