/** The number of surplus values that a run or a block of deltas may have, because writers fill up their last one. */
const FILLED = 512;

/**
 * A value of a Thrift struct: a number, a boolean, or the fields of a struct by their ids; undefined for types that page headers do not
 * use.
 */
export type ThriftValue = number | boolean | ThriftFields | undefined;

/** The fields of a Thrift struct, by their ids. */
export type ThriftFields = ReadonlyMap<number, ThriftValue>;

/** Reads the headers and counts of a Parquet page. A method throws a `RangeError` if the bytes end, or if a count is impossible. */
export class ParquetCursor {
  /** The index of the next byte. */
  at: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw new RangeError("it is truncated");
    return byte;
  }

  skip(count: number): undefined {
    if (!(count >= 0 && this.at + count <= this.#bytes.length)) throw new RangeError("it is truncated");
    this.at += count;
  }

  /** Reads a length of four bytes. */
  length(): number {
    const at = this.at;
    this.skip(4);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset).getUint32(at, true);
  }

  /** Reads a whole number in groups of seven bits. 64 bits are exact up to 2^53. */
  unsigned(bits: 32 | 64 = 32): number {
    let value = 0;
    for (let shift = 0; shift < bits; shift += 7) {
      const byte = this.byte();
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return bits === 32 ? value % 2 ** 32 : value;
    }
    throw new RangeError("a number of it does not end");
  }

  signed(bits: 32 | 64 = 32): number {
    const value = this.unsigned(bits);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** Reads a struct in Thrift's compact protocol. */
  struct(depth = 0): ThriftFields {
    const fields = new Map<number, ThriftValue>();
    for (let last = 0;;) {
      const head = this.byte(), type = head & 15;
      if (type === 0) return fields;
      last = head >> 4 === 0 ? this.signed() : last + (head >> 4);
      fields.set(last, this.#value(type, depth));
    }
  }

  #value(type: number, depth: number): ThriftValue {
    if (depth > 8) throw new RangeError("its structs are too deep");
    switch (type) {
      case 1:
      case 2:
        return type === 1;
      case 3:
        return this.byte() << 24 >> 24;
      case 4: // integers of 16, 32 and 64 bits
      case 5:
        return this.signed();
      case 6:
        return this.signed(64);
      case 7: // a double
        return this.skip(8);
      case 8: // bytes
        return this.skip(this.unsigned());
      case 9:
        return this.#list(depth + 1);
      case 12:
        return this.struct(depth + 1);
      default:
        throw new RangeError(`a field of it is of type ${type}`);
    }
  }

  #list(depth: number): undefined {
    const head = this.byte(), type = head & 15, count = head >> 4 === 15 ? this.unsigned() : head >> 4;
    for (let i = 0; i < count; i++) type === 1 || type === 2 ? this.byte() : this.#value(type, depth); // each takes at least one byte
  }

  /**
   * Reads runs: repetitions of one value, or values packed into `width` bits each. The last run may be longer than needed.
   *
   * @param options `count`: the number of values needed. `most`: the value to count.
   * @returns The number of values that equal `most`.
   */
  runs({ width, count, most }: { width: number; count: number; most?: number }): number {
    let seen = 0, found = 0;
    while (seen < count) {
      const head = this.unsigned(), packed = head % 2 === 1, length = packed ? (head - 1) * 4 : head / 2;
      if (length > count + FILLED) throw new RangeError(`a run of it has ${length} values, but ${count} are expected`);
      if (packed) {
        if (most !== undefined) found += this.#packed({ width, count: Math.min(length, count - seen), value: most });
        this.at += Math.ceil(length * width / 8); // its last bytes may be missing
      } else {
        let value = 0;
        for (let i = 0; i < width; i += 8) value += this.byte() * 2 ** i;
        if (value === most) found += length;
      }
      seen += length;
    }
    return found;
  }

  /** Counts how many of the next packed values equal `value`. */
  #packed({ width, count, value }: { width: number; count: number; value: number }): number {
    let found = 0, bits = 0, left = 0, at = this.at;
    for (let i = 0; i < count; i++) {
      for (; left < width; left += 8) bits |= (this.#bytes[at++] ?? 0) << left;
      if ((bits & (1 << width) - 1) === value) found++;
      bits >>>= width;
      left -= width;
    }
    return found;
  }

  /**
   * Reads the deltas of DELTA_BINARY_PACKED.
   *
   * @param options `count`: the number of values. `each`: receives every value, which must fit into 32 bits.
   */
  deltas({ count, each }: { count: number; each?: (value: number) => void }): void {
    const block = this.unsigned(), parts = this.unsigned(), size = block / parts;
    this.unsigned(64); // the number of values
    if (!(parts >= 1 && block <= 2 ** 20 && size >= 8 && size % 8 === 0)) {
      throw new RangeError(`a block of it has ${block} deltas in ${parts} parts`);
    }
    let value = this.signed(64);
    if (count > 0) each?.(value);
    for (let seen = 1; seen < count;) {
      const least = this.signed(64), widths = this.at;
      this.skip(parts);
      for (let part = 0; part < parts && seen < count; part++, seen += size) {
        const width = this.#bytes[widths + part]!, wanted = Math.min(size, count - seen);
        if (width > (each ? 32 : 64)) throw new RangeError(`a delta of it has ${width} bits`);
        for (let i = 0; each && i < wanted; i++) each(value += least + this.#bits(i * width, width));
        this.at += size * width / 8; // its last bytes may be missing
      }
    }
  }

  /** Reads a whole number of `width` bits, beginning at bit `from`. */
  #bits(from: number, width: number): number {
    let value = 0;
    for (let bit = 0; bit < width; bit++) {
      const at = from + bit;
      if (((this.#bytes[this.at + (at >> 3)] ?? 0) >> (at & 7)) % 2 === 1) value += 2 ** bit;
    }
    return value;
  }
}
