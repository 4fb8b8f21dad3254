import type { Device } from "../ffi/device.ts";
import { Tensor } from "./tensor.ts";

/** A run of tokens that attend to one another, and to a parent's keys first. */
export interface Segment {
  /** First query row. */
  qStart: number;
  /** Query rows. */
  qLen: number;
  /** First key of its own. */
  kvStart: number;
  /** Keys of its own. */
  kvLen: number;
  /** Index of the segment whose keys come first; -1 or left out: none. A parent has no parent itself. */
  parent?: number;
}

/** A prompt and what was said to it, packed behind one another: the prefix, then each suffix. */
export interface PrefixGroup {
  /** Tokens of the shared prefix; 0 for none. */
  prefix: number;
  /** Tokens of each sequence after the prefix. */
  suffixes: readonly number[];
}

/**
 * The segment table of attention: which tokens of a packed batch see which. Checked once, uploaded once, used by every layer.
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
  /** i32 [count, 8], as kedge.h says. */
  readonly table: Tensor;
  /** Segments. */
  readonly count: number;
  /** Query rows of the longest segment. */
  readonly maxQ: number;
  /** Own keys of the longest segment. */
  readonly maxKv: number;
  /** Rows of q. */
  readonly qTokens: number;
  /** Rows of k and v. */
  readonly kvTokens: number;
  /** Whether a token sees only its own past. */
  readonly causal: boolean;

  /**
   * From any table. The children of a segment must follow one another.
   *
   * @param options `qTokens`, `kvTokens`: rows of the matrices; default what the segments cover.
   * @throws {RangeError} that names the segment at fault.
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
      if (parent < 0 || parent >= segments.length) continue; // the check names a parent that is not there
      if (rows[8 * parent + 6] === 0) rows[8 * parent + 5] = i;
      rows[8 * parent + 6] = i + 1;
    }
    device.host.segmentsCheck(rows, segments.length, this.qTokens, this.kvTokens, Number(options.causal));
    this.table = Tensor.from(device, rows, { shape: [segments.length, 8] });
  }

  /** Sequences, pictures or windows behind one another, none of which sees another. */
  static packed(device: Device, lengths: readonly number[], options: { causal: boolean }): Segments {
    return Segments.grouped(device, lengths.map((length) => ({ prefix: length, suffixes: [] })), options);
  }

  /** Groups behind one another: of each, its prefix and then its suffixes, which see the prefix and themselves. */
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
