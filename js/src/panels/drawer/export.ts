/** The Save tab: the picture, the numbers, a film, and a Python script that gives picture and numbers. */

import { titleOf } from "../../core/captions.ts";
import { shownExplained } from "../../core/lookup.ts";
import { npzOf } from "../../core/npz.ts";
import type { Explained } from "../../core/result.ts";
import { selected } from "../../core/selection.ts";
import { shownCell, type State } from "../../core/state.ts";
import { failureOf } from "../../kernel/commands.ts";
import { blobOf } from "../../paint/layer.ts";
import { canvasOf, svgTextOf } from "../../paint/still.ts";
import { button, copied, h, setText, type Context } from "../ui/dom.ts";
import { failureBox } from "../ui/failure.ts";
import { films } from "./film.ts";

export function savePanel(context: Context): HTMLElement {
  const { store, commands, watch } = context;
  const status = h("span", { class: "slw-muted", role: "status" });
  const withBar = h("input", { type: "checkbox" });
  const code = h("textarea", { class: "slw-code", readonly: true, rows: 10, hidden: true, "aria-label": "Python", spellcheck: "false" });
  const trouble = failureBox(context, "Saving failed");
  const report = (text: string): void => {
    setText(status, text);
    trouble.show(null);
  };
  const failed = (reason: unknown): void => {
    report("");
    trouble.show(failureOf(reason));
  };
  const run = (work: (state: State, explained: Explained) => Promise<string>) => (): void => {
    const explained = shownExplained(store.state);
    report(explained ? "…" : "There is nothing to save yet.");
    if (!explained) return;
    work(store.state, explained).then(report, failed);
  };
  const actions: readonly (readonly [string, string, () => void])[] = [
    ["Copy picture", "To the clipboard, at the picture's resolution", run(async (state) => {
      const blob = blobOf(await canvasOf(state, shownCell(state), withBar.checked), "image/png");
      try {
        await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        return "The picture is in the clipboard.";
      } catch {
        save(await blob, fileName(state, "png"));
        return "Clipboard access is blocked: saved as a file.";
      }
    })],
    ["PNG", "At the picture's resolution", run(async (state) =>
      save(await blobOf(await canvasOf(state, shownCell(state), withBar.checked), "image/png"), fileName(state, "png")))],
    ["SVG", "Outlines, colour bar and words stay sharp at any size", run(async (state, explained) =>
      save(new Blob([await svgTextOf(state, shownCell(state), explained, withBar.checked)], { type: "image/svg+xml" }), fileName(state, "svg")))],
    ["NPZ", "The values, for NumPy", run((state, explained) => {
      const kept = new Uint8Array(explained.values.length);
      selected(state, explained, kept);
      return Promise.resolve(save(new Blob([npzOf(explained, kept).slice()], { type: "application/zip" }), fileName(state, "npz")));
    })],
    ["Copy as Python", "A script that computes this picture without the widget", run(async (state) => {
      if (state.link !== "live") return "This needs a running kernel.";
      code.value = await commands.request("code", shownCell(state)).answer;
      code.hidden = false;
      if (await copied(code.value)) return "The script is in the clipboard.";
      code.select();
      return "Clipboard access is blocked: copy it from below.";
    })],
  ];
  const buttons = actions.map(([name, title, act]) => button(context, { title }, name, act));
  const film = films(context, report, (blob, ending, state) => report(save(blob, fileName(state, ending))), failed);
  watch((state) => [shownExplained(state), state.shown], () => {
    code.hidden = true;
    report("");
  });
  const bar = h("label", { class: "slw-check" }, withBar, "with the colour bar");
  return h("div", { class: "slw-drawer-body slw-save" }, h("div", { class: "slw-row" }, ...buttons, ...film, bar), status, trouble.element, code);
}

function fileName(state: State, ending: string): string {
  const plain = titleOf(state, shownCell(state)).normalize("NFKD").replaceAll(/[^\w]+/g, "-").replaceAll(/^-+|-+$/g, "").toLowerCase();
  return `${plain.slice(0, 80) || "saliency"}.${ending}`;
}

function save(blob: Blob, name: string): string {
  const href = URL.createObjectURL(blob);
  h("a", { href, download: name }).click();
  // not at once: the download reads it
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
  return `Saved as ${name}.`;
}
