/**
 * The parts of Protocol Buffers' wire format that event files and run logs need (protobuf.dev, "Encoding").
 *
 * @module
 */

/** Encodes an integer in [0, 2^53) as a variable-length integer. */
function varint(value: number): number[] {
  const out: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) out.push(value % 128 | 128);
  return [...out, value];
}

function tag(number: number, wire: number): number[] {
  return varint(number * 8 + wire);
}

/** Encodes a field of type int32, int64, bool or an enum. */
export function integer(number: number, value: number): number[] {
  return [...tag(number, 0), ...varint(value)];
}

/** Encodes a field of type bytes, or a message. */
export function field(number: number, bytes: Iterable<number>): number[] {
  const all = [...bytes];
  return [...tag(number, 2), ...varint(all.length), ...all];
}

/** Encodes a field of type string. */
export function text(number: number, value: string): number[] {
  return field(number, new TextEncoder().encode(value));
}

/** Encodes a field of type double. */
export function double(number: number, value: number): number[] {
  return [...tag(number, 1), ...bytesOf(8, (view) => view.setFloat64(0, value, true))];
}

/** Encodes a field of type float. */
export function float(number: number, value: number): number[] {
  return [...tag(number, 5), ...bytesOf(4, (view) => view.setFloat32(0, value, true))];
}

/** Returns `size` bytes that `write` fills in. */
export function bytesOf(size: number, write: (view: DataView) => void): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  write(new DataView(bytes.buffer));
  return bytes;
}
