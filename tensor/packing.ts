/** Cuts packed numbers into the parts of each response. */
export function pieces<T extends Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer>>(packed: T, lengths: readonly number[]): T[] {
  let at = 0;
  return lengths.map((length) => packed.slice(at, at += length) as T);
}

/** Concatenates numbers. */
export function concatenated(parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const out = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
