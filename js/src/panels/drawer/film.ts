/** Films of the shown map: the kernel draws the frames and the GIF file, and the browser makes a video of them. */

import { shownExplained } from "../../core/lookup.ts";
import { shownCell, type State } from "../../core/state.ts";
import { ended } from "../../core/store.ts";
import type { Requests } from "../../kernel/commands.ts";
import { list } from "../../kernel/messages.ts";
import { newLayer } from "../../paint/layer.ts";
import { button, type Context } from "../ui/dom.ts";

type Answer = Requests["film"]["answer"];

/** Names and types of videos, of which the first is offered that the browser can encode: MP4 plays nearly everywhere. */
const VIDEOS = [["MP4", "video/mp4;codecs=avc1.42E01E"], ["WebM", "video/webm"]] as const;
const BITS = 4_000_000;
/** Milliseconds between two drawings of a frame. */
const FRAME = 40;

/** Buttons that make films, and one that stops. `done` gets the file, its extension, and what was shown at the click. */
export function films(context: Context, report: (text: string) => void, done: (blob: Blob, ending: string, state: State) => void, failed: (reason: unknown) => void): readonly HTMLElement[] {
  const { store, commands, signal } = context;
  let running: AbortController | null = null;
  const end = (): void => {
    running?.abort();
    running = null;
    stop.hidden = true;
  };
  const make = async (name: string, type: string): Promise<void> => {
    end();
    if (!shownExplained(store.state)) {
      report("There is nothing to save yet.");
      return;
    }
    const mine = running = new AbortController();
    const { state } = store;
    const encoding = name === "GIF" ? "gif" : "frames";
    const request = commands.request("film", { ...shownCell(state), fill: state.shown.fill, encoding }, {
      progress: (share) => report(`Drawing the film: ${Math.floor(share * 100)} %`),
    });
    ended(mine.signal, request.cancel);
    report("Drawing the film…");
    stop.hidden = false;
    try {
      const answer = await request.answer;
      if (encoding === "frames") report("Recording the video…");
      const blob = encoding === "gif" ? new Blob([...filesIn(answer)], { type }) : await recorded(answer, type, mine.signal);
      if (mine !== running) return;
      end();
      done(blob, name.toLowerCase(), state);
    } catch (reason) {
      if (mine !== running) return;
      end();
      failed(reason);
    }
  };
  const stop = button(context, { hidden: true }, "Stop", () => {
    end();
    report("Stopped.");
  });
  ended(signal, end);
  const video = typeof MediaRecorder === "undefined" ? undefined : VIDEOS.find(([, type]) => MediaRecorder.isTypeSupported(type));
  const starts = [["GIF", "image/gif"] as const, ...(video ? [video] : [])].map(([name, type]) =>
    button(context, { title: "A film of the growing selection, with the model's output" }, name, () => void make(name, type)));
  context.watch((state) => [state.link, state.silent, state.spec], ({ link, silent, spec }) => {
    // a film needs the model
    const offered = link === "live" && !spec.stored;
    for (const each of starts) each.hidden = !offered || silent;
    if (!offered) end();
  });
  return [...starts, stop];
}

function filesIn({ buffers }: Answer): readonly Uint8Array<ArrayBuffer>[] {
  return [...buffers.values()].map((file) => file.slice());
}

/** Play the frames on a canvas, and record it. */
async function recorded(answer: Answer, type: string, signal: AbortSignal): Promise<Blob> {
  const frames = await Promise.all(filesIn(answer).map((file) => createImageBitmap(new Blob([file]))));
  const { canvas, context } = newLayer(frames[0]!.width, frames[0]!.height);
  const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: type, videoBitsPerSecond: BITS });
  const parts: Blob[] = [];
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  const stopped = new Promise<void>((resolve, reject) => {
    recorder.addEventListener("stop", () => resolve());
    recorder.addEventListener("error", () => reject(new Error("This browser could not encode the video. Save a GIF instead.")));
  });
  recorder.start();
  let until = performance.now();
  for (const [i, milliseconds] of list(answer.raw, "durations").entries()) {
    until += Number(milliseconds);
    // drawn again and again, as a video holds no frame that stands still
    while (performance.now() < until && !signal.aborted) {
      context.drawImage(frames[i]!, 0, 0);
      await new Promise((resolve) => setTimeout(resolve, FRAME));
    }
  }
  recorder.stop();
  await stopped;
  for (const frame of frames) frame.close();
  return new Blob(parts, { type });
}
