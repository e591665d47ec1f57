/** Parts of several tabs: a number over its name, and the choice of what replaces removed pixels. */

import { h, on, type Context } from "../ui/dom.ts";

export function figure(text: string, name: string): { readonly element: HTMLElement; readonly number: HTMLElement; readonly words: HTMLElement } {
  const [number, words] = [h("strong", { class: `slw-number ${name}` }), h("span", { class: "slw-muted" }, text)];
  return { element: h("div", {}, number, words), number, words };
}

const FILLS = ["blur", "mean", "grey", "noise", "black", "white"] as const;

export function fillField({ signal, choose, watch }: Context): HTMLElement {
  const fill = h("select", { class: "slw-field slw-fill" }, ...FILLS.map((name) => h("option", { value: name }, name)));
  on(fill, "change", signal, () => choose({ fill: fill.value }));
  watch(({ shown }) => [shown.fill], ({ shown }) => {
    fill.value = shown.fill;
  });
  return h("label", { class: "slw-row slw-muted" }, "Replace removed pixels with", fill);
}
