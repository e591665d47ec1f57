/** Requests the pictures that are in sight: one request at a time, which ends when most of its pictures are no longer seen. */

import { ended } from "../../core/store.ts";
import { failureOf, type Request } from "../../kernel/commands.ts";
import type { Context } from "../ui/dom.ts";

export interface Requester {
  /** These images are in sight. */
  readonly see: (images: readonly number[]) => void;
  /** Request the maps of a method too; "" for none. */
  readonly map: (method: string) => void;
  /** Everything has to be requested again. */
  readonly again: () => void;
}

/** Time without another scroll before pictures are requested, in milliseconds. */
const PAUSE = 60;

export function createRequester({ store, commands, signal }: Context, report: (text: string) => void): Requester {
  const requested = new Set<number>();
  let seen: readonly number[] = [];
  let method = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: { readonly images: readonly number[]; readonly request: Request<unknown> } | null = null;
  const stop = (): void => {
    running?.request.cancel();
    for (const image of running?.images ?? []) requested.delete(image);
    running = null;
  };
  const send = (): void => {
    if (store.state.link !== "live" || signal.aborted) return;
    if (running && 2 * running.images.filter((image) => seen.includes(image)).length < running.images.length) stop();
    const images = seen.filter((image) => !requested.has(image));
    if (images.length === 0 || running) return;
    for (const image of images) requested.add(image);
    const request = commands.request("items", { images, model: store.state.shown.model_index, method });
    const mine = running = { images, request };
    const over = (): void => {
      if (running !== mine) return;
      running = null;
      send();
    };
    request.answer.then(over, (reason: unknown) => {
      report(failureOf(reason).message);
      over();
    });
  };
  const later = (): void => {
    clearTimeout(timer);
    timer = setTimeout(send, PAUSE);
  };
  const again = (): void => {
    stop();
    requested.clear();
    later();
  };
  store.subscribe((state, before) => state.link !== before.link && later(), signal);
  ended(signal, () => {
    clearTimeout(timer);
    stop();
  });
  return {
    see(images) {
      seen = images;
      later();
    },
    map(name) {
      method = name;
      again();
    },
    again,
  };
}
