/**
 * The parameters of a Qwen2.5-VL: how Kedge holds them, and which tensors of a model folder each is made of.
 *
 * Matrices that multiply the same input are held as one, rows behind one another: query, key and value; gate and up.
 *
 * @module
 */
import type { Shape } from "../tensor/tensor.ts";
import type { ModelConfig } from "./config/config.ts";

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
  /** What it is made of, in the order of its rows. */
  readonly parts: readonly ParameterPart[];
  /** What an initialisation does with it. */
  readonly kind: "embedding" | "matrix" | "bias" | "norm";
  /** Whether it belongs to the vision tower. */
  readonly vision: boolean;
}

/**
 * All parameters of a model, in the order of a forward pass.
 *
 * @example
 * ```ts
 * import { presetConfig } from "./config/presets.ts";
 * import { parameterSpecs } from "./parameters.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
 * const specs = parameterSpecs(presetConfig("tiny", { tokens, vocabSize: 95 }));
 * const fused = specs.find(({ name }) => name === "layers.0.qkv.weight")!;
 * assertEquals(fused.parts.map(({ key }) => key.split(".").at(-2)), ["q_proj", "k_proj", "v_proj"]);
 * ```
 */
export function parameterSpecs(config: ModelConfig): ParameterSpec[] {
  const specs: ParameterSpec[] = [];
  let vision = true;
  const add = (name: string, kind: ParameterSpec["kind"], parts: readonly (readonly [string, Shape])[]) => {
    const [, first] = parts[0]!;
    const rows = parts.reduce((sum, [, shape]) => sum + shape[0]!, 0);
    const cols = first.slice(1).reduce((a, b) => a * b, 1);
    specs.push({
      name,
      kind,
      vision,
      shape: first.length === 1 ? [rows] : [rows, cols],
      parts: parts.map(([key, shape]) => ({ key, shape })),
    });
  };
  const linear = (name: string, inputs: number, parts: readonly (readonly [string, number])[], bias: boolean) => {
    add(`${name}.weight`, "matrix", parts.map(([key, rows]) => [`${key}.weight`, [rows, inputs]]));
    if (bias) add(`${name}.bias`, "bias", parts.map(([key, rows]) => [`${key}.bias`, [rows]]));
  };
  const norm = (name: string, key: string, dim: number) => add(name, "norm", [[`${key}.weight`, [dim]]]);

  const v = config.vision;
  const patch = [v.hiddenSize, v.channels, v.temporalPatchSize, v.patchSize, v.patchSize];
  add("visual.patch.weight", "matrix", [["visual.patch_embed.proj.weight", patch]]);
  for (let i = 0; i < v.depth; i++) {
    const [own, hub] = [`visual.blocks.${i}`, `visual.blocks.${i}`];
    norm(`${own}.norm1`, `${hub}.norm1`, v.hiddenSize);
    linear(`${own}.qkv`, v.hiddenSize, [[`${hub}.attn.qkv`, 3 * v.hiddenSize]], true);
    linear(`${own}.out`, v.hiddenSize, [[`${hub}.attn.proj`, v.hiddenSize]], true);
    norm(`${own}.norm2`, `${hub}.norm2`, v.hiddenSize);
    linear(`${own}.gateUp`, v.hiddenSize, [[`${hub}.mlp.gate_proj`, v.intermediateSize], [`${hub}.mlp.up_proj`, v.intermediateSize]], true);
    linear(`${own}.down`, v.intermediateSize, [[`${hub}.mlp.down_proj`, v.hiddenSize]], true);
  }
  const merged = v.hiddenSize * v.mergeSize ** 2;
  norm("visual.merger.norm", "visual.merger.ln_q", v.hiddenSize);
  linear("visual.merger.up", merged, [["visual.merger.mlp.0", merged]], true);
  linear("visual.merger.down", merged, [["visual.merger.mlp.2", v.outHiddenSize]], true);

  vision = false;
  const t = config.text;
  const [q, kv] = [t.heads * t.headDim, t.kvHeads * t.headDim];
  add("embedding", "embedding", [["model.embed_tokens.weight", [t.vocabSize, t.hiddenSize]]]);
  for (let i = 0; i < t.layers; i++) {
    const [own, hub] = [`layers.${i}`, `model.layers.${i}`];
    norm(`${own}.norm1`, `${hub}.input_layernorm`, t.hiddenSize);
    const [query, key, value] = [`${hub}.self_attn.q_proj`, `${hub}.self_attn.k_proj`, `${hub}.self_attn.v_proj`];
    linear(`${own}.qkv`, t.hiddenSize, [[query, q], [key, kv], [value, kv]], true);
    linear(`${own}.out`, q, [[`${hub}.self_attn.o_proj`, t.hiddenSize]], false);
    norm(`${own}.norm2`, `${hub}.post_attention_layernorm`, t.hiddenSize);
    linear(
      `${own}.gateUp`,
      t.hiddenSize,
      [[`${hub}.mlp.gate_proj`, t.intermediateSize], [`${hub}.mlp.up_proj`, t.intermediateSize]],
      false,
    );
    linear(`${own}.down`, t.intermediateSize, [[`${hub}.mlp.down_proj`, t.hiddenSize]], false);
  }
  norm("norm", "model.norm", t.hiddenSize);
  if (!t.tied) add("head", "embedding", [["lm_head.weight", [t.vocabSize, t.hiddenSize]]]);
  return specs;
}
