/** Another picture: dropped onto the widget, pasted into it, or chosen from the disk. */

import { failureOf } from "../../kernel/commands.ts";
import { blobOf, newLayer } from "../../paint/layer.ts";
import { h, on, setText, type Context } from "../ui/dom.ts";

/** Hosts close the connection on messages of ten million bytes. */
const LARGEST = 6 << 20;
/** The longest side of what is too large as it is. */
const SIDE = 2048;

export function droppingPanel(context: Context, root: HTMLElement): HTMLElement {
  const { commands, signal, watch } = context;
  const file = h("input", { type: "file", accept: "image/*", hidden: true, tabindex: -1 });
  const button = h("button", { class: "slw-tab slw-open", title: "Explain another picture: choose it, drop it here, or paste it" }, "Open", h("span", { class: "slw-roomy" }, " picture"), "…");
  const status = h("span", { class: "slw-muted", role: "status" });
  const take = (pictures: readonly File[] | FileList | undefined): boolean => {
    const picture = [...(pictures ?? [])].find(({ type }) => type.startsWith("image/"));
    if (!picture || button.hidden) return false;
    setText(status, "reading…");
    explain(picture).then(() => setText(status, ""), (reason: unknown) => setText(status, failureOf(reason).message));
    return true;
  };
  const explain = async (picture: File): Promise<void> => {
    const data = await (picture.size > LARGEST ? await smaller(picture) : picture).arrayBuffer();
    // a name, never a path
    const name = picture.name.replace(/^.*[\\/]/, "").replace(/\.\w+$/, "").slice(0, 100);
    await commands.request("picture", { name }, { buffers: [data] }).answer;
  };
  on(button, "click", signal, () => file.click());
  on(file, "change", signal, () => {
    take(file.files ?? undefined);
    file.value = "";
  });
  on(root, ["dragover", "dragenter"], signal, (event) => {
    if (!event.dataTransfer?.types.includes("Files") || button.hidden) return;
    event.preventDefault();
    root.dataset["dropping"] = "";
  });
  const leave = (): void => {
    delete root.dataset["dropping"];
  };
  on(root, "dragleave", signal, (event) => {
    if (!root.contains(event.relatedTarget as Node | null)) leave();
  });
  on(root, "drop", signal, (event) => {
    leave();
    if (!take(event.dataTransfer?.files)) return;
    event.preventDefault();
    // the notebook would take it for an attachment
    event.stopPropagation();
  });
  on(root, "paste", signal, (event) => {
    if (!take(event.clipboardData?.files)) return;
    event.preventDefault();
    event.stopPropagation();
  });
  watch(({ link }) => [link], ({ link, spec }) => (button.hidden = link !== "live" || spec.stored === true));
  return h("div", { class: "slw-opening" }, status, button, file);
}

async function smaller(picture: Blob): Promise<Blob> {
  const bitmap = await createImageBitmap(picture);
  const factor = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const { canvas, context } = newLayer(Math.round(bitmap.width * factor), Math.round(bitmap.height * factor));
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return blobOf(canvas, "image/jpeg");
}
