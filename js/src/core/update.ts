/** The only way the state changes: events, and one pure function. */

import type { WhatIfRequest } from "./answers.ts";
import { keyOf, pairOf, TOP, type Cell } from "./cell.ts";
import { clamp } from "./geometry.ts";
import { including, without } from "./immutable.ts";
import type { Change, Channels, ClassRow, Concepts, Curve, Described, Examples, Explained, Failure, ParameterValues, Verdict, WhatIf } from "./result.ts";
import type { ChangedParameters, Settings, Spec } from "./settings.ts";
import { descriptionKey, shownCell, type Answers, type ItemsMessage, type Job, type Link, type State } from "./state.ts";
import type { Store } from "./store.ts";

export type StateEvent =
  | { readonly kind: "spec"; readonly spec: Spec }
  | { readonly kind: "synced"; readonly settings: Partial<Settings> }
  | { readonly kind: "set"; readonly settings: Partial<Settings> }
  | { readonly kind: "commit" }
  | { readonly kind: "reset" }
  | { readonly kind: "undo" | "redo" }
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
  | { readonly kind: "ready"; readonly cell: Cell | null }
  | { readonly kind: "stale"; readonly model: number; readonly image: number }
  | { readonly kind: "parameters"; readonly parameters: ChangedParameters }
  | { readonly kind: "answered"; readonly about: Explained; readonly request: WhatIfRequest; readonly answer: WhatIf }
  | { readonly kind: "curve"; readonly about: Explained; readonly fill: string; readonly curve: Curve | null }
  | { readonly kind: "verdict"; readonly about: Explained; readonly verdict: Verdict | null }
  | { readonly kind: "change"; readonly about: Explained; readonly key: string; readonly change: Change }
  | { readonly kind: "channels"; readonly about: Explained; readonly key: string; readonly channels: Channels }
  | { readonly kind: "concepts"; readonly about: Explained; readonly key: string; readonly concepts: Concepts }
  | { readonly kind: "examples"; readonly about: Explained; readonly examples: Examples }
  | { readonly kind: "described"; readonly method: string; readonly fields: ParameterValues; readonly described: Described }
  | { readonly kind: "items"; readonly items: ItemsMessage }
  | { readonly kind: "code"; readonly code: Uint8Array }
  | { readonly kind: "silent"; readonly silent: boolean }
  | { readonly kind: "forgotten"; readonly keys: readonly string[] }
  | { readonly kind: "trouble"; readonly failure: Failure };

/** The number of changes that can be undone. */
const MOST_UNDONE = 100;

export function update(state: State, event: StateEvent): State {
  const next = (UPDATES[event.kind] as (state: State, event: StateEvent) => State)(state, event);
  return next.explained === state.explained ? next : withoutOldAnswers(next, state);
}

const UPDATES: { readonly [K in StateEvent["kind"]]: (state: State, event: Extract<StateEvent, { kind: K }>) => State } = {
  spec: (state, { spec }) => ({ ...(spec.gallery ? withoutClosed(state, spec) : state), spec }),
  items: (state, { items }) => ({ ...state, items }),
  synced: (state, { settings }) => synced(state, settings),
  set(state, { settings }) {
    const shown = changed(state.shown, coupled(state, settings));
    return shown === state.shown ? state : { ...state, shown };
  },
  commit: (state) => committed(state, state.shown),
  reset(state) {
    const { method, target, model_index, image_index, grid, mode, live, gallery, brushed } = state.shown;
    const settings = { ...state.initial, method, target, model_index, image_index, grid, mode, live, gallery, brushed };
    return committed(state, settings);
  },
  undo: (state) => restored(state, "past", "undone"),
  redo: (state) => restored(state, "undone", "past"),
  parameters: (state, { parameters }) => configured(state, parameters),

  linked: (state, { link, image, picture }) => linked(state, link, image, picture),
  code: (state, { code }) => ({ ...state, code }),
  silent: (state, { silent }) => (state.silent === silent ? state : { ...state, silent }),
  trouble: (state, { failure }) => ({ ...state, trouble: failure }),

  predicted: (state, event) => predicted(state, event, event.classes),
  found: (state, { classes }) => ({ ...state, found: classes }),
  chosen: (state, { row }) => chosen(state, row),
  paced: (state, { model, image, seconds }) => ({ ...state, paces: including(state.paces, pairOf(model, image), seconds) }),
  warning: (state, { model, image, text }) => ({ ...state, warnings: including(state.warnings, pairOf(model, image), text) }),

  started: (state, { key, rid }) => ({
    ...state, jobs: including(state.jobs, key, { rid, done: 0, total: 0, secondsLeft: null }), failures: without(state.failures, key),
  }),
  progress: (state, { rid, job }) => ofJob(state, rid, (key) => ({ ...state, jobs: including(state.jobs, key, { rid, ...job }) })),
  ended: (state, { rid }) => ofJob(state, rid, (key) => ({ ...state, jobs: without(state.jobs, key) })),
  failed: (state, { rid, failure }) =>
    ofJob(state, rid, (key) => ({ ...state, jobs: without(state.jobs, key), failures: including(state.failures, key, failure) })),

  explained: (state, event) => explained(state, event.explained),
  ready: (state, { cell }) => ({ ...state, ready: cell }),
  stale: (state, event) => ({ ...state, explained: marked(state.explained, event) }),
  forgotten: (state, { keys }) => (keys.length === 0 ? state : { ...state, explained: keys.reduce(without, state.explained) }),

  answered: (state, { about, request, answer }) =>
    answered(state, about, (old) => ({ ...old, whatIfs: newest(including(old.whatIfs, JSON.stringify(request), answer)) })),
  curve: (state, { about, fill, curve }) => answered(state, about, (old) => ({ ...old, curves: including(old.curves, fill, curve) })),
  verdict: (state, { about, verdict }) => answered(state, about, (old) => ({ ...old, verdict })),
  change: (state, { about, key, change }) => answered(state, about, (old) => ({ ...old, changes: including(old.changes ?? new Map<string, Change>(), key, change) })),
  channels: (state, { about, key, channels }) =>
    answered(state, about, (old) => ({ ...old, channels: including(old.channels ?? new Map<string, Channels>(), key, channels) })),
  concepts: (state, { about, key, concepts }) =>
    answered(state, about, (old) => ({ ...old, concepts: including(old.concepts ?? new Map<string, Concepts>(), key, concepts) })),
  examples: (state, { about, examples }) => answered(state, about, (old) => ({ ...old, examples })),
  described: (state, { method, fields, described }) =>
    ({ ...state, descriptions: including(state.descriptions, descriptionKey(method, fields), described) }),
};

