import { assertAlmostEquals, assertEquals } from "@std/assert";
import { crc32c, TensorBoard } from "../../actors/run/tensorboard.ts";

/** Returns the records of an event file, and checks their CRCs. */
function records(bytes: Uint8Array): Uint8Array[] {
  const out: Uint8Array[] = [], view = new DataView(bytes.buffer);
  const unmask = (crc: number) => {
    const rotated = (crc - 0xa282ead8) >>> 0;
    return ((rotated >>> 17) | (rotated << 15)) >>> 0;
  };
  for (let at = 0; at < bytes.length;) {
    const length = Number(view.getBigUint64(at, true)), data = bytes.subarray(at + 12, at + 12 + length);
    assertEquals(unmask(view.getUint32(at + 8, true)), crc32c(bytes.subarray(at, at + 8)));
    assertEquals(unmask(view.getUint32(at + 12 + length, true)), crc32c(data));
    out.push(data);
    at += 16 + length;
  }
  return out;
}

/** Returns the fields of a message: number to values. */
function fields(bytes: Uint8Array): Map<number, (number | Uint8Array)[]> {
  const out = new Map<number, (number | Uint8Array)[]>(), view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = () => {
    let value = 0, factor = 1, byte: number;
    do {
      byte = bytes[at++]!;
      value += (byte & 127) * factor;
      factor *= 128;
    } while (byte & 128);
    return value;
  };
  while (at < bytes.length) {
    const tag = varint(), kind = tag & 7;
    let value: number | Uint8Array;
    if (kind === 0) value = varint();
    else if (kind === 1) [value, at] = [view.getFloat64(at, true), at + 8];
    else if (kind === 5) [value, at] = [view.getFloat32(at, true), at + 4];
    else {
      const length = varint();
      [value, at] = [bytes.subarray(at, at + length), at + length];
    }
    out.set(tag >> 3, [...out.get(tag >> 3) ?? [], value]);
  }
  return out;
}

Deno.test("an event file holds the version and every number of every line", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const board = new TensorBoard(folder), text = new TextDecoder();
    board.scalars(3, { step: 3, "reward/overall": 0.25, phase: "rl", "actor/lr": 1e-4 });
    board.scalars(300, { "reward/overall": -1 });
    const [head, first, second, ...rest] = records(Deno.readFileSync(board.path)).map(fields);
    assertEquals(rest.length, 0);
    assertEquals(text.decode(head!.get(3)![0] as Uint8Array), "brain.Event:2");
    const values = (event: Map<number, (number | Uint8Array)[]>) =>
      fields(event.get(5)![0] as Uint8Array).get(1)!.map((value) => fields(value as Uint8Array)).map((value) =>
        [text.decode(value.get(1)![0] as Uint8Array), value.get(2)![0] as number] as const
      );
    assertEquals([first!.get(2), second!.get(2)], [[3], [300]]);
    assertEquals(values(first!).map(([tag]) => tag), ["reward/overall", "actor/lr"]);
    assertAlmostEquals(values(first!)[1]![1], 1e-4, 1e-10);
    assertEquals(values(second!), [["reward/overall", -1]]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
