/**
 * Lists of parameters: how Kedge holds them, and which tensors of a model folder each is made of.
 *
 * Matrices that multiply the same input are held as one, rows behind one another: query, key and value; gate and up.
 *
 * @module
 */
import type { Shape } from "../tensor/tensor.ts";
import type { TextConfig } from "./config/types.ts";

/** A range of a parameter's rows that a model folder holds as a tensor of its own. */
export interface ParameterPart {
  /** Its name as the hub spells it: `visual.…`, `model.layers.…`, `lm_head.weight`. */
  readonly key: string;
  /** Its shape there; the first axis is its rows. */
  readonly shape: Shape;
}

/** One parameter. */
export interface ParameterSpec {
  /** Kedge's name, as "layers.0.qkv.weight". */
  readonly name: string;
  /** [out, in], or [dim] of a bias or a norm. */
  readonly shape: Shape;
  /** Its parts, in the order of its rows. */
  readonly parts: readonly ParameterPart[];
  /** The way it is initialised and used. "positions": a table whose rows are mixed. */
  readonly kind: "embedding" | "matrix" | "bias" | "norm" | "positions";
  /** Whether it belongs to the vision tower. */
  readonly vision: boolean;
}

/** Builds a list of parameters. */
export class ParameterList {
  readonly specs: ParameterSpec[] = [];

  /** @param vision Whether its parameters belong to the vision tower. */
  constructor(readonly vision: boolean) {}

  /** Adds a parameter of these parts, each a name in the folder and a shape there. */
  add(name: string, kind: ParameterSpec["kind"], parts: readonly (readonly [key: string, shape: Shape])[]): void {
    const [, first] = parts[0]!;
    const rows = parts.reduce((sum, [, shape]) => sum + shape[0]!, 0);
    const cols = first.slice(1).reduce((a, b) => a * b, 1);
    this.specs.push({
      name,
      kind,
      vision: this.vision,
      shape: first.length === 1 ? [rows] : [rows, cols],
      parts: parts.map(([key, shape]) => ({ key, shape })),
    });
  }

  /** Adds a matrix, and its bias where it has one. @param parts A name in the folder and rows for each. */
  linear(name: string, from: { inputs: number; parts: readonly (readonly [key: string, rows: number])[]; bias: boolean }): void {
    const { inputs, parts, bias } = from;
    this.add(`${name}.weight`, "matrix", parts.map(([key, rows]) => [`${key}.weight`, [rows, inputs]]));
    if (bias) this.add(`${name}.bias`, "bias", parts.map(([key, rows]) => [`${key}.bias`, [rows]]));
  }

  /** Adds a norm's weight. */
  norm(name: string, key: string, dim: number): void {
    this.add(name, "norm", [[`${key}.weight`, [dim]]]);
  }

  /** Adds weight and bias of a LayerNorm. */
  layernorm(name: string, key: string, dim: number): void {
    this.norm(name, key, dim);
    this.add(`${name}.bias`, "bias", [[`${key}.bias`, [dim]]]);
  }
}

/** How the decoders of families differ in their parameters. */
interface DecoderOptions {
  /** Biases of queries, keys and values. */
  readonly qkvBias: boolean;
  /** A bias after the attention. Default false. */
  readonly outBias?: boolean;
  /** Norms of each head's queries and keys. Default false. */
  readonly headNorms?: boolean;
  /** The prefix of all names in a folder but the output matrix's. Default "model". */
  readonly prefix?: string;
}

/** The parameters of a decoder as Llama and Qwen spell them, embedding and output matrix included. */
export function decoderParameters(text: TextConfig, options: DecoderOptions): ParameterSpec[] {
  const list = new ParameterList(false), { hiddenSize, intermediateSize } = text;
  const { qkvBias, outBias = false, headNorms = false, prefix = "model" } = options;
  const [q, kv] = [text.heads * text.headDim, text.kvHeads * text.headDim];
  list.add("embedding", "embedding", [[`${prefix}.embed_tokens.weight`, [text.vocabSize, hiddenSize]]]);
  for (let i = 0; i < text.layers; i++) {
    const [name, key] = [`layers.${i}`, `${prefix}.layers.${i}`], attention = `${key}.self_attn`, mlp = `${key}.mlp`;
    list.norm(`${name}.norm1`, `${key}.input_layernorm`, hiddenSize);
    list.linear(`${name}.qkv`, {
      inputs: hiddenSize,
      parts: [[`${attention}.q_proj`, q], [`${attention}.k_proj`, kv], [`${attention}.v_proj`, kv]],
      bias: qkvBias,
    });
    if (headNorms) {
      list.norm(`${name}.queryNorm`, `${attention}.q_norm`, text.headDim);
      list.norm(`${name}.keyNorm`, `${attention}.k_norm`, text.headDim);
    }
    list.linear(`${name}.out`, { inputs: q, parts: [[`${attention}.o_proj`, hiddenSize]], bias: outBias });
    list.norm(`${name}.norm2`, `${key}.post_attention_layernorm`, hiddenSize);
    list.linear(`${name}.gateUp`, {
      inputs: hiddenSize,
      parts: [[`${mlp}.gate_proj`, intermediateSize], [`${mlp}.up_proj`, intermediateSize]],
      bias: false,
    });
    list.linear(`${name}.down`, { inputs: intermediateSize, parts: [[`${mlp}.down_proj`, hiddenSize]], bias: false });
  }
  list.norm("norm", `${prefix}.norm`, hiddenSize);
  if (!text.tied) list.add("head", "embedding", [["lm_head.weight", [text.vocabSize, hiddenSize]]]);
  return list.specs;
}
