/**
 * The decoder's blocks: Qwen2 (arXiv 2407.10671) with M-RoPE.
 *
 * @module
 */
import { add, addRmsnorm, attention, type AttentionSeen, linear, rmsnorm, rope, type RopeTable, swiglu } from "../tensor/ops/mod.ts";
import type { Parameters } from "../tensor/parameter.ts";
import type { Segments } from "../tensor/segments.ts";
import type { Value } from "../tensor/value.ts";
import type { TextConfig } from "./config/config.ts";

/** What all blocks of a pass share. */
export interface DecoderPass {
  readonly config: TextConfig;
  readonly parameters: Parameters;
  /** Which tokens see which. */
  readonly segments: Segments;
  /** Angles of every token. */
  readonly table: RopeTable;
  /** Sees queries, keys and log-sum-exp of each layer, once. */
  readonly observe?: ((layer: number, seen: AttentionSeen) => void) | undefined;
}

/**
 * Block i: x plus attention of its norm, plus MLP of the norm of that.
 *
 * @param x [tokens, hidden].
 */
export function decoderBlock(x: Value, i: number, pass: DecoderPass): Value {
  const { config: { heads, kvHeads, headDim, intermediateSize, rmsNormEps: eps }, parameters, segments, table, observe } = pass;
  const { tape } = x;
  const weight = (name: string) => parameters[`layers.${i}.${name}`]!;
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  const qkv = tape.scope(() => linear(rmsnorm(x, weight("norm1"), { eps }), weight("qkv.weight"), { bias: weight("qkv.bias") }));
  const mixed = tape.scope(() => {
    const turned = rope(qkv.columns(0, queries + keys), table, { inPlace: true });
    const [q, k] = [turned.columns(0, queries), turned.columns(queries, queries + keys)];
    const v = qkv.columns(queries + keys, queries + 2 * keys);
    return attention({ q, k, v }, { segments, heads, kvHeads, ...(observe && { observe: (seen) => observe(i, seen) }) });
  });
  qkv[Symbol.dispose]();
  const projected = linear(mixed, weight("out.weight"));
  mixed[Symbol.dispose]();
  const { y, h } = addRmsnorm(projected, x, { weight: weight("norm2"), eps, inPlace: true });
  const both = linear(y, weight("gateUp.weight"));
  y[Symbol.dispose]();
  const gated = tape.scope(() => swiglu(both.columns(0, intermediateSize), both.columns(intermediateSize, 2 * intermediateSize)));
  both[Symbol.dispose]();
  const down = linear(gated, weight("down.weight"));
  gated[Symbol.dispose]();
  return add(h, down);
}
