/** Bytes from the kernel: the forms hosts hand them over in, chunks, and packets of stored messages. */

/** A message as it came, before anyone believed it. */
export type Raw = Readonly<Record<string, unknown>>;
export type Buffers = ReadonlyMap<string, Uint8Array>;
export interface Message {
  readonly raw: Raw;
  readonly buffers: Buffers;
}

/** An error that gives what was expected and what was received. */
export function unexpected(wanted: string, got: unknown): Error {
  return new Error(`expected ${wanted}, got ${JSON.stringify(got)}`);
}

/** A message that cannot be understood is left out, and does no harm to the others. */
export function warn(error: unknown): void {
  console.warn("saliency-widget: ignored a message:", error);
}

/** JupyterLab hands over a DataView, Colab a Uint8Array, others an ArrayBuffer: all are looked at, none is copied. */
export function bytesOf(buffer: unknown): Uint8Array {
  if (ArrayBuffer.isView(buffer)) return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  if (buffer instanceof ArrayBuffer) return new Uint8Array(buffer);
  throw unexpected("a buffer", buffer);
}

/** Copied only where the bytes do not start on a multiple of a number. */
function numbersOf<T>(Kind: { readonly BYTES_PER_ELEMENT: number; new (buffer: ArrayBufferLike, at: number, length: number): T }, bytes: Uint8Array): T {
  const size = Kind.BYTES_PER_ELEMENT;
  if (bytes.byteLength % size !== 0) throw unexpected(`bytes of whole numbers of ${size}`, bytes.byteLength);
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new Kind(buffer, byteOffset, byteLength / size);
}

export function floatsOf(bytes: Uint8Array): Float32Array {
  return numbersOf(Float32Array, bytes);
}

export function shortsOf(bytes: Uint8Array): Uint16Array {
  return numbersOf(Uint16Array, bytes);
}

const REMEMBERED = 4096;

interface Piece {
  readonly name: string;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * Puts chunks together and drops what was seen before. Returns a whole message, or null while parts are missing or where its
 * `seq` is known: a poll sends again what a push may have brought already.
 */
export function createAssembler(): (raw: Raw, buffers: readonly unknown[]) => Message | null {
  const done = new Set<number>();
  const begun = new Map<number, Map<number, readonly Piece[]>>();
  return (raw, buffers) => {
    const seq = typeof raw["seq"] === "number" ? raw["seq"] : null;
    if (seq !== null && done.has(seq)) return null;
    const [index, count] = partOf(raw);
    const pieces = piecesOf(raw, buffers);
    let parts: ReadonlyMap<number, readonly Piece[]> = new Map([[index, pieces]]);
    if (seq !== null && count > 1) {
      const known = begun.get(seq) ?? new Map<number, readonly Piece[]>();
      known.set(index, pieces);
      begun.set(seq, known);
      parts = known;
    }
    if (parts.size < count) return null;
    if (seq !== null) {
      begun.delete(seq);
      done.add(seq);
      // a kernel resends only what is recent, and a page may stay open for days
      const [oldest] = done;
      if (done.size > REMEMBERED && oldest !== undefined) done.delete(oldest);
    }
    return { raw, buffers: joined([...parts.values()].flat()) };
  };
}

function partOf(raw: Raw): readonly [index: number, count: number] {
  const part = raw["part"];
  if (!Array.isArray(part)) return [0, 1];
  const [index, count] = part as unknown[];
  if (typeof index === "number" && typeof count === "number" && index >= 0 && index < count) return [index, count];
  throw unexpected("part to be [i, n] with i < n", part);
}

function piecesOf(raw: Raw, buffers: readonly unknown[]): Piece[] {
  const named = (raw["pieces"] ?? raw["buffers"] ?? []) as readonly (string | { name: string; offset: number })[];
  if (named.length !== buffers.length) throw unexpected(`${named.length} buffers`, buffers.length);
  return named.map((one, i) => {
    const { name, offset } = typeof one === "string" ? { name: one, offset: 0 } : one;
    return { name, offset, bytes: bytesOf(buffers[i]) };
  });
}

function joined(pieces: readonly Piece[]): Map<string, Uint8Array> {
  const whole = new Map<string, Uint8Array>();
  for (const name of new Set(pieces.map((piece) => piece.name))) {
    const own = pieces.filter((piece) => piece.name === name).sort((a, b) => a.offset - b.offset);
    whole.set(name, own.length === 1 ? own[0]!.bytes : concatenated(own));
  }
  return whole;
}

function concatenated(pieces: readonly Piece[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((total, piece) => total + piece.bytes.length, 0));
  let end = 0;
  for (const piece of pieces) {
    if (piece.offset !== end) throw unexpected(`${piece.name} to go on at byte ${end}`, piece.offset);
    bytes.set(piece.bytes, end);
    end += piece.bytes.length;
  }
  return bytes;
}

/** The messages of a packet (see "Packed" in the protocol), in the order in which they are to be replayed. */
export async function unpack(packet: Uint8Array): Promise<Message[]> {
  const bytes = isDeflated(packet) ? await inflate(packet.subarray(4)) : packet;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))) as {
    readonly messages: readonly (Raw & { buffers?: string[]; lengths?: number[]; encodings?: string[] })[];
  };
  let at = padded(4 + length);
  return header.messages.map((raw) => {
    const buffers = new Map<string, Uint8Array>();
    for (const [i, name] of (raw.buffers ?? []).entries()) {
      const size = raw.lengths?.[i] ?? 0;
      if (at + size > bytes.length) throw unexpected(`${size} bytes for ${name}`, bytes.length - at);
      const stored = bytes.subarray(at, at + size);
      buffers.set(name, raw.encodings?.[i] === "u8" ? widened(stored) : stored);
      at = padded(at + size);
    }
    return { raw, buffers };
  });
}

function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}

/** Whether a packet starts with "SLWZ"; elsewhere these bytes would be a header of 1.5 GB. */
function isDeflated(packet: Uint8Array): boolean {
  return [0x53, 0x4c, 0x57, 0x5a].every((byte, i) => packet[i] === byte);
}

/** `float32 low, float32 high, uint8[n]` as n float32 numbers. */
function widened(stored: Uint8Array): Uint8Array {
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  const low = view.getFloat32(0, true);
  const step = (view.getFloat32(4, true) - low) / 255;
  return bytesOf(Float32Array.from(stored.subarray(8), (level) => low + step * level));
}

export async function inflate(bytes: Uint8Array): Promise<Uint8Array> {
  // a copy, so that the Blob is made of an ArrayBuffer whatever memory the host handed over
  const stream = new Blob([bytes.slice()]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
