/** Panels of the second module that are appended when they are first needed. */

import { failureOf } from "../../kernel/commands.ts";
import type { Context, LazyPanel } from "./dom.ts";

/** Return a function that appends a panel to `parent`, once. It gives whether the panel is there; if not, the reason is shown. */
export function appender(context: Context, name: LazyPanel, parent: HTMLElement): () => Promise<boolean> {
  let loading: Promise<boolean> | undefined;
  return () => {
    loading ??= context.load(name).then(
      (panel) => {
        if (!context.signal.aborted) parent.append(panel(context));
        context.glance.send({ unloaded: "" });
        return true;
      },
      (reason: unknown) => {
        loading = undefined;
        context.glance.send({ unloaded: failureOf(reason).message });
        return false;
      },
    );
    return loading;
  };
}
