/** The control for one parameter of a method. */

import { clamp } from "../../core/geometry.ts";
import type { ParameterSpec, ParameterValue } from "../../core/result.ts";
import { h, on, setAttribute, type Context } from "../ui/dom.ts";

export interface Control {
  readonly field: ParameterSpec;
  readonly element: HTMLElement;
  readonly value: () => ParameterValue;
  readonly focus: () => void;
}

interface Listener {
  /** While it is held. */
  readonly propose: () => void;
  /** When it is let go. */
  readonly commit: () => void;
}

/** Bounds with a larger ratio have a logarithmic slider. */
const WIDE = 100;
const NOTCHES = 200;

interface Part {
  readonly element: HTMLElement;
  readonly input: HTMLElement;
  readonly value: () => ParameterValue;
}

export function control(context: Context, field: ParameterSpec, listener: Listener): Control {
  const { element: inner, input, value } = partOf(context, field, listener);
  const id = context.id(`field-${field.name}`);
  const helpId = `${id}-help`;
  if (inner === input || field.kind === "whole" || field.kind === "number") input.id = id;
  setAttribute(input, "aria-describedby", helpId);
  const changed = JSON.stringify(field.value) !== JSON.stringify(field.default);
  const names = field.name.replaceAll("_", " ").replace(".", " · ");
  const label = field.kind === "names" ? h("span", {}, names) : h("label", { for: id }, names);
  const help = h("span", { class: "slw-muted slw-help", id: helpId }, field.help);
  const element = h("div", { class: "slw-control", ...(changed ? { "data-changed": true } : {}) }, label, inner, help);
  return { field, element, value, focus: () => input.focus() };
}

function partOf(context: Context, field: ParameterSpec, listener: Listener): Part {
  const { signal } = context;
  switch (field.kind) {
    case "whole":
    case "number":
      return numberPart(context, field, listener);
    case "flag": {
      const input = h("input", { type: "checkbox" });
      input.checked = field.value === true;
      on(input, "change", signal, listener.commit);
      return { element: input, input, value: () => input.checked };
    }
    case "choice": {
      const automatic = field.optional ? [h("option", { value: "" }, automaticName(field))] : [];
      const input = h("select", { class: "slw-field" }, ...automatic, ...(field.choices ?? []).map((name) => h("option", { value: name }, name)));
      input.value = String(field.value ?? "");
      on(input, "change", signal, listener.commit);
      return { element: input, input, value: () => input.value || null };
    }
    case "names":
      return namesPart(context, field, listener);
    case "text": {
      const input = h("input", { class: "slw-field", type: "text", placeholder: "automatic", spellcheck: "false", autocomplete: "off" });
      input.value = typeof field.value === "string" ? field.value : "";
      on(input, "change", signal, listener.commit);
      return { element: input, input, value: () => input.value || null };
    }
    case "fixed": {
      const input = h("output", { class: "slw-fixed", title: "Set in Python" }, String(field.value));
      return { element: input, input, value: () => field.value };
    }
  }
}

/** A number, with a slider beside it where it has two ends. */
function numberPart({ signal }: Context, field: ParameterSpec, { propose, commit }: Listener): Part {
  const { low, high, kind } = field;
  const input = h("input", {
    class: "slw-field slw-number", type: "number", step: kind === "whole" ? 1 : "any",
    ...(low === null ? {} : { min: low }), ...(high === null ? {} : { max: high }), ...(field.optional ? { placeholder: "automatic" } : {}),
  });
  input.value = field.value === null ? "" : String(field.value);
  const value = (): ParameterValue => (input.value === "" ? (field.optional ? null : field.value) : input.valueAsNumber);
  on(input, "input", signal, propose);
  on(input, "change", signal, commit);
  if (low === null || high === null) return { element: input, input, value };

  const { toNotch, toValue } = scale(low, high, kind === "whole");
  const range = h("input", { class: "slw-slider", type: "range", min: 0, max: NOTCHES, step: 1, tabindex: -1, "aria-hidden": "true" });
  const place = (): void => {
    const notch = toNotch(Number.isFinite(input.valueAsNumber) ? input.valueAsNumber : low);
    range.value = String(notch);
    range.style.setProperty("--slw-at", String(notch / NOTCHES));
  };
  place();
  on(input, "input", signal, place);
  on(range, "input", signal, () => {
    input.value = String(toValue(range.valueAsNumber));
    range.style.setProperty("--slw-at", String(range.valueAsNumber / NOTCHES));
    propose();
  });
  on(range, "change", signal, commit);
  return { element: h("div", { class: "slw-ranged" }, range, input), input, value };
}

export function scale(low: number, high: number, whole: boolean): { readonly toNotch: (value: number) => number; readonly toValue: (notch: number) => number } {
  const wide = low > 0 && high / low > WIDE;
  const [bent, straight] = wide ? [Math.log, Math.exp] : [Number, Number];
  const start = bent(low);
  const span = bent(high) - start || 1;
  const round = (value: number): number => (whole ? Math.round(value) : Number(value.toPrecision(3)));
  return {
    toNotch: (value) => Math.round(((bent(clamp(value, low, high)) - start) / span) * NOTCHES),
    toValue: (notch) => clamp(round(straight(start + (notch / NOTCHES) * span)), low, high),
  };
}

/** The name of the automatic choice, with its value where it is known. */
function automaticName({ automatic }: ParameterSpec): string {
  return automatic ? `automatic (${automatic})` : "automatic";
}

/** Several of some names: at least one stays, unless none stands for what the method chooses. */
function namesPart({ signal }: Context, field: ParameterSpec, { commit }: Listener): Part {
  const chosen = new Set(Array.isArray(field.value) ? (field.value as readonly string[]) : []);
  const boxes = (field.choices ?? []).map((name) => {
    const box = h("input", { type: "checkbox", value: name });
    box.checked = chosen.has(name);
    return box;
  });
  const value = (): ParameterValue => {
    const names = boxes.filter((box) => box.checked).map((box) => box.value);
    return field.optional && names.length === 0 ? null : names;
  };
  for (const box of boxes) {
    on(box, "change", signal, () => {
      if (field.optional || boxes.some((each) => each.checked)) commit();
      else box.checked = true;
    });
  }
  const element = h("div", { class: "slw-names", role: "group", "aria-label": field.name }, ...boxes.map((box) => h("label", { class: "slw-check" }, box, box.value)));
  return { element, input: boxes[0] ?? element, value };
}

