/** Writes the packets that `packet.ts` reads; in the product that is Python's part. */

export interface Stored {
  readonly message: Readonly<Record<string, unknown>>;
  readonly buffers: ReadonlyMap<string, Uint8Array>;
}

export function pack(stored: readonly Stored[]): Uint8Array {
  const chunks = stored.flatMap(({ buffers }) => [...buffers.values()]);
  const messages = stored.map(({ message, buffers }) => ({
    ...message,
    buffers: [...buffers.keys()],
    lengths: [...buffers.values()].map((bytes) => bytes.length),
    encodings: [...buffers.keys()].map(() => "raw"),
  }));
  const header = new TextEncoder().encode(JSON.stringify({ version: 1, messages }));
  const start = padded(4 + header.length);
  const packet = new Uint8Array(start + chunks.reduce((total, { length }) => total + padded(length), 0));
  new DataView(packet.buffer).setUint32(0, header.length, true);
  packet.set(header, 4);
  let at = start;
  for (const chunk of chunks) {
    packet.set(chunk, at);
    at += padded(chunk.length);
  }
  return packet;
}

export async function deflated(packet: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([packet.slice()]).stream().pipeThrough(new CompressionStream("deflate"));
  const body = new Uint8Array(await new Response(stream).arrayBuffer());
  const whole = new Uint8Array(4 + body.length);
  whole.set(new TextEncoder().encode("SLWZ"));
  whole.set(body, 4);
  return whole;
}

function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}
