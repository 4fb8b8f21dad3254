import { describe, Tensor } from "../tensor.ts";
import type { Value } from "../value.ts";
import { addAndNormRows, normParameter, normRows, type RowsNorm } from "./rows_norm.ts";
import { type Weight, weightOf } from "./weight.ts";

/**
 * Computes x / sqrt(mean(x^2) + eps) * weight for each row. Zhang & Sennrich, arXiv 1910.07467.
 *
 * @param x [rows, dim].
 * @param weight [dim].
 * @param options `eps`: default 1e-6.
 * @example
 * ```ts
 * import { openDevice, rmsnorm, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const x = tape.constant(Tensor.from(device, [3, -3], { shape: [1, 2] })), weight = tape.constant(Tensor.from(device, [1, 2]));
 * assertEquals(Array.from(rmsnorm(x, weight).tensor.toFloats(), Math.round), [1, -2]);
 * ```
 */
export function rmsnorm(x: Value, weight: Weight, options: { eps?: number } = {}): Value {
  return normRows(x, rms(x, weight, options));
}

/** Results of {@linkcode addRmsnorm}. */
export interface AddRmsnorm extends Readonly<Record<string, Value>> {
  /** The normalised sum. */
  y: Value;
  /** x + residual. */
  h: Value;
}

/**
 * Computes the residual sum and its norm in one pass: h = x + residual, y = rmsnorm(h).
 *
 * @param x [rows, dim].
 * @param residual [rows, dim].
 * @param options `weight`: [dim]; `eps`: default 1e-6; `inPlace`: h uses the memory of x, which then holds the numbers of h.
 * @example
 * ```ts
 * import { addRmsnorm, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const row = (a: number, b: number) => tape.constant(Tensor.from(device, [a, b], { shape: [1, 2] }));
 * const { h, y } = addRmsnorm(row(1, -4), row(2, 1), { weight: tape.constant(Tensor.from(device, [1, 2])) });
 * assertEquals([[...h.tensor.toFloats()], Array.from(y.tensor.toFloats(), Math.round)], [[3, -3], [1, -2]]);
 * ```
 */
export function addRmsnorm(x: Value, residual: Value, options: { weight: Weight; eps?: number; inPlace?: boolean }): AddRmsnorm {
  const { y, h } = addAndNormRows(x, residual, { norm: rms(x, options.weight, options), inPlace: options.inPlace ?? false });
  return { y, h };
}

function rms({ device: { ops }, rows, cols }: Value, weight: Weight, { eps = 1e-6 }: { eps?: number }): RowsNorm {
  return {
    name: "rmsnorm",
    parameters: [weight],
    statistics: 1,
    forward: ({ y, h, statistics: [rstd], x, residual, parameters: [w] }) =>
      ops.rmsnormFwd(y.dtypeCode, y.address, h, rstd!, x, residual, w!, rows, cols, eps),
    backward: ({ dx, accumulate, gradients: [dw], dy, dh, h, parameters: [w], statistics: [rstd] }) =>
      ops.rmsnormBwd(dy.dtypeCode, dx, dw!, dy.address, dh, h, w!, rstd!, rows, cols, accumulate),
  };
}

/**
 * Computes {@linkcode rmsnorm} of each head by itself, with one weight for all heads.
 *
 * @param x [tokens, heads * headDim]. It may be a column range.
 * @param weight [headDim].
 * @param options `eps`: default 1e-6.
 * @example
 * ```ts
 * import { headRmsnorm, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const x = tape.constant(Tensor.from(device, [3, -3, 5, 5], { shape: [1, 4] })), weight = tape.constant(Tensor.from(device, [1, 2]));
 * assertEquals(Array.from(headRmsnorm(x, weight).tensor.toFloats(), Math.round), [1, -2, 1, 2]); // two heads of 2
 * ```
 */
export function headRmsnorm(x: Value, weight: Weight, options: { eps?: number } = {}): Value {
  const { device, dtype, rows: tokens, cols } = x;
  const headDim = weightOf(x, weight).size;
  if (headDim === 0 || cols % headDim !== 0) throw new RangeError(`Cannot normalise heads of ${headDim} in ${describe(x)}`);
  const w = normParameter(x, { weight, dim: headDim });
  const heads = cols / headDim;
  const y = x.tape.empty(x.shape, dtype);
  using rstd = Tensor.empty(device, [tokens, heads]);
  const [source, eps] = [x.tensor, options.eps ?? 1e-6];
  device.ops.headRmsnormFwd(
    ...[y.dtypeCode, y.address, cols, rstd.address, source.address, source.rowStride] as const,
    ...[w.tensor.address, tokens, heads, headDim, eps] as const,
  );
  const [out] = x.tape.record({
    name: "headRmsnorm",
    inputs: [x, w],
    outputs: [y],
    save: [source, w.tensor, rstd],
    backward: (run) => {
      const dy = run.upstream(0)!;
      const [dx] = run.slots([x]);
      const dw = run.weightSlot(w, { add: true, f32: true });
      const [from, weights, scales] = [run.saved(0), run.saved(1), run.saved(2)];
      device.ops.headRmsnormBwd(
        ...[dy.dtypeCode, dx!.address, dx!.stride, dw?.address ?? 0, dy.address, cols, from.address, from.rowStride] as const,
        ...[weights.address, scales.address, tokens, heads, headDim, Number(dx!.accumulate)] as const,
      );
    },
  });
  return out!;
}
