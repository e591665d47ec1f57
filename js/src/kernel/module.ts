/** Loads the second module of the front end: from a saved page, from the state of a notebook, or from the kernel. */

import type { State } from "../core/state.ts";
import type { StateStore } from "../core/update.ts";
import type { Commands } from "./commands.ts";
import { inflate } from "./packet.ts";
import type { Factory, Model } from "./traits.ts";

/** What the second module takes from the first; js/build.mjs sets it. */
declare const SHARED: unknown;

/** Requests the code, which then arrives in the state; `failed` gets the reason why it will not. */
type Request = (failed: (message: string) => void) => void;

/** Returns what loads the module, once. */
export function createLoader(model: Model, store: StateStore, signal: AbortSignal, request: Request): Commands["more"] {
  let loading: ReturnType<Commands["more"]> | undefined;
  const load = async (): ReturnType<Commands["more"]> => {
    const held = model.get("_more");
    const factory = typeof held === "function" ? held : await imported(await codeIn(store, signal, request));
    return factory(SHARED);
  };
  return () => {
    loading ??= load().catch((reason: unknown) => {
      // the next call tries again
      loading = undefined;
      throw reason;
    });
    return loading;
  };
}

function codeIn(store: StateStore, signal: AbortSignal, request: Request): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const look = ({ code, link }: State): void => {
      if (code) resolve(code);
      else if (link === "packed") reject(new Error("This part of the widget needs a running kernel. Run the cell again."));
    };
    store.subscribe(look, signal);
    look(store.state);
    if (!store.state.code && store.state.link !== "packed") request((message) => reject(new Error(message)));
  });
}

/** From a blob, as anywidget loads the first module; from a data URL where the page allows no blobs. */
async function imported(code: Uint8Array): Promise<Factory> {
  const bytes = await inflate(code);
  const url = URL.createObjectURL(new Blob([bytes.slice()], { type: "text/javascript" }));
  const data = `data:text/javascript;charset=utf-8,${encodeURIComponent(new TextDecoder().decode(bytes))}`;
  try {
    return await factoryAt(url).catch(() => factoryAt(data));
  } catch (error) {
    throw new Error("The security policy of this page blocks this part of the widget. A page saved with to_html() includes it.", { cause: error });
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function factoryAt(url: string): Promise<Factory> {
  return ((await import(/* @vite-ignore */ url)) as { readonly default: Factory }).default;
}
