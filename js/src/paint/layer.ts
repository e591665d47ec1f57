/** Canvases with their drawing context. */

export interface Layer {
  readonly canvas: HTMLCanvasElement;
  readonly context: CanvasRenderingContext2D;
}

export function layerOf(canvas: HTMLCanvasElement): Layer {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("expected a 2d canvas, got none from this browser");
  return { canvas, context };
}

/** A canvas that is on no page. */
export function newLayer(width: number, height: number): Layer {
  return layerOf(Object.assign(document.createElement("canvas"), { width, height }));
}

/** A canvas as a file. */
export function blobOf(canvas: HTMLCanvasElement, type: string): Promise<Blob> {
  return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("This browser made no picture."))), type, 0.95));
}

/** Setting a canvas's size clears it, so only where it differs. */
export function resize({ canvas }: Layer, width: number, height: number): void {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}
