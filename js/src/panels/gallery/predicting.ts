/** Predicts all pictures of the gallery, until it is stopped. */

import { ended } from "../../core/store.ts";
import { failureOf, type Request } from "../../kernel/commands.ts";
import { button, setAttribute, setText, type Context } from "../ui/dom.ts";

export interface Predictor {
  readonly button: HTMLElement;
  readonly start: () => void;
  /** So many pictures have a prediction. */
  readonly known: (predicted: number) => void;
}

interface Callbacks {
  readonly count: number;
  /** More predictions are known, or all that will be. */
  readonly changed: (over: boolean) => void;
  readonly report: (text: string) => void;
}

export function createPredictor(context: Context, { count, changed, report }: Callbacks): Predictor {
  const { store, commands, signal, watch } = context;
  let predicted = 0;
  let running: Request<unknown> | null = null;
  const element = button(context, { hidden: true }, "", () => (running ? stop() : start()));
  const draw = (): void => {
    element.hidden = predicted >= count || store.state.link !== "live";
    setText(element, running ? `Stop (${Math.floor((100 * predicted) / count)} % predicted)` : "Predict all");
    setAttribute(element, "title", `Predict the class of all ${count.toLocaleString("en")} pictures`);
  };
  const end = (): void => {
    running = null;
    changed(true);
    draw();
  };
  const stop = (): void => {
    running?.cancel();
    end();
  };
  const start = (): void => {
    if (running || element.hidden) return;
    const mine = running = commands.request("predict", { model: store.state.shown.model_index }, {
      progress(share) {
        predicted = Math.round(share * count);
        draw();
        changed(false);
      },
    });
    mine.answer.catch((reason: unknown) => report(failureOf(reason).message)).finally(() => mine === running && end());
    draw();
  };
  watch(({ link }) => [link], draw);
  ended(signal, () => running?.cancel());
  return {
    button: element,
    start,
    known(now) {
      predicted = now;
      draw();
    },
  };
}
