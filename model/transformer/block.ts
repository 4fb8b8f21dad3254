/**
 * What a decoder block does, said once for all who run it: the training forward records it on a tape, the engine runs it over fixed buffers.
 *
 * @module
 */

/**
 * The operations of one block. `X` holds activations of all tokens; `Rotated` holds queries, keys and values after the rotation. An operation takes its
 * input over: the caller does not use it again. Whoever implements this interface keeps the residual stream, and knows which block it is.
 */
export interface BlockOperations<X, Rotated> {
  /** The norm of the residual stream, by the block's weight of this name. */
  norm(weight: "norm1" | "norm2"): X;
  /** x W^T, and the bias where the block has one of this name. */
  linear(x: X, weight: "qkv" | "out" | "gateUp" | "down"): X;
  /** Rotates the queries and keys of each head by the positions of their tokens. */
  rotate(qkv: X): Rotated;
  /** Attention of each token over the tokens that it sees: [tokens, heads * headDim]. */
  attend(rotated: Rotated): X;
  /** SwiGLU of the two halves: silu(gate) * up. */
  gate(gateUp: X): X;
  /** Adds to the residual stream. */
  add(branch: X): void;
}

/** A block, by its operations. */
export type Block = <X, Rotated>(operations: BlockOperations<X, Rotated>) => void;

/** Norm, attention and a sum; norm, gated MLP and a sum: the block of Llama and Qwen2 (arXiv 2407.10671). */
export function preNormBlock<X, Rotated>(operations: BlockOperations<X, Rotated>): void {
  const qkv = operations.linear(operations.norm("norm1"), "qkv");
  const mixed = operations.attend(operations.rotate(qkv));
  operations.add(operations.linear(mixed, "out"));
  const gateUp = operations.linear(operations.norm("norm2"), "gateUp");
  operations.add(operations.linear(operations.gate(gateUp), "down"));
}