function ofJob(state: State, rid: string, change: (key: string) => State): State {
  for (const [key, job] of state.jobs) if (job.rid === rid) return change(key);
  return state;
}

/** An answer about a result that was replaced meanwhile is dropped. */
function answered(state: State, about: Explained, add: (answers: Answers) => Answers): State {
  const key = keyOf(about.result);
  if (state.explained.get(key) !== about) return state;
  return { ...state, answers: including(state.answers, key, add(state.answers.get(key) ?? NO_ANSWERS)) };
}

const NO_ANSWERS: Answers = { whatIfs: new Map(), curves: new Map() };

/** A map whose weights have changed keeps its verdict, smallest changes, channels, concepts and training images, which are shown as outdated. */
function withoutOldAnswers(state: State, before: State): State {
  const valid = [...state.answers].flatMap(([key, answers]): readonly (readonly [string, Answers])[] => {
    const [now, was] = [state.explained.get(key), before.explained.get(key)];
    if (now === was) return [[key, answers]];
    return now?.stale && now.values === was?.values ? [[key, { ...answers, ...NO_ANSWERS }]] : [];
  });
  return { ...state, answers: new Map(valid) };
}

/** What-if answers that are kept for one result. */
const MOST_ANSWERS = 500;

function newest<V>(map: ReadonlyMap<string, V>): ReadonlyMap<string, V> {
  const [oldest] = map.keys();
  return map.size > MOST_ANSWERS && oldest !== undefined ? without(map, oldest) : map;
}

/** The state without the pictures of a gallery that were closed: the kernel has no results of them any more. */
function withoutClosed(state: State, { images }: Spec): State {
  const open = <V>(map: ReadonlyMap<string, V>): ReadonlyMap<string, V> =>
    new Map([...map].filter(([key]) => Number(key.slice(key.lastIndexOf(":") + 1)) in images));
  const pictures = new Map([...state.pictures].filter(([image]) => image in images));
  return pictures.size === state.pictures.size ? state : { ...state, pictures, predictions: open(state.predictions), explained: open(state.explained) };
}

/** Results of other parameters stay on the screen, but count as provisional until new ones arrive. */
function configured(state: State, parameters: ChangedParameters): State {
  const changed = (key: string): boolean => {
    const method = key.slice(0, key.indexOf(":"));
    return JSON.stringify(state.parameters[method] ?? {}) !== JSON.stringify(parameters[method] ?? {});
  };
  const keep = <V>(map: ReadonlyMap<string, V>): ReadonlyMap<string, V> => new Map([...map].filter(([key]) => !changed(key)));
  const provisional = [...state.explained].map(([key, one]) => [key, changed(key) ? { ...one, share: 0 } : one] as const);
  return { ...state, parameters, explained: new Map(provisional), jobs: keep(state.jobs), failures: keep(state.failures) };
}

/** A class that was searched for is listed with the best. */
function chosen(state: State, row: ClassRow): State {
  const pair = pairOf(state.shown.model_index, state.shown.image_index);
  const rows = state.predictions.get(pair) ?? [];
  if (rows.some(({ index }) => index === row.index)) return state;
  return { ...state, predictions: including(state.predictions, pair, [...rows, row]) };
}

