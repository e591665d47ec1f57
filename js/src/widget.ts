import type { AnyWidget } from "@anywidget/types";
import { initialState } from "./core/state.ts";
import { createStore } from "./core/store.ts";
import { update, type StateStore } from "./core/update.ts";
import type { Commands } from "./kernel/commands.ts";
import { connect } from "./kernel/requests.ts";
import { connectTraits, readSettings, type Model, type Traits } from "./kernel/traits.ts";
import { mount } from "./view.ts";

interface Session {
  readonly store: StateStore;
  readonly commands: Commands;
}

/** Called once per model: its views share one store, two models share nothing. */
const widget: AnyWidget<Traits & Record<string, unknown>> = () => {
  let session: Session | null = null;
  return {
    initialize({ model, signal }) {
      const life = lifetime(signal);
      session = open(model, life.signal);
      return life.end;
    },
    render({ el, signal }) {
      if (!session) throw new Error("saliency-widget: expected initialize before render");
      const life = lifetime(signal);
      mount(el, session.store, session.commands, life.signal);
      return life.end;
    },
  };
};
export default widget;

function open(model: Model, signal: AbortSignal): Session {
  const store = createStore(initialState(model.get("spec"), readSettings(model)), update);
  connectTraits(model, store, signal);
  return { store, commands: connect(model, store, signal) };
}

/** anywidget gives a signal from 0.11 on; before, it called the function that was returned. Either ends everything, once. */
function lifetime(signal: AbortSignal | undefined): { readonly signal: AbortSignal; readonly end: () => void } {
  const life = new AbortController();
  const end = (): void => life.abort();
  signal?.addEventListener("abort", end, { once: true, signal: life.signal });
  return { signal: life.signal, end };
}
