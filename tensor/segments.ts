import type { Device } from "../ffi/device.ts";
import { Tensor } from "./tensor.ts";

/** A run of tokens that attend to one another, and before that to the keys of a parent. */
export interface Segment {
  /** The first query row. */
  qStart: number;
  /** The number of query rows. */
  qLen: number;
  /** The first key of its own. */
  kvStart: number;
  /** The number of keys of its own. */
  kvLen: number;
  /** The index of the segment whose keys come first; -1 or absent for none. A parent has no parent itself. */
  parent?: number;
}

/** A prompt and its responses, packed one after the other: the prefix, then each suffix. */
export interface PrefixGroup {
  /** The number of tokens of the shared prefix; 0 for none. */
  prefix: number;
  /** The number of tokens of each sequence after the prefix. */
  suffixes: readonly number[];
}

/**
 * The segment table of attention: which tokens of a packed batch attend to which. It is checked once, uploaded once, and used by every
 * layer.
 *
 * @example
 * ```ts
 * import { openDevice, Segments } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using segments = Segments.grouped(device, [{ prefix: 5, suffixes: [2, 3] }], { causal: true });
 * assertEquals([segments.qTokens, segments.count, segments.maxKv], [10, 3, 5]);
 * ```
 */
export class Segments implements Disposable {
  /** i32 [count, 8], in the layout of kedge.h. */
  readonly table: Tensor;
  /** The number of segments. */
  readonly count: number;
  /** The number of query rows of the longest segment. */
  readonly maxQ: number;
  /** The number of own keys of the longest segment. */
  readonly maxKv: number;
  /** The number of rows of q. */
  readonly qTokens: number;
  /** The number of rows of k and v. */
  readonly kvTokens: number;
  /** Whether a token attends only to earlier tokens of its own segment. */
  readonly causal: boolean;

  /**
   * Makes a table from any segments. The children of a segment must follow one another.
   *
   * @param options `qTokens`, `kvTokens`: the number of rows of the matrices. Default: the rows that the segments cover.
   * @throws {RangeError} that names the invalid segment.
   */
  constructor(device: Device, segments: readonly Segment[], options: { causal: boolean; qTokens?: number; kvTokens?: number }) {
    this.count = segments.length;
    this.causal = options.causal;
    this.maxQ = segments.reduce((most, s) => Math.max(most, s.qLen), 0);
    this.maxKv = segments.reduce((most, s) => Math.max(most, s.kvLen), 0);
    this.qTokens = options.qTokens ?? segments.reduce((most, s) => Math.max(most, s.qStart + s.qLen), 0);
    this.kvTokens = options.kvTokens ?? segments.reduce((most, s) => Math.max(most, s.kvStart + s.kvLen), 0);
    const rows = new Int32Array(8 * segments.length);
    for (const [i, { qStart, qLen, kvStart, kvLen, parent = -1 }] of segments.entries()) {
      rows.set([qStart, qLen, kvStart, kvLen, parent], 8 * i);
      if (parent < 0 || parent >= segments.length) continue; // the check reports a parent that does not exist
      if (rows[8 * parent + 6] === 0) rows[8 * parent + 5] = i;
      rows[8 * parent + 6] = i + 1;
    }
    device.host.segmentsCheck(rows, segments.length, this.qTokens, this.kvTokens, Number(options.causal));
    this.table = Tensor.from(device, rows, { shape: [segments.length, 8] });
  }

  /** Makes a table of consecutive sequences, pictures or windows that do not attend to one another. */
  static packed(device: Device, lengths: readonly number[], options: { causal: boolean }): Segments {
    return Segments.grouped(device, lengths.map((length) => ({ prefix: length, suffixes: [] })), options);
  }

  /** Makes a table of consecutive groups. Each has a prefix and then suffixes, which attend to the prefix and to themselves. */
  static grouped(device: Device, groups: readonly PrefixGroup[], options: { causal: boolean }): Segments {
    const segments: Segment[] = [];
    let start = 0;
    const place = (length: number, parent: number) => {
      segments.push({ qStart: start, qLen: length, kvStart: start, kvLen: length, parent });
      start += length;
    };
    for (const { prefix, suffixes } of groups) {
      const parent = prefix > 0 && suffixes.length > 0 ? segments.length : -1;
      if (prefix > 0) place(prefix, -1);
      for (const length of suffixes) place(length, parent);
    }
    return new Segments(device, segments, options);
  }

  /** Frees the table. */
  [Symbol.dispose](): void {
    this.table[Symbol.dispose]();
  }
}
