import type { Device } from "../../ffi/device.ts";
import { describe, Tensor } from "../tensor.ts";
import type { Value } from "../value.ts";
import { emptyLike, inPlace } from "./place.ts";

/**
 * The cosines and sines of every token's angles: cos(positions[axis[i]][t] * invFreq[i]), i < half a head.
 *
 * @example
 * ```ts
 * import { openDevice, RopeTable } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using table = new RopeTable(device, { positions: [Int32Array.of(0, 7)], axis: [0, 0], invFreq: [1, 0] });
 * assertEquals([...table.cos.toArray()], [1, 1, Math.fround(Math.cos(7)), 1]);
 * ```
 */
export class RopeTable implements Disposable {
  /** f32 [tokens, half]. */
  readonly cos: Tensor;
  /** f32 [tokens, half]. */
  readonly sin: Tensor;

  /**
   * Computes the table on the device.
   *
   * @param from `positions`: one array of token positions for each axis (text and video: time, row, column; pictures: row, column); `axis`: the axis
   * of each of the half head's frequencies; `invFreq`: those frequencies.
   */
  constructor(device: Device, from: { positions: readonly Int32Array[]; axis: readonly number[]; invFreq: ArrayLike<number> }) {
    const [axes, half] = [from.positions.length, from.axis.length];
    const tokens = from.positions[0]?.length ?? 0;
    if (from.invFreq.length !== half || from.positions.some((p) => p.length !== tokens)) {
      throw new RangeError(`Cannot make a rotary table: ${half} axes for ${from.invFreq.length} frequencies, or axes of different lengths`);
    }
    const packed = new Int32Array(axes * tokens);
    for (const [i, axis] of from.positions.entries()) packed.set(axis, i * tokens);
    using positions = Tensor.from(device, packed);
    using axis = Tensor.from(device, Int32Array.from(from.axis));
    using invFreq = Tensor.from(device, Float32Array.from(from.invFreq));
    this.cos = Tensor.empty(device, [tokens, half]);
    this.sin = Tensor.empty(device, [tokens, half]);
    device.ops.ropeTable(this.cos.address, this.sin.address, positions.address, axis.address, invFreq.address, axes, tokens, half);
  }

  /** Frees the table. */
  [Symbol.dispose](): void {
    this.cos[Symbol.dispose]();
    this.sin[Symbol.dispose]();
  }
}

/**
 * Rotates each head's pairs (i, i + headDim / 2) by their token's angles. Su et al., arXiv 2104.09864.
 *
 * @param x [tokens, heads * headDim]. It may be a column range.
 * @param table A table of as many tokens. headDim is twice its half.
 * @param options `inPlace`: writes into the memory of `x`.
 *
 * @example
 * ```ts
 * import { openDevice, rope, RopeTable, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * using table = new RopeTable(device, { positions: [Int32Array.of(2)], axis: [0], invFreq: [0.5] }); // one pair, turned by 1
 * const turned = rope(tape.constant(Tensor.from(device, [1, 0], { shape: [1, 2] })), table).tensor.toFloats();
 * assertAlmostEquals(turned[0]!, Math.cos(1), 1e-6);
 * assertAlmostEquals(turned[1]!, Math.sin(1), 1e-6);
 * ```
 */
export function rope(x: Value, table: RopeTable, options: { inPlace?: boolean } = {}): Value {
  const { device, rows, cols } = x;
  const { cos, sin } = table;
  const headDim = 2 * cos.cols;
  if (cos.rows !== rows || cols % headDim !== 0) {
    throw new RangeError(`Cannot rotate ${describe(x)} by a table of ${cos.rows} tokens and heads of ${headDim}`);
  }
  const heads = cols / headDim;
  const source = x.tensor;
  const y = options.inPlace ? inPlace(x) : emptyLike(x);
  device.ops.rope(
    y.dtypeCode,
    y.address,
    y.rowStride,
    source.address,
    source.rowStride,
    cos.address,
    sin.address,
    rows,
    heads,
    headDim,
    0,
    0,
  );
  const [out] = x.tape.record({
    name: "rope",
    inputs: [x],
    outputs: [y],
    save: [cos, sin],
    backward: (run) => {
      const dy = run.upstream(0)!;
      const dx = run.slot(x)!;
      const [c, s] = [run.saved(0).address, run.saved(1).address];
      device.ops.rope(dy.dtypeCode, dx.address, dx.stride, dy.address, cols, c, s, rows, heads, headDim, 1, Number(dx.accumulate));
    },
  });
  return out!;
}