function synced(state: State, settings: Partial<Settings>): State {
  const shown = changed(state.shown, settings);
  const saved = changed(state.saved, settings);
  return shown === state.shown && saved === state.saved ? state : { ...state, shown, saved };
}

/** Mark the results of a model for an image as stale. */
function marked(explained: State["explained"], { model, image }: Pick<Cell, "model" | "image">): State["explained"] {
  return new Map([...explained].map(([key, one]) =>
    [key, one.result.model === model && one.result.image === image ? { ...one, stale: true } : one]));
}

/** Add the settings that change with these. */
function coupled(state: State, settings: Partial<Settings>): Partial<Settings> {
  return { ...ofOnePair(state, settings), ...ofOneArea(state, settings), ...ofOneSelection(state, settings) };
}

/** `region` and `keep` are one choice: setting one changes the other. */
function ofOneArea(state: State, settings: Partial<Settings>): Partial<Settings> {
  const regions = state.explained.get(keyOf(shownCell(state)))?.result.regions;
  if (settings.region !== undefined && regions) {
    const region = clamp(settings.region, 1, regions.length);
    return { ...settings, region, keep: Math.round((regions[region - 1]?.cumulative ?? 0) * 1000) / 10 };
  }
  return settings.keep === undefined ? settings : { ...settings, region: 0 };
}

/** Moving a slider ends a manual selection. */
function ofOneSelection({ shown }: State, { keep, region, picked }: Partial<Settings>): Partial<Settings> {
  const moved = picked === undefined && (keep !== undefined || region !== undefined);
  return moved && Object.keys(shown.picked).length > 0 ? { picked: {} } : {};
}

/** Another image or model shows its own top class, if the top class is shown now. */
function ofOnePair({ shown, predictions }: State, settings: Partial<Settings>): Partial<Settings> {
  const { model_index = shown.model_index, image_index = shown.image_index, target } = settings;
  const moves = model_index !== shown.model_index || image_index !== shown.image_index;
  const top = predictions.get(pairOf(shown.model_index, shown.image_index))?.[0]?.index;
  if (!moves || target !== undefined || shown.target !== top) return settings;
  return { ...settings, target: predictions.get(pairOf(model_index, image_index))?.[0]?.index ?? TOP };
}

/** A negative target becomes the most likely class, which is known now. */
function predicted(state: State, { model, image }: Pick<Cell, "model" | "image">, classes: readonly ClassRow[]): State {
  const news = { ...state, predictions: including(state.predictions, pairOf(model, image), classes) };
  const { target, model_index, image_index } = state.shown;
  const best = target < 0 && model === model_index && image === image_index ? classes[0] : undefined;
  return best ? synced(news, { target: best.index }) : news;
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

/** Partial results never replace a whole one; a whole one ends its job. One that arrives again, as for a view that is opened later, keeps its answers. */
function explained(state: State, news: Explained): State {
  const key = keyOf(news.result);
  const whole = news.share >= 1;
  const before = state.explained.get(key);
  if (!whole && (before?.share ?? 0) >= 1) return state;
  return {
    ...state,
    explained: before && isAgain(before, news) ? state.explained : including(state.explained, key, news),
    jobs: whole ? without(state.jobs, key) : state.jobs,
    failures: whole ? without(state.failures, key) : state.failures,
  };
}

function isAgain(before: Explained, news: Explained): boolean {
  // their durations differ where their values may
  return !before.stale && before.share === news.share && JSON.stringify(before.result) === JSON.stringify(news.result);
}

/** The same object where nothing changes, so that "did it change" is one comparison. */
function changed(settings: Settings, patch: Partial<Settings>): Settings {
  const names = Object.keys(patch) as (keyof Settings)[];
  return names.every((name) => Object.is(settings[name], patch[name])) ? settings : { ...settings, ...patch };
}

export type StateStore = Store<State, StateEvent>;

/** Settings that a user has decided on: earlier ones can be restored. Opening a tab is no such change. */
function committed(state: State, settings: Settings): State {
  const { saved } = state;
  if (saved === settings) return state.shown === settings ? state : { ...state, shown: settings };
  const changed = Object.keys(settings).some((name) => name !== "live" && name !== "gallery" && !Object.is(settings[name as keyof Settings], saved[name as keyof Settings]));
  const history = changed && saved.target >= 0 ? { past: [...state.past, saved].slice(-MOST_UNDONE), undone: [] } : {};
  return { ...state, ...history, shown: settings, saved: settings };
}

/** The last settings of one list, for which the current ones go to the end of the other. */
function restored(state: State, from: "past" | "undone", to: "past" | "undone"): State {
  const last = state[from].at(-1);
  if (!last) return state;
  const { live, gallery } = state.shown;
  const settings = { ...last, live, gallery };
  return { ...state, shown: settings, saved: settings, [from]: state[from].slice(0, -1), [to]: [...state[to], state.saved] };
}
