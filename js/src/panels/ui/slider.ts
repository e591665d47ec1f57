import { h, hasModifier, on, setAttribute, type Context } from "./dom.ts";

export interface Slider {
  readonly element: HTMLInputElement;
  /** `text` is read by screen readers. */
  show(value: number, text: string): void;
}

interface Options {
  readonly label: string;
  readonly min: number;
  readonly max: number;
  /** The finest step, of the pointer and of Shift with an arrow. */
  readonly fine: number;
  /** The step of an arrow key; Page keys make ten. */
  readonly step: number;
  readonly input: (value: number) => void;
}

/**
 * A range input. It reports every move, and commits once when the gesture ends: pointer up or key up, not once per repeated
 * key.
 */
export function slider({ commit, signal }: Context, { label, min, max, fine, step, input }: Options): Slider {
  const element = h("input", { type: "range", class: "slw-slider", min, max, step: fine, "aria-label": label });
  const show = (value: number, text: string): void => {
    element.value = String(value);
    element.style.setProperty("--slw-at", String((value - min) / (max - min)));
    setAttribute(element, "aria-valuetext", text);
  };
  on(element, "input", signal, () => input(element.valueAsNumber));
  on(element, ["change", "keyup", "blur"], signal, commit);
  on(element, "keydown", signal, (event) => {
    const value = keyed(event, element.valueAsNumber, min, max, event.shiftKey ? fine : step);
    if (value === null) return;
    event.preventDefault();
    // at once, not in the next frame: the next key may come before it
    element.value = String(value);
    input(element.valueAsNumber);
  });
  return { element, show };
}

function keyed(event: KeyboardEvent, value: number, min: number, max: number, step: number): number | null {
  if (hasModifier(event)) return null;
  switch (event.key) {
    case "ArrowRight":
    case "ArrowUp":
      return value + step;
    case "ArrowLeft":
    case "ArrowDown":
      return value - step;
    case "PageUp":
      return value + 10 * step;
    case "PageDown":
      return value - 10 * step;
    case "Home":
      return min;
    case "End":
      return max;
    default:
      return null;
  }
}
