import type { Backward } from "../backward.ts";
import type { AttentionShape } from "../../ffi/generated/bindings.ts";
import { describe, Tensor } from "../tensor.ts";
import type { Segments } from "../segments.ts";
import type { Value } from "../value.ts";

/** Inputs and results of attention, which an observer may read while it is called. */
export interface AttentionSeen {
  /** [q tokens, heads * headDim]. */
  q: Tensor;
  /** [kv tokens, kvHeads * headDim]. */
  k: Tensor;
  /** The natural logarithm of the sum of exp(scale q.k): f32 [q tokens, heads]. */
  lse: Tensor;
  /** The shape of the call: heads, scale, strides. */
  shape: AttentionShape;
}

/** Options for {@linkcode attention}. */
export interface AttentionOptions {
  /** Which tokens attend to which. */
  segments: Segments;
  /** The number of query heads. */
  heads: number;
  /** The number of key heads. heads / kvHeads query heads read each. Default: `heads`. */
  kvHeads?: number;
  /** The factor on q.k. Default: 1 / sqrt(headDim). */
  scale?: number;
  /** Is called once after the forward, and not again when a checkpoint repeats it. Connectivity reads q, k and the log-sum-exp here. */
  observe?: (seen: AttentionSeen) => void;
}

/**
 * Computes attention over packed sequences with shared prefixes. The probabilities are never stored. Dao, arXiv 2307.08691.
 *
 * @param inputs `q`: [q tokens, heads * headDim]; `k`, `v`: [kv tokens, kvHeads * headDim]. They may be column ranges of one matrix.
 * @returns [q tokens, heads * headDim].
 *
 * @example
 * ```ts
 * import { attention, openDevice, Segments, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * using segments = Segments.packed(device, [2], { causal: true });
 * const zero = tape.constant(Tensor.zeros(device, [2, 4])); // every token that is seen weighs the same
 * const v = tape.constant(Tensor.from(device, [2, 0, 0, 0, 4, 8, 0, 0], { shape: [2, 4] }));
 * const out = attention({ q: zero, k: zero, v }, { segments, heads: 1 });
 * assertEquals([...out.tensor.toFloats()], [2, 0, 0, 0, 3, 4, 0, 0]);
 * ```
 */
export function attention(inputs: { q: Value; k: Value; v: Value }, options: AttentionOptions): Value {
  const { q, k, v } = inputs, { segments, heads } = options, shape = attentionShape(inputs, options);
  const { device, dtype, rows } = q;
  const [tq, tk, tv, table] = [q.tensor, k.tensor, v.tensor, segments.table];
  const out = q.tape.empty([rows, q.cols], dtype);
  using lse = Tensor.empty(device, [rows, heads]);
  device.ops.attentionFwd(out.dtypeCode, shape, out.address, lse.address, tq.address, tk.address, tv.address, table.address);
  if (options.observe && !q.tape.replaying) options.observe({ q: tq, k: tk, lse, shape });
  const [result] = q.tape.record({
    name: "attention",
    inputs: [q, k, v],
    outputs: [out],
    save: [tq, tk, tv, out, lse, table],
    backward: (run) => attentionBackward(run, inputs, shape),
  });
  return result!;
}

/** The shape of a call. @throws {RangeError} if the inputs do not fit the segments and heads. */
function attentionShape({ q, k, v }: { q: Value; k: Value; v: Value }, options: AttentionOptions): AttentionShape {
  const { segments, heads, kvHeads = heads } = options, headDim = q.cols / heads;
  if (
    k.cols !== kvHeads * headDim || v.cols !== k.cols || q.rows !== segments.qTokens || k.rows !== segments.kvTokens || v.rows !== k.rows
  ) {
    const sizes = `${segments.qTokens} and ${segments.kvTokens} tokens, ${heads} and ${kvHeads} heads`;
    throw new RangeError(`Cannot attend: q ${describe(q)}, k ${describe(k)}, v ${describe(v)} do not fit ${sizes}`);
  }
  return {
    qStride: q.tensor.rowStride,
    kStride: k.tensor.rowStride,
    vStride: v.tensor.rowStride,
    outStride: q.cols,
    nSegments: segments.count,
    maxQ: segments.maxQ,
    maxKv: segments.maxKv,
    qTokens: q.rows,
    kvTokens: k.rows,
    heads,
    kvHeads,
    headDim,
    scale: options.scale ?? 1 / Math.sqrt(headDim),
    causal: Number(segments.causal),
  };
}

function attentionBackward(run: Backward, inputs: { q: Value; k: Value; v: Value }, shape: AttentionShape): void {
  const { q, k, v } = inputs, dy = run.upstream(0)!;
  const [sq, sk, sv, so, sl, st] = Array.from({ length: 6 }, (_, i) => run.saved(i));
  const [dq, dk, dv] = run.slots([q, k, v]);
  const gradients = {
    dqStride: dq!.stride,
    dkStride: dk!.stride,
    dvStride: dv!.stride,
    doutStride: q.cols,
    accumulate: Number(dq!.accumulate) | (Number(dk!.accumulate) << 1) | (Number(dv!.accumulate) << 2),
  };
  const saved = { ...shape, qStride: sq!.rowStride, kStride: sk!.rowStride, vStride: sv!.rowStride };
  q.device.ops.attentionBwd(
    dy.dtypeCode,
    saved,
    gradients,
    ...[dq!.address, dk!.address, dv!.address, dy.address] as const,
    ...[sq!.address, sk!.address, sv!.address, so!.address, sl!.address, st!.address] as const,
  );
}
