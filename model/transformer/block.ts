/**
 * What a block does, said once for all who run it: the training forward records it on a tape, the engine runs it over fixed buffers.
 *
 * @module
 */
import type { GeluForm } from "../../tensor/ops/mod.ts";
import type { TextConfig, VisionConfig } from "../config/types.ts";

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
  /** The same after a norm of the queries of each head by itself, and of the keys, by the block's weights `queryNorm` and `keyNorm`. */
  normAndRotate(qkv: X): Rotated;
  /** Attention of each token over the tokens that it sees: [tokens, heads * headDim]. */
  attend(rotated: Rotated): X;
  /** SwiGLU of the two halves: silu(gate) * up. */
  gate(gateUp: X): X;
  /** Adds to the residual stream. */
  add(branch: X): void;
}

/** A block of a decoder, by its operations. */
export type Block = <X, Rotated>(operations: BlockOperations<X, Rotated>) => void;

/** The operations of a block of a vision tower, which runs on a tape only. */
export interface TowerOperations<X, Rotated> extends Omit<BlockOperations<X, Rotated>, "linear"> {
  linear(x: X, weight: "qkv" | "out" | "gateUp" | "up" | "down"): X;
  /** GELU of each element. */
  gelu(x: X, form: GeluForm): X;
}

/** A block of a vision tower, by its operations. */
export type TowerBlock = <X, Rotated>(operations: TowerOperations<X, Rotated>) => void;

/** Norm, attention and a sum; norm, gated MLP and a sum: the block of Llama and Qwen2 (arXiv 2407.10671). */
export function preNormBlock<X, Rotated>(operations: BlockOperations<X, Rotated>): void {
  attend(operations, operations.rotate(operations.linear(operations.norm("norm1"), "qkv")));
  addGatedMlp(operations);
}

/** The same with a norm of the queries and keys of each head: the block of Qwen3 (arXiv 2505.09388). */
export function headNormBlock<X, Rotated>(operations: BlockOperations<X, Rotated>): void {
  attend(operations, operations.normAndRotate(operations.linear(operations.norm("norm1"), "qkv")));
  addGatedMlp(operations);
}

/** Norm, attention and a sum; norm, MLP of two layers with GELU between them and a sum: the block of a vision transformer (arXiv 2010.11929). */
export function geluBlock(form: GeluForm): TowerBlock {
  return (operations) => {
    attend(operations, operations.rotate(operations.linear(operations.norm("norm1"), "qkv")));
    const up = operations.linear(operations.norm("norm2"), "up");
    operations.add(operations.linear(operations.gelu(up, form), "down"));
  };
}

/** What attention takes of a block's operations, of the decoder or of a tower. */
type Attending<X, Rotated> = Pick<BlockOperations<X, Rotated>, "attend" | "add"> & { linear(x: X, weight: "out"): X };

function attend<X, Rotated>(operations: Attending<X, Rotated>, rotated: Rotated): void {
  operations.add(operations.linear(operations.attend(rotated), "out"));
}

function addGatedMlp<X, Rotated>(operations: BlockOperations<X, Rotated>): void {
  const gateUp = operations.linear(operations.norm("norm2"), "gateUp");
  operations.add(operations.linear(operations.gate(gateUp), "down"));
}

/**
 * Elements that {@linkcode preNormBlock} keeps of each token for the backward: its input, two norms, queries, keys and values, the attention's output, the sum
 * after it, and the MLP's inner activations.
 */
export function gatedElements({ hiddenSize, heads, kvHeads, headDim, intermediateSize }: TextConfig): number {
  return 4 * hiddenSize + (2 * heads + 2 * kvHeads) * headDim + 3 * intermediateSize;
}

/** The same of {@linkcode headNormBlock}, which keeps queries and keys before their norms, too. */
export function headNormElements(text: TextConfig): number {
  return gatedElements(text) + (text.heads + text.kvHeads) * text.headDim;
}

/** What {@linkcode preNormBlock} keeps of each patch in a vision tower. */
export function gatedTowerElements({ hiddenSize, intermediateSize }: VisionConfig): number {
  return 8 * hiddenSize + 3 * intermediateSize;
}

/** What {@linkcode geluBlock} keeps of each patch. */
export function geluTowerElements({ hiddenSize, intermediateSize }: VisionConfig): number {
  return 8 * hiddenSize + 2 * intermediateSize;
}
