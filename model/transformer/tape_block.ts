/**
 * A block of a decoder or of a vision tower on a tape.
 *
 * @module
 */
import {
  add,
  addLayernorm,
  addRmsnorm,
  attention,
  type AttentionSeen,
  gelu,
  type GeluForm,
  headRmsnorm,
  layernorm,
  rmsnorm,
  rope,
  type RopeTable,
  swiglu,
} from "../../tensor/ops/mod.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Segments } from "../../tensor/segments.ts";
import type { Value } from "../../tensor/value.ts";
import type { TowerBlock, TowerOperations } from "./block.ts";
import { project, type ProjectionParts } from "./project.ts";

/** What the blocks of a pass have in common. */
export interface TapePass {
  /** The operations of a block, in order. */
  readonly block: TowerBlock;
  readonly model: ProjectionParts;
  /** The prefix of a block's parameters, as "layers" of "layers.0.norm1". */
  readonly prefix: string;
  readonly sizes: {
    readonly heads: number;
    readonly kvHeads: number;
    readonly headDim: number;
    readonly intermediateSize: number;
    /** Added to the mean square, or the variance, in the norms. */
    readonly eps: number;
  };
  /** Angles of every token. */
  readonly table: RopeTable;
  /** Sees queries, keys and log-sum-exp of each block, once. */
  readonly observe?: ((layer: number, seen: AttentionSeen) => void) | undefined;
}

/**
 * Runs block i.
 *
 * @param x [tokens, hidden]; it stays the caller's.
 * @param segments Which tokens see which.
 * @returns [tokens, hidden].
 */
export function tapeBlock(x: Value, i: number, pass: TapePass & { readonly segments: Segments }): Value {
  const operations = new TapeOperations(x, i, pass);
  pass.block(operations);
  return operations.finish();
}

/** Queries, keys and values, and all whose memory they share. */
interface Rotated {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  readonly free: readonly Value[];
}

class TapeOperations implements TowerOperations<Value, Rotated> {
  readonly #layer: number;
  readonly #pass: TapePass & { readonly segments: Segments };
  #residual: Value;
  /** A branch that the next norm adds to the residual stream. */
  #branch: Value | undefined;

  constructor(x: Value, layer: number, pass: TapePass & { readonly segments: Segments }) {
    this.#residual = x;
    this.#layer = layer;
    this.#pass = pass;
  }

  #name(name: string): string {
    return `${this.#pass.prefix}.${this.#layer}.${name}`;
  }

  #weight(name: string): Parameter | undefined {
    return this.#pass.model.parameters[this.#name(name)];
  }

  /** LayerNorm where the norm has a bias, else RMSNorm. */
  norm(name: string): Value {
    const weight = this.#weight(name)!, bias = this.#weight(`${name}.bias`), { eps } = this.#pass.sizes;
    const branch = this.#branch, residual = this.#residual;
    if (!branch) return bias ? layernorm(residual, { weight, bias, eps }) : rmsnorm(residual, weight, { eps });
    const options = { weight, eps, inPlace: true };
    const { y, h } = bias ? addLayernorm(branch, residual, { ...options, bias }) : addRmsnorm(branch, residual, options);
    this.#residual = h;
    this.#branch = undefined;
    return y;
  }

  linear(x: Value, name: string): Value {
    const y = project(x, this.#pass.model, this.#name(name));
    x[Symbol.dispose]();
    return y;
  }

  rotate(qkv: Value): Rotated {
    const { table, sizes: { heads, kvHeads, headDim } } = this.#pass;
    const [queries, keys] = [heads * headDim, kvHeads * headDim];
    const before = qkv.columns(0, queries + keys), turned = rope(before, table, { inPlace: true });
    const [q, k] = [turned.columns(0, queries), turned.columns(queries, queries + keys)];
    const v = qkv.columns(queries + keys, queries + 2 * keys);
    return { q, k, v, free: [q, k, v, turned, before, qkv] };
  }

  normAndRotate(qkv: Value): Rotated {
    const { table, sizes: { heads, kvHeads, headDim, eps } } = this.#pass, free: Value[] = [qkv];
    const [queries, keys] = [heads * headDim, kvHeads * headDim];
    const turned = (from: number, to: number, name: string) => {
      const before = qkv.columns(from, to), normed = headRmsnorm(before, this.#weight(name)!, { eps });
      const after = rope(normed, table, { inPlace: true });
      free.push(before, normed, after);
      return after;
    };
    const [q, k] = [turned(0, queries, "queryNorm"), turned(queries, queries + keys, "keyNorm")];
    const v = qkv.columns(queries + keys, queries + 2 * keys);
    return { q, k, v, free: [...free, v] };
  }

  attend({ q, k, v, free }: Rotated): Value {
    const { segments, observe, sizes: { heads, kvHeads } } = this.#pass;
    const mixed = attention({ q, k, v }, { segments, heads, kvHeads, ...(observe && { observe: (seen) => observe(this.#layer, seen) }) });
    for (const value of free) value[Symbol.dispose]();
    return mixed;
  }

  gate(gateUp: Value): Value {
    const { intermediateSize } = this.#pass.sizes;
    const gated = gateUp.tape.scope(() =>
      swiglu(gateUp.columns(0, intermediateSize), gateUp.columns(intermediateSize, 2 * intermediateSize))
    );
    gateUp[Symbol.dispose]();
    return gated;
  }

  gelu(x: Value, form: GeluForm): Value {
    const y = gelu(x, { form });
    x[Symbol.dispose]();
    return y;
  }

  add(branch: Value): void {
    if (this.#branch) throw new RangeError("Cannot add to the residual stream: what was added before has not been normed yet");
    this.#branch = branch;
  }

  /** The residual stream with all that was added. */
  finish(): Value {
    return this.#branch ? add(this.#residual, this.#branch) : this.#residual;
  }
}
