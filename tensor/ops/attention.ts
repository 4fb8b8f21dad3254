import { describe, Tensor } from "../tensor.ts";
import type { Segments } from "../segments.ts";
import type { Value } from "../value.ts";

/** What an observer of attention may read while it is called. */
export interface AttentionSeen {
  /** [q tokens, heads * headDim]. */
  q: Tensor;
  /** [kv tokens, kvHeads * headDim]. */
  k: Tensor;
  /** Natural logarithm of the sum of exp(scale q.k): f32 [q tokens, heads]. */
  lse: Tensor;
  /** Query heads. */
  heads: number;
  /** Key heads. */
  kvHeads: number;
  /** Elements of a head. */
  headDim: number;
  /** Factor on q.k. */
  scale: number;
}

/** Options of {@linkcode attention}. */
export interface AttentionOptions {
  /** Which tokens see which. */
  segments: Segments;
  /** Query heads. */
  heads: number;
  /** Key heads, each read by heads / kvHeads query heads. Default `heads`. */
  kvHeads?: number;
  /** Factor on q.k. Default 1 / sqrt(headDim). */
  scale?: number;
  /** Called once after the forward, not again where a checkpoint repeats it: connectivity reads q, k and the log-sum-exp here. */
  observe?: (seen: AttentionSeen) => void;
}

/**
 * Attention over packed sequences with shared prefixes, without materialised probabilities. Dao, arXiv 2307.08691.
 *
 * @param inputs `q`: [q tokens, heads * headDim]; `k`, `v`: [kv tokens, kvHeads * headDim]; they may be column ranges of one matrix.
 * @returns [q tokens, heads * headDim].
 *
 * @example
 * ```ts
 * import { openDevice } from "../../ffi/open.ts";
 * import { Segments } from "../segments.ts";
 * import { Tape } from "../tape.ts";
 * import { Tensor } from "../tensor.ts";
 * import { attention } from "./attention.ts";
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
  const { q, k, v } = inputs;
  const { segments, heads } = options;
  const kvHeads = options.kvHeads ?? heads;
  const headDim = q.cols / heads;
  const scale = options.scale ?? 1 / Math.sqrt(headDim);
  if (
    k.cols !== kvHeads * headDim || v.cols !== k.cols || q.rows !== segments.qTokens || k.rows !== segments.kvTokens || v.rows !== k.rows
  ) {
    const sizes = `${segments.qTokens} and ${segments.kvTokens} tokens, ${heads} and ${kvHeads} heads`;
    throw new RangeError(`Cannot attend: q ${describe(q)}, k ${describe(k)}, v ${describe(v)} do not fit ${sizes}`);
  }
  const { device, dtype, rows } = q;
  const [tq, tk, tv, table] = [q.tensor, k.tensor, v.tensor, segments.table];
  const out = q.tape.empty([rows, q.cols], dtype);
  using lse = Tensor.empty(device, [rows, heads]);
  const shape = [
    segments.count,
    segments.maxQ,
    segments.maxKv,
    rows,
    k.rows,
    heads,
    kvHeads,
    headDim,
    scale,
    Number(segments.causal),
  ] as const;
  device.ops.attentionFwd(
    out.dtypeCode,
    out.address,
    q.cols,
    lse.address,
    tq.address,
    tq.rowStride,
    tk.address,
    tk.rowStride,
    tv.address,
    tv.rowStride,
    table.address,
    ...shape,
  );
  if (options.observe && !q.tape.replaying) options.observe({ q: tq, k: tk, lse, heads, kvHeads, headDim, scale });
  const [result] = q.tape.record({
    name: "attention",
    inputs: [q, k, v],
    outputs: [out],
    save: [tq, tk, tv, out, lse, table],
    backward: (run) => {
      const dy = run.upstream(0)!;
      const [sq, sk, sv, so, sl, st] = Array.from({ length: 6 }, (_, i) => run.saved(i));
      const [dq, dk, dv] = run.slots([q, k, v]);
      device.ops.attentionBwd(
        dy.dtypeCode,
        dq!.address,
        dq!.stride,
        dk!.address,
        dk!.stride,
        dv!.address,
        dv!.stride,
        dy.address,
        q.cols,
        sq!.address,
        sq!.rowStride,
        sk!.address,
        sk!.rowStride,
        sv!.address,
        sv!.rowStride,
        so!.address,
        q.cols,
        sl!.address,
        st!.address,
        ...shape,
        Number(dq!.accumulate) | (Number(dk!.accumulate) << 1) | (Number(dv!.accumulate) << 2),
      );
    },
  });
  return result!;
}
