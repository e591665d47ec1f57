/** Panels of the second module that are appended when they are first needed. */

import type { Glance } from "../../core/glance.ts";
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

/** Return a function that opens a popup, which is loaded then, or closes the open one. */
export function popupToggle(context: Context, popup: Exclude<Glance["popup"], "">, parent: HTMLElement): () => void {
  const { glance } = context;
  const append = appender(context, popup, parent);
  return () => {
    if (glance.state.popup === popup) glance.send({ popup: "" });
    else void append().then((there) => there && glance.send({ popup }));
  };
}
