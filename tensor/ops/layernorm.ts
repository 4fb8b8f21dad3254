import type { Value } from "../value.ts";
import { addAndNormRows, normRows, type RowsNorm } from "./rows_norm.ts";
import type { Weight } from "./weight.ts";

/** The parameters of a {@linkcode layernorm}. */
export interface LayernormOptions {
  /** [dim]. */
  weight: Weight;
  /** [dim]. */
  bias: Weight;
  /** Default 1e-6. */
  eps?: number;
}

/**
 * Computes (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias for each row. Ba et al., arXiv 1607.06450.
 *
 * @param x [rows, dim].
 * @example
 * ```ts
 * import { layernorm, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const constant = (...numbers: number[]) => tape.constant(Tensor.from(device, numbers));
 * const x = tape.constant(Tensor.from(device, [7, 1], { shape: [1, 2] }));
 * const y = layernorm(x, { weight: constant(1, 2), bias: constant(0, 5) });
 * assertEquals(Array.from(y.tensor.toFloats(), Math.round), [1, 3]);
 * ```
 */
export function layernorm(x: Value, options: LayernormOptions): Value {
  return normRows(x, layer(x, options));
}

/** Results of {@linkcode addLayernorm}. */
export interface AddLayernorm extends Readonly<Record<string, Value>> {
  /** The normalised sum. */
  y: Value;
  /** x + residual. */
  h: Value;
}

/**
 * Computes the residual sum and its norm in one pass: h = x + residual, y = layernorm(h).
 *
 * @param x [rows, dim].
 * @param residual [rows, dim].
 * @param options Those of {@linkcode layernorm}, and `inPlace`: h uses the memory of x, which then holds the numbers of h.
 * @example
 * ```ts
 * import { addLayernorm, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const row = (a: number, b: number) => tape.constant(Tensor.from(device, [a, b], { shape: [1, 2] }));
 * const { h, y } = addLayernorm(row(3, 0), row(4, 1), { weight: row(1, 2), bias: row(0, 5) });
 * assertEquals([[...h.tensor.toFloats()], Array.from(y.tensor.toFloats(), Math.round)], [[7, 1], [1, 3]]);
 * ```
 */
export function addLayernorm(x: Value, residual: Value, options: LayernormOptions & { inPlace?: boolean }): AddLayernorm {
  const { y, h } = addAndNormRows(x, residual, { norm: layer(x, options), inPlace: options.inPlace ?? false });
  return { y, h };
}

function layer({ device: { ops }, rows, cols }: Value, { weight, bias, eps = 1e-6 }: LayernormOptions): RowsNorm {
  return {
    name: "layernorm",
    parameters: [weight, bias],
    statistics: 2,
    forward: ({ y, h, statistics: [mean, rstd], x, residual, parameters: [w, b] }) =>
      ops.layernormFwd(y.dtypeCode, y.address, h, mean!, rstd!, x, residual, w!, b!, rows, cols, eps),
    backward: ({ dx, accumulate, gradients: [dw, db], dy, dh, h, parameters: [w], statistics: [mean, rstd] }) =>
      ops.layernormBwd(dy.dtypeCode, dx, dw!, db!, dy.address, dh, h, w!, mean!, rstd!, rows, cols, accumulate),
  };
}
