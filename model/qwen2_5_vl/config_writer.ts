/**
 * Writes the config of a Qwen2.5-VL as JSON: in a new file as the hub's files have it, in an existing one by changing only what differs.
 *
 * @module
 */
import { dtypeName, setDtype } from "../config/dtype.ts";
import type { Json } from "../config/folder_files.ts";
import { type Field, TOKENS } from "../config/kinds.ts";
import { TOKEN_FIELDS } from "../config/tokens.ts";
import type { ModelConfig } from "../config/types.ts";
import { TEXT_FIELDS, VISION_FIELDS } from "./config_fields.ts";

const equal = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

/** The object of a new file, in the flat layout, which every version of transformers with this model reads. */
export function write({ text, vision, tokens, dtype }: ModelConfig): Json {
  return {
    architectures: ["Qwen2_5_VLForConditionalGeneration"],
    "attention_dropout": 0,
    ...tokens.bos === undefined ? { "bos_token_id": null } : { "bos_token_id": tokens.bos },
    "eos_token_id": tokens.eos[0] ?? null,
    ...tokens.pad === undefined ? {} : { "pad_token_id": tokens.pad },
    "vision_start_token_id": tokens.visionStart,
    "vision_end_token_id": tokens.visionEnd,
    "image_token_id": tokens.image,
    "video_token_id": tokens.video,
    "hidden_act": "silu",
    "hidden_size": text.hiddenSize,
    "initializer_range": 0.02,
    "intermediate_size": text.intermediateSize,
    "max_position_embeddings": text.maxPositions,
    "max_window_layers": text.layers,
    "model_type": "qwen2_5_vl",
    "num_attention_heads": text.heads,
    "num_hidden_layers": text.layers,
    "num_key_value_heads": text.kvHeads,
    "rms_norm_eps": text.rmsNormEps,
    "rope_theta": text.ropeTheta,
    "sliding_window": 32768,
    "tie_word_embeddings": text.tied,
    "torch_dtype": dtypeName(dtype),
    // Without this key, transformers 5 takes the folder's tokenizer for that of another model, and warns.
    "transformers_version": "4.49.0",
    "use_cache": true,
    "use_sliding_window": false,
    "vision_config": {
      "depth": vision.depth,
      "hidden_act": "silu",
      "hidden_size": vision.hiddenSize,
      "intermediate_size": vision.intermediateSize,
      "num_heads": vision.heads,
      "in_channels": vision.channels,
      "in_chans": vision.channels,
      "out_hidden_size": vision.outHiddenSize,
      "patch_size": vision.patchSize,
      "spatial_merge_size": vision.mergeSize,
      "spatial_patch_size": vision.patchSize,
      "window_size": vision.windowSize,
      "fullatt_block_indexes": [...vision.fullAttentionBlocks],
      "tokens_per_second": vision.tokensPerSecond,
      "temporal_patch_size": vision.temporalPatchSize,
    },
    "rope_scaling": { "type": "mrope", "mrope_section": [...text.mropeSection] },
    "vocab_size": text.vocabSize,
  };
}

/** Sets each of the keys that the section has, or the first key if it has none. */
function set(section: Json, keys: readonly string[], value: unknown): void {
  const present = keys.filter((key) => key in section);
  for (const key of present.length > 0 ? present : keys.slice(0, 1)) section[key] = value;
}

function child(section: Json, key: string): Json {
  return (section[key] ??= {}) as Json;
}

/** Changes the object of a file, which holds `before`, so that it holds `after`; its layout and its other keys stay. */
export function change(json: Json, { before, after }: { before: ModelConfig; after: ModelConfig }): void {
  const nested = json["text_config"] as Json | undefined, text = nested || json;
  // Files of some versions hold the decoder's keys twice.
  const setText = (keys: readonly string[], value: unknown) => {
    set(text, keys, value);
    if (nested && keys.some((key) => key in json)) set(json, keys, value);
  };
  for (const [name, { keys }] of Object.entries<Field>(TEXT_FIELDS)) {
    const value = after.text[name as keyof typeof TEXT_FIELDS];
    if (value !== before.text[name as keyof typeof TEXT_FIELDS]) setText(keys, value);
  }
  for (const [name, { keys }] of Object.entries<Field>(VISION_FIELDS)) {
    const value = after.vision[name as keyof typeof VISION_FIELDS];
    if (value !== before.vision[name as keyof typeof VISION_FIELDS]) set(child(json, "vision_config"), keys, value);
  }
  for (const [name, { keys }] of Object.entries<Field>(TOKEN_FIELDS)) {
    const value = after.tokens[name as keyof typeof TOKEN_FIELDS];
    if (value !== before.tokens[name as keyof typeof TOKEN_FIELDS]) set(json, keys, value);
  }
  if (after.text.layers !== before.text.layers && "layer_types" in text) {
    text["layer_types"] = Array(after.text.layers).fill("full_attention");
  }
  if (after.text.headDim !== before.text.headDim && "head_dim" in text) text["head_dim"] = after.text.headDim;
  const rope = () => {
    if (!text["rope_scaling"] && !text["rope_parameters"]) text["rope_scaling"] = { type: "mrope" };
    return (text["rope_scaling"] || text["rope_parameters"]) as Json;
  };
  if (!equal(after.text.mropeSection, before.text.mropeSection)) set(rope(), ["mrope_section"], [...after.text.mropeSection]);
  if (after.text.ropeTheta !== before.text.ropeTheta) {
    if ("rope_theta" in rope()) rope()["rope_theta"] = after.text.ropeTheta;
    else setText(["rope_theta"], after.text.ropeTheta);
  }
  if (!equal(after.vision.fullAttentionBlocks, before.vision.fullAttentionBlocks)) {
    set(child(json, "vision_config"), ["fullatt_block_indexes"], [...after.vision.fullAttentionBlocks]);
  }
  if (after.text.tied !== before.text.tied) {
    set(json, ["tie_word_embeddings"], after.text.tied);
    if (nested && "tie_word_embeddings" in nested) nested["tie_word_embeddings"] = after.text.tied;
  }
  if (after.tokens.bos !== before.tokens.bos) setText(["bos_token_id"], after.tokens.bos ?? null);
  if (after.tokens.pad !== before.tokens.pad) setText(["pad_token_id"], after.tokens.pad ?? null);
  const eos = TOKENS.schema.safeParse(text["eos_token_id"] ?? json["eos_token_id"]).data ?? [];
  if (eos.some((id) => !after.tokens.eos.includes(id))) setText(["eos_token_id"], after.tokens.eos[0] ?? null);
  if (after.dtype !== before.dtype) setDtype(json, after.dtype);
}
