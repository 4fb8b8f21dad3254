/**
 * Writes configs as JSON: what families share of new files, and the changes of existing ones.
 *
 * @module
 */
import { dtypeName, setDtype } from "./dtype.ts";
import type { Json } from "./folder_files.ts";
import { type Field, TOKENS } from "./kinds.ts";
import type { TextRules } from "./text_config.ts";
import { TOKEN_FIELDS } from "./tokens.ts";
import type { ModelConfig, SpecialTokens, TextConfig, VisionConfig } from "./types.ts";

/** Whether two values are written alike. */
export const equal = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** The keys of a new file for the tokens that mark visuals. */
export function visualTokenKeys(tokens: SpecialTokens): Json {
  return {
    "vision_start_token_id": tokens.visionStart,
    "vision_end_token_id": tokens.visionEnd,
    "image_token_id": tokens.image,
    "video_token_id": tokens.video,
  };
}

/** The keys of a new file for the decoder: sizes that every family has, and the tokens that begin, end and fill a text. */
export function decoderKeys({ text, tokens }: Pick<ModelConfig, "text" | "tokens">): Json {
  return {
    "attention_dropout": 0,
    "bos_token_id": tokens.bos ?? null,
    "eos_token_id": tokens.eos[0] ?? null,
    ...tokens.pad === undefined ? {} : { "pad_token_id": tokens.pad },
    "hidden_act": "silu",
    "hidden_size": text.hiddenSize,
    "initializer_range": 0.02,
    "intermediate_size": text.intermediateSize,
    "max_position_embeddings": text.maxPositions,
    "num_attention_heads": text.heads,
    "num_hidden_layers": text.layers,
    "num_key_value_heads": text.kvHeads,
    "rms_norm_eps": text.rmsNormEps,
    "rope_theta": text.ropeTheta,
    "use_cache": true,
    "vocab_size": text.vocabSize,
  };
}

/**
 * The object of a new file in the flat layout, which every version of transformers with the models of Qwen2 reads.
 *
 * @param parts `architecture`: the class of transformers; `vision`: the section of the tower.
 */
export function flatConfig(config: ModelConfig, { architecture, vision }: { architecture: string; vision: Json }): Json {
  const { modelType, text, tokens, dtype } = config;
  return {
    architectures: [architecture],
    ...decoderKeys(config),
    ...visualTokenKeys(tokens),
    "max_window_layers": text.layers,
    "model_type": modelType,
    "sliding_window": 32768,
    "tie_word_embeddings": text.tied,
    "torch_dtype": dtypeName(dtype),
    // Without this key, transformers 5 takes the folder's tokenizer for that of another model, and warns.
    "transformers_version": "4.49.0",
    "use_sliding_window": false,
    "vision_config": vision,
    "rope_scaling": { "type": "mrope", "mrope_section": [...text.mropeSection] },
  };
}

/** Sets each of the keys that the section has, or the first key if it has none. */
function set(section: Json, keys: readonly string[], value: unknown): void {
  const present = keys.filter((key) => key in section);
  for (const key of present.length > 0 ? present : keys.slice(0, 1)) section[key] = value;
}

/** The section of the vision tower, to be changed. */
export function visionJson(json: Json): Json {
  return (json["vision_config"] ??= {}) as Json;
}

/** Sets keys of the decoder, in each section that has them. */
export function setText(json: Json, keys: readonly string[], value: unknown): void {
  const nested = json["text_config"] as Json | undefined;
  set(nested || json, keys, value);
  // Files of some versions hold the decoder's keys twice.
  if (nested && keys.some((key) => key in json)) set(json, keys, value);
}

/** A config before and after a change. */
export interface ConfigChange {
  readonly before: ModelConfig;
  readonly after: ModelConfig;
}

/**
 * Changes the object of a file, which holds `before`, so that it holds `after`; its layout and its other keys stay. What is no number of its own key is the
 * family's to change.
 *
 * @param rules `vision`: the keys of the tower's numbers.
 */
export function changeConfig(json: Json, change: ConfigChange, rules: { text: TextRules; vision: Readonly<Record<string, Field>> }): void {
  const { before, after } = change;
  const { fields, headDim } = rules.text;
  for (const [name, { keys }] of Object.entries<Field>({ ...fields, ...headDim && { headDim } })) {
    const value = after.text[name as keyof TextConfig];
    if (value !== before.text[name as keyof TextConfig]) setText(json, keys, value);
  }
  for (const [name, { keys }] of Object.entries(rules.vision)) {
    const value = after.vision[name as keyof VisionConfig];
    if (value !== before.vision[name as keyof VisionConfig]) set(visionJson(json), keys, value);
  }
  for (const [name, { keys }] of Object.entries<Field>(TOKEN_FIELDS)) {
    const value = after.tokens[name as keyof typeof TOKEN_FIELDS];
    if (value !== before.tokens[name as keyof typeof TOKEN_FIELDS]) set(json, keys, value);
  }
  changeText(json, change, rules.text);
  changeTokens(json, change);
  if (after.dtype !== before.dtype) setDtype(json, after.dtype);
}

function changeText(json: Json, { before, after }: ConfigChange, rules: TextRules): void {
  const nested = json["text_config"] as Json | undefined, text = nested || json;
  if (after.text.layers !== before.text.layers && "layer_types" in text) {
    text["layer_types"] = Array(after.text.layers).fill("full_attention");
  }
  if (after.text.headDim !== before.text.headDim && "head_dim" in text) text["head_dim"] = after.text.headDim;
  const rope = () => {
    if (!text["rope_scaling"] && !text["rope_parameters"]) text["rope_scaling"] = { ...rules.newRope };
    return (text["rope_scaling"] || text["rope_parameters"]) as Json;
  };
  if (!equal(after.text.mropeSection, before.text.mropeSection)) set(rope(), ["mrope_section"], [...after.text.mropeSection]);
  if (after.text.ropeTheta !== before.text.ropeTheta) {
    if ("rope_theta" in rope()) rope()["rope_theta"] = after.text.ropeTheta;
    else setText(json, ["rope_theta"], after.text.ropeTheta);
  }
  if (after.text.tied !== before.text.tied) {
    set(json, ["tie_word_embeddings"], after.text.tied);
    if (nested && "tie_word_embeddings" in nested) nested["tie_word_embeddings"] = after.text.tied;
  }
}

function changeTokens(json: Json, { before, after }: ConfigChange): void {
  const text = (json["text_config"] || json) as Json;
  if (after.tokens.bos !== before.tokens.bos) setText(json, ["bos_token_id"], after.tokens.bos ?? null);
  if (after.tokens.pad !== before.tokens.pad) setText(json, ["pad_token_id"], after.tokens.pad ?? null);
  const eos = TOKENS.schema.safeParse(text["eos_token_id"] ?? json["eos_token_id"]).data ?? [];
  if (eos.some((id) => !after.tokens.eos.includes(id))) setText(json, ["eos_token_id"], after.tokens.eos[0] ?? null);
}
