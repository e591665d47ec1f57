/** The traits that Python and the browser share (see "Traits" in docs/widget-protocol.md). */

import type { AnyModel } from "@anywidget/types";
import type { ChangedParameters, Settings, Spec } from "../core/settings.ts";
import { ended } from "../core/store.ts";
import type { StateStore } from "../core/update.ts";
import { bytesOf } from "./packet.ts";

export interface Traits extends Settings {
  readonly spec: Spec;
  readonly parameters: ChangedParameters | undefined;
  readonly _snapshot: DataView | Uint8Array | null;
  /** On a page that no kernel has. */
  readonly _alone?: boolean;
  /** The code of the second module, compressed, where the kernel has sent it; on a page that no kernel has, its default export. */
  readonly _more?: DataView | Uint8Array | Factory;
}
/** The second module is a function of what it needs from the first (see js/build.mjs). */
export type Factory = (shared: unknown) => Readonly<Record<string, unknown>>;
export type Model = AnyModel<Traits & Record<string, unknown>>;

const SETTINGS = [
  "method",
  "target",
  "model_index",
  "image_index",
  "grid",
  "mode",
  "sign",
  "keep",
  "threshold",
  "opacity",
  "colormap",
  "gamma",
  "smooth",
  "contours",
  "scale",
  "region",
  "picked",
  "fill",
  "change_to",
  "live",
  "gallery",
  "brushed",
] as const satisfies readonly (keyof Settings)[];

export function readSettings(model: Model): Settings {
  return Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)])) as unknown as Settings;
}

/** Python's changes show at once; the browser's are written together when a gesture ends. Until `signal` aborts. */
export function connectTraits(model: Model, store: StateStore, signal: AbortSignal): void {
  for (const name of SETTINGS) {
    listen(model, `change:${name}`, signal, () => store.send({ kind: "synced", settings: { [name]: model.get(name) } }));
  }
  const parameters = (): void => store.send({ kind: "parameters", parameters: model.get("parameters") ?? {} });
  parameters();
  listen(model, "change:parameters", signal, parameters);
  const code = (): void => {
    const held = model.get("_more");
    if (ArrayBuffer.isView(held) && held.byteLength > 0) store.send({ kind: "code", code: bytesOf(held) });
  };
  code();
  listen(model, "change:_more", signal, code);
  listen(model, "change:spec", signal, () => store.send({ kind: "spec", spec: model.get("spec") }));
  store.subscribe(({ saved }, before) => {
    // Of what changed only what the model does not know: the rest came from Python. And only what changed: where Python sets
    // several traits, the model has them all before the store has heard of the second.
    const news = SETTINGS.filter((name) => saved[name] !== before.saved[name] && saved[name] !== model.get(name));
    if (news.length === 0) return;
    for (const name of news) model.set(name, saved[name]);
    model.save_changes();
  }, signal);
}

/** Attach a listener to the model until `signal` aborts. */
export function listen(model: Model, name: string, signal: AbortSignal, listener: (...args: unknown[]) => void): void {
  model.on(name, listener);
  ended(signal, () => model.off(name, listener));
}
