import { comparing, pinned, toggling } from "../../core/grid.ts";
import type { Grid } from "../../core/settings.ts";
import { h, on, type Context } from "./dom.ts";

/** The checkbox of a method, class, model or image: whether it is compared. */
export function compareBox({ store, signal, set, commit, watch }: Context, axis: keyof Grid, value: string | number, name: string): HTMLInputElement {
  const box = h("input", { type: "checkbox", class: "slw-box", "aria-label": `Compare ${name}`, hidden: true });
  on(box, "change", signal, () => {
    const settings = toggling(store.state, axis, value);
    if (settings) set(settings);
    commit();
    box.checked = pinned(store.state, axis).includes(value);
  });
  watch(
    (state) => [state.shown, state.predictions],
    (state) => {
      box.hidden = !comparing(state);
      if (box.hidden) return;
      box.checked = pinned(state, axis).includes(value);
      box.disabled = toggling(state, axis, value) === null;
    },
  );
  return box;
}
