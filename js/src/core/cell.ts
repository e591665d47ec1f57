/** A cell: one method, one class, one model and one image. It is what one picture on the screen shows. */

export interface Cell {
  readonly method: string;
  readonly target: number;
  readonly model: number;
  readonly image: number;
}

/** The target that means the model's most likely class. */
export const TOP = -1;

export function keyOf({ method, target, model, image }: Cell): string {
  return `${method}:${target}:${model}:${image}`;
}

/** The key of a prediction: one for each model and image. */
export function pairOf(model: number, image: number): string {
  return `${model}:${image}`;
}
