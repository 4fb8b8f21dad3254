import { describe, Tensor } from "../tensor.ts";
import type { Value } from "../value.ts";
import { type Weight, weightOf } from "./weight.ts";
import { checkAlike, dense, emptyLike } from "./place.ts";

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
  const input = dense(x);
  const w = checked(input, weight);
  const { device } = x;
  const y = emptyLike(input);
  using rstd = Tensor.empty(device, [x.rows]);
  device.ops.rmsnormFwd(
    y.dtypeCode,
    y.address,
    0,
    rstd.address,
    input.tensor.address,
    0,
    w.tensor.address,
    x.rows,
    x.cols,
    options.eps ?? 1e-6,
  );
  const [out] = x.tape.record({
    name: "rmsnorm",
    inputs: [input, w],
    outputs: [y],
    save: [input.tensor, w.tensor, rstd],
    backward: (run) => {
      const dy = run.upstream(0)!;
      const [dx] = run.slots([input]);
      const dw = run.weightSlot(w, { add: true, f32: true });
      const [h, weights, scales] = [run.saved(0), run.saved(1), run.saved(2)];
      const accumulate = Number(dx!.accumulate);
      const into = dw?.address ?? 0;
      device.ops.rmsnormBwd(
        dy.dtypeCode,
        dx!.address,
        into,
        dy.address,
        0,
        h.address,
        weights.address,
        scales.address,
        x.rows,
        x.cols,
        accumulate,
      );
    },
  });
  return out!;
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
  checkAlike("add", x, residual);
  const [input, rest] = [dense(x), dense(residual)];
  const w = checked(input, options.weight);
  const { device, rows, cols } = x;
  const source = input.tensor;
  // The memory of x may be reused only if no op has saved it.
  const h = options.inPlace && !input.foreign ? source.view() : emptyLike(input);
  if (h.address === source.address) h.storage.version++;
  const y = emptyLike(input);
  using rstd = Tensor.empty(device, [rows]);
  const { tensor } = rest;
  device.ops.rmsnormFwd(
    y.dtypeCode,
    y.address,
    h.address,
    rstd.address,
    source.address,
    tensor.address,
    w.tensor.address,
    rows,
    cols,
    options.eps ?? 1e-6,
  );
  const [normed, sum] = x.tape.record({
    name: "addRmsnorm",
    inputs: [input, rest, w],
    outputs: [y, h],
    save: [h, w.tensor, rstd],
    backward: (run) => {
      const dw = run.weightSlot(w, { add: true, f32: true });
      const [dy, dh] = [run.upstream(0), run.upstream(1)];
      if (!dy) {
        run.hand(input, dh!);
        run.hand(rest, dh!);
        return;
      }
      // One buffer is the gradient of both x and the residual, if they have none yet.
      const dx = dh && run.exclusive(1) ? dh : run.exclusive(0) ? dy : run.temporary(input.shape, { dtype: input.dtype });
      const [sum, weights, scales] = [run.saved(0), run.saved(1), run.saved(2)];
      const [into, beside] = [dw?.address ?? 0, dh?.address ?? 0];
      device.ops.rmsnormBwd(
        dy.dtypeCode,
        dx.address,
        into,
        dy.address,
        beside,
        sum.address,
        weights.address,
        scales.address,
        rows,
        cols,
        0,
      );
      run.hand(input, dx);
      run.hand(rest, dx);
    },
  });
  return { y: normed!, h: sum! };
}

function checked(x: Value, weight: Weight): Value {
  const w = weightOf(x, weight);
  if (w.size !== x.cols || w.dtype !== x.dtype) {
    throw new RangeError(`Cannot normalise ${describe(x)} with weight ${describe(w)}: sizes or types differ`);
  }
  return w;
}
