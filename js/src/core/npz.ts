/** NumPy's file formats: arrays as .npy, several of them as .npz, which is a zip without compression. */

import type { Explained } from "./result.ts";

type Numbers = Float32Array | Uint16Array | Uint8Array;

const KINDS = new Map<unknown, string>([[Float32Array, "<f4"], [Uint16Array, "<u2"], [Uint8Array, "|u1"]]);

/** A file for NumPy: the values, the magnitude, the ranks of the regions, and the selection. */
export function npzOf({ values, magnitude, step, result }: Explained, kept: Uint8Array): Uint8Array {
  const files = new Map([["values.npy", npy(values, result.shape)]]);
  if (magnitude) files.set("magnitude.npy", npy(magnitude, result.shape));
  if (step) files.set("ranks.npy", npy(step, result.shape));
  files.set("selection.npy", npy(kept, result.shape));
  return zip(files);
}

/** One array with its shape, version 1.0 of the format. */
export function npy(array: Numbers, shape: readonly number[]): Uint8Array {
  const kind = KINDS.get(array.constructor) ?? "|u1";
  const about = `{'descr': '${kind}', 'fortran_order': False, 'shape': (${shape.join(", ")}${shape.length === 1 ? "," : ""}), }`;
  // the numbers begin at a multiple of 64
  const header = `${about.padEnd(Math.ceil((10 + about.length + 1) / 64) * 64 - 11)}\n`;
  const bytes = new Uint8Array(10 + header.length + array.byteLength);
  bytes.set([0x93, ...ascii("NUMPY"), 1, 0, header.length & 255, header.length >> 8]);
  bytes.set(ascii(header), 10);
  bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), 10 + header.length);
  return bytes;
}

/** Files in a zip, stored as they are. */
export function zip(files: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const [name, data] of files) {
    // version, flags, method, a time there always was, checksum, sizes, length of the name
    const about = [short(20), short(0), short(0), short(0), short(0x21), word(crc32(data)), word(data.length), word(data.length), short(name.length), short(0)].flat();
    directory.push(Uint8Array.from([...word(0x02014b50), ...short(20), ...about, ...short(0), ...short(0), ...short(0), ...word(0), ...word(at), ...ascii(name)]));
    parts.push(Uint8Array.from([...word(0x04034b50), ...about, ...ascii(name)]), data);
    at += 30 + name.length + data.length;
  }
  const size = directory.reduce((total, each) => total + each.length, 0);
  const end = [...word(0x06054b50), ...short(0), ...short(0), ...short(files.size), ...short(files.size), ...word(size), ...word(at), ...short(0)];
  return joined([...parts, ...directory, Uint8Array.from(end)]);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((total, each) => total + each.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function crc32(data: Uint8Array): number {
  const table = Uint32Array.from({ length: 256 }, (_, i) => {
    let value = i;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
    return value;
  });
  let sum = 0xffffffff;
  for (const byte of data) sum = table[(sum ^ byte) & 255]! ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

function ascii(text: string): number[] {
  return Array.from(text, (letter) => letter.charCodeAt(0));
}

function short(value: number): number[] {
  return [value & 255, (value >> 8) & 255];
}

function word(value: number): number[] {
  return [...short(value), ...short(value >>> 16)];
}
