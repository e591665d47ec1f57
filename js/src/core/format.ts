/** Numbers as people read them: a true minus, three digits, no more width than needed. */

import { clamp } from "./geometry.ts";

const MINUS = "\u2212";

export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  const plain = size === 0 || (size >= 0.01 && size < 1000);
  const text = plain ? value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3) : exponential(value);
  return text.replaceAll("-", MINUS);
}

/** A model's output for a class: a probability in per cent, or a value in its own unit; empty where it is not known. */
export function formatScore({ probability, value }: { readonly probability: number; readonly value?: number }): string {
  if (value !== undefined) return formatNumber(value);
  if (Number.isNaN(probability)) return "";
  return `${(probability * 100).toFixed(probability < 0.01 ? 1 : 0)} %`;
}

/** Numbers of one scale with the same decimals, so that what is next to nothing on it reads as zero. */
export function formatAlike(values: readonly number[]): string[] {
  const most = Math.max(...values.map(Math.abs));
  if (!(most >= 1e-4 && most < 1e4)) return values.map((value) => (value === 0 ? "0" : exponential(value).replaceAll("-", MINUS)));
  const decimals = clamp(2 - Math.floor(Math.log10(most)), 0, 6);
  return values.map((value) => value.toFixed(decimals).replace(/^-(0\.?0*)$/, "$1").replace("-", MINUS));
}

/** The numbers under a colour scale: its ends, and its middle. */
export function formatScale({ low, high }: { readonly low: number; readonly high: number }): string[] {
  return formatAlike([low, (low + high) / 2, high]);
}

function exponential(value: number): string {
  return value.toExponential(1).replace("e+", "e");
}

export function formatPercent(percent: number): string {
  return `${Number.isInteger(percent) ? percent : percent.toFixed(1)} %`;
}

export function formatShare(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return `${Math.round(seconds / 60)} min`;
}

/** The cost of a run: the number of images that the model evaluates. */
export function formatImages(images: number): string {
  return `${images} ${images === 1 ? "image" : "images"}`;
}
