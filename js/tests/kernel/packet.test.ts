import { describe, expect, test } from "vitest";
import { deflated, pack } from "../../playground/pack.ts";
import { bytesOf, createAssembler, floatsOf, shortsOf, unpack } from "../../src/kernel/packet.ts";
import { bytes, resultMessage } from "../fixtures.ts";

describe("buffers", () => {
  const numbers = Float32Array.of(1, -2, 3.5);

  test.each([
    ["a DataView", (raw: ArrayBuffer) => new DataView(raw)],
    ["a Uint8Array", (raw: ArrayBuffer) => new Uint8Array(raw)],
    ["an ArrayBuffer", (raw: ArrayBuffer) => raw],
  ])("are read from %s", (_, wrap) => {
    expect(floatsOf(bytesOf(wrap(numbers.slice().buffer)))).toEqual(numbers);
  });

  test.each([0, 1, 2, 3, 4])("are read at byte offset %i", (offset) => {
    const raw = new Uint8Array(offset + 12);
    raw.set(bytes(numbers), offset);

    expect(floatsOf(bytesOf(new DataView(raw.buffer, offset, 12)))).toEqual(numbers);
  });

  test("uint16 may start at an odd byte", () => {
    const raw = new Uint8Array([9, 1, 0, 255, 255]);
    expect([...shortsOf(raw.subarray(1))]).toEqual([1, 65535]);
  });

  test("half a number is refused", () => {
    expect(() => floatsOf(new Uint8Array(5))).toThrow("expected bytes of whole numbers of 4, got 5");
  });
});

describe("chunks", () => {
  const first = Uint8Array.of(1, 2, 3);
  const second = Uint8Array.of(4, 5);
  const chunk = (i: number) => ({
    op: "result", seq: 7, part: [i, 2], pieces: [{ name: "values", offset: 3 * i, bytes: i === 0 ? 3 : 2 }],
  });

  test.each([[[0, 1]], [[1, 0]]])("are put together in whichever order they come: %j", (order) => {
    const assemble = createAssembler();
    const messages = order.map((i) => assemble(chunk(i), [i === 0 ? first : second]));

    expect(messages[0]).toBeNull();
    expect([...messages[1]!.buffers.get("values")!]).toEqual([1, 2, 3, 4, 5]);
  });

  test("that come twice count once", () => {
    const assemble = createAssembler();

    expect(assemble(chunk(0), [first])).toBeNull();
    expect(assemble(chunk(0), [first])).toBeNull();
    expect(assemble(chunk(1), [second])).not.toBeNull();
    expect(assemble(chunk(1), [second])).toBeNull();
  });

  test("with a hole in a buffer are refused", () => {
    const assemble = createAssembler();
    assemble(chunk(0), [first]);
    const late = { ...chunk(1), pieces: [{ name: "values", offset: 4, bytes: 2 }] };

    expect(() => assemble(late, [second])).toThrow("expected values to go on at byte 3, got 4");
  });

  test("of several messages may be mixed", () => {
    const assemble = createAssembler();
    assemble(chunk(0), [first]);
    assemble({ ...chunk(0), seq: 8 }, [first]);

    expect(assemble({ ...chunk(1), seq: 8 }, [second])?.raw["seq"]).toBe(8);
    expect(assemble(chunk(1), [second])?.raw["seq"]).toBe(7);
  });
});

describe("whole messages", () => {
  test("seen twice are dropped by their seq", () => {
    const assemble = createAssembler();

    expect(assemble({ op: "progress", seq: 1 }, [])).not.toBeNull();
    expect(assemble({ op: "progress", seq: 1 }, [])).toBeNull();
    expect(assemble({ op: "progress", seq: 2 }, [])).not.toBeNull();
  });

  test("without a seq are never dropped", () => {
    const assemble = createAssembler();

    expect(assemble({ op: "accepted" }, [])).not.toBeNull();
    expect(assemble({ op: "accepted" }, [])).not.toBeNull();
  });

  test("may name their buffers without pieces", () => {
    const message = createAssembler()({ op: "welcome", seq: 1, buffers: ["picture"] }, [Uint8Array.of(5)]);
    expect([...message!.buffers.get("picture")!]).toEqual([5]);
  });

  test.each([[{ part: [2, 2] }], [{ part: ["a", 1] }]])("with a broken part are refused: %j", (fields) => {
    expect(() => createAssembler()({ op: "result", ...fields }, [])).toThrow("expected part to be [i, n]");
  });

  test("with fewer buffers than they name are refused", () => {
    expect(() => createAssembler()({ op: "result", buffers: ["values"] }, [])).toThrow("expected 1 buffers, got 0");
  });
});

describe("packets", () => {
  const { message, buffers } = resultMessage();
  const stored = [{ message: { op: "prediction", classes: [] }, buffers: new Map<string, Uint8Array>() }, { message, buffers }];

  test.each([["as they are", (packet: Uint8Array) => Promise.resolve(packet)], ["deflated", deflated]])("come back whole, %s", async (_, wrap) => {
    const messages = await unpack(await wrap(pack(stored)));

    expect(messages.map(({ raw }) => raw["op"])).toEqual(["prediction", "result"]);
    expect([...messages[1]!.buffers]).toEqual([...buffers]);
  });

  test("may start anywhere in their memory", async () => {
    const packet = pack(stored);
    const shifted = new Uint8Array(packet.length + 3);
    shifted.set(packet, 3);

    expect((await unpack(shifted.subarray(3)))[1]?.buffers.get("values")).toEqual(buffers.get("values"));
  });

  test("hold maps in bytes, linear between low and high", async () => {
    const compact = new Uint8Array(8 + 3);
    new DataView(compact.buffer).setFloat32(0, -1, true);
    new DataView(compact.buffer).setFloat32(4, 1, true);
    compact.set([0, 255, 51], 8);
    const packet = pack([{ message: { op: "x" }, buffers: new Map([["values", compact]]) }]);
    const text = new TextDecoder("latin1").decode(packet).replace('"raw"', '"u8" ');
    const values = (await unpack(Uint8Array.from(text, (letter) => letter.charCodeAt(0))))[0]!.buffers.get("values")!;

    expect([...floatsOf(values)]).toEqual([-1, 1, Math.fround(-0.6)]);
  });

  test("that end too early are refused", async () => {
    await expect(unpack(pack(stored).subarray(0, -8))).rejects.toThrow("bytes for");
  });
});
