/**
 * Reads the config.json of a Qwen2.5-VL in both of its layouts: flat, with the decoder's keys at the top, as the hub's files have it; and nested, with a
 * `text_config`, as later versions of transformers save it.
 *
 * @module
 */
import { parseDtype } from "../config/dtype.ts";
import type { Json } from "../config/folder_files.ts";
import { BLOCKS, FLAG, MEASURE, MROPE, NAME } from "../config/kinds.ts";
import { type Section, show, textSection } from "../config/section.ts";
import { parseTokens } from "../config/tokens.ts";
import type { ModelConfig, TextConfig, VisionConfig } from "../config/types.ts";
import { FULL_ATTENTION_BLOCKS, MROPE_SECTION, ROPE_THETA, TEXT_FIELDS, VISION_FIELDS, VISION_ROPE_THETA } from "./config_fields.ts";

const ropeKey = (text: Json): string => text["rope_scaling"] ? "rope_scaling" : "rope_parameters";

function parseText(top: Section): TextConfig {
  const section = textSection(top);
  const sizes = section.fields(TEXT_FIELDS);
  if (section.json["num_key_value_heads"] === null) sizes.kvHeads = sizes.heads;
  const { hiddenSize, heads, kvHeads } = sizes;
  const headDim = hiddenSize / heads;
  section.check(
    "num_attention_heads hidden_size",
    Number.isInteger(headDim),
    `is ${heads}, which does not divide hidden_size ${hiddenSize}`,
  );
  section.check(
    "num_key_value_heads num_attention_heads",
    heads % kvHeads === 0,
    `is ${kvHeads}, which does not divide num_attention_heads ${heads}`,
  );
  const whole = "num_attention_heads hidden_size head_dim";
  section.check(
    whole,
    headDim % 4 === 0 && headDim <= 128,
    `gives heads of ${headDim} elements; they must be a multiple of 4, at most 128`,
  );
  section.only("head_dim", headDim, `not hidden_size / num_attention_heads, which is ${headDim}`);
  section.only("hidden_act", "silu", 'only "silu" is known');
  section.only("use_sliding_window", false, "sliding windows are not known");
  const layers = section.json["layer_types"];
  if (Array.isArray(layers)) {
    const other = layers.find((type) => type !== "full_attention");
    if (other !== undefined) section.check("layer_types", false, `holds ${show(other)}: only "full_attention" is known`);
    section.check(
      "layer_types num_hidden_layers",
      layers.length === sizes.layers,
      `has ${layers.length} entries for ${sizes.layers} layers`,
    );
  }

  const rope = section.child(ropeKey(section.json));
  const type = rope.take(["rope_type", "type"], NAME, "default");
  rope.check("rope_type", type === "default" || type === "mrope", `is "${type}": only "mrope" and "default" are known`);
  const mropeSection = rope.take(["mrope_section"], MROPE, MROPE_SECTION);
  const sum = mropeSection.reduce((a, b) => a + b, 0);
  section.faults.check(
    [`${rope.prefix}mrope_section`, `${section.prefix}num_attention_heads`, `${section.prefix}hidden_size`],
    2 * sum === headDim,
    `is ${show(mropeSection)}, which sums to ${sum}; half of a head is ${headDim / 2}`,
  );
  const ropeTheta = rope.take(["rope_theta"], MEASURE, undefined) ?? section.take(["rope_theta"], MEASURE, ROPE_THETA);
  const tied = top.take(["tie_word_embeddings"], FLAG, false) || section.take(["tie_word_embeddings"], FLAG, false);
  return { ...sizes, headDim, ropeTheta, mropeSection, tied };
}

function parseVision(top: Section, text: TextConfig): VisionConfig {
  const section = top.child("vision_config");
  const sizes = section.fields(VISION_FIELDS);
  const { depth, hiddenSize, heads, patchSize, mergeSize, windowSize, outHiddenSize } = sizes;
  const headDim = hiddenSize / heads;
  section.check("num_heads hidden_size", Number.isInteger(headDim), `is ${heads}, which does not divide hidden_size ${hiddenSize}`);
  const whole = headDim % 4 === 0 && headDim <= 128;
  section.check("num_heads hidden_size", whole, `gives heads of ${headDim} elements; they must be a multiple of 4, at most 128`);
  const unit = patchSize * mergeSize;
  const window = `is ${windowSize}, no multiple of patch_size * spatial_merge_size, which is ${unit}`;
  section.check("window_size patch_size spatial_merge_size", windowSize % unit === 0, window);
  const own = `${textSection(top).prefix}hidden_size`;
  top.faults.check(
    [`${section.prefix}out_hidden_size`, own],
    outHiddenSize === text.hiddenSize,
    `is ${outHiddenSize}, but ${own} is ${text.hiddenSize}`,
  );
  if ("in_channels" in section.json) section.only("in_chans", sizes.channels, `in_channels is ${sizes.channels}`);
  section.only("hidden_act", "silu", 'only "silu" is known');
  section.child("rope_parameters").only("rope_theta", VISION_ROPE_THETA, `only ${VISION_ROPE_THETA} is known`);
  const blocks = section.take(["fullatt_block_indexes"], BLOCKS, FULL_ATTENTION_BLOCKS);
  const beyond = blocks.filter((block) => block >= depth);
  section.check("fullatt_block_indexes depth", beyond.length === 0, `holds ${beyond.join(", ")}, but depth is ${depth}`);
  section.check("fullatt_block_indexes", new Set(blocks).size === blocks.length, `is ${show(blocks)}, with a block twice`);
  return { ...sizes, fullAttentionBlocks: blocks };
}

<<<<<<< HEAD
/** The config that a file holds. Unknown keys are passed over; absent ones take transformers' defaults. Faults go to the section's list. */
export function parse(top: Section, generation: Json | undefined): Omit<ModelConfig, "modelType"> {
  const text = parseText(top), vision = parseVision(top, text);
  const tokens = parseTokens(top, { vocabSize: text.vocabSize, generation });
  return { text, vision, tokens, dtype: parseDtype(top) };
=======
function parseTokens(top: Section, options: { vocabSize: number; generation: Json | undefined }): SpecialTokens {
  const text = textSection(top), { vocabSize } = options;
  const generation = new Section(options.generation ?? {}, "generation_config.json ", top.faults);
  const marks = top.fields(TOKEN_FIELDS);
  const size = `${text.prefix}vocab_size`;
  for (const [name, { keys: [key] }] of Object.entries(TOKEN_FIELDS)) {
    const id = marks[name as keyof typeof marks];
    top.faults.check([key, size], id < vocabSize, `is ${id}, but ${size} is ${vocabSize}`);
  }
  top.check("video_token_id image_token_id", marks.video !== marks.image, `is ${marks.video}, and so is image_token_id`);
  // Null says that there is none; a key that is not there takes the default.
  const own = text.json["eos_token_id"] === null
    ? top.take(text === top ? [] : ["eos_token_id"], TOKENS, [])
    : text.take(["eos_token_id"], TOKENS, undefined) ?? top.take(["eos_token_id"], TOKENS, [151645]);
  const said = generation.take(["eos_token_id"], TOKENS, undefined);
  const eos = said ?? own;
  const beyond = eos.filter((id) => id >= vocabSize);
  const key = said ? "generation_config.json eos_token_id" : `${text.prefix}eos_token_id`;
  top.faults.check([key, size], beyond.length === 0, `is ${beyond.join(", ")}, but ${size} is ${vocabSize}`);
  const id = (name: string) => text.take([name], INTEGER, undefined) ?? top.take([name], INTEGER, undefined);
  const bos = text.json["bos_token_id"] === null ? undefined : id("bos_token_id") ?? 151643;
  return { ...marks, eos: [...new Set(eos)], bos, pad: id("pad_token_id") };
}

function parseDtype(top: Section): DType {
  const keys = ["dtype", "torch_dtype"], text = textSection(top);
  const said = top.take(keys, NAME, undefined) ?? text.take(keys, NAME, undefined);
  if (said === undefined || said === "auto") return "f32";
  const dtype = DTYPE_NAMES[said.replace(/^torch\./, "")];
  if (!dtype) {
    top.check(top.json["dtype"] ? "dtype" : "torch_dtype", false, `is "${said}", not one of ${Object.keys(DTYPE_NAMES).join(", ")}`);
  }
  return dtype ?? "f32";
}

/**
 * Reads the object of a config.json, in either layout. Unknown keys are passed over; absent ones take transformers' defaults.
 *
 * @param json What the file holds.
 * @param options `path`: names the file in messages, default "config.json". `generation`: the object of generation_config.json; its `eos_token_id` goes
 *   before the config's.
 * @throws {KedgeError} `BadCheckpoint`, with all keys that are wrong or do not fit together; also in `details.faults`.
 *
 * @example
 * ```ts
 * import { parseConfig } from "@kedge/kedge/model";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const config = parseConfig({ model_type: "qwen2_5_vl", hidden_size: 3584, num_attention_heads: 28, num_key_value_heads: 4, vision_config: { hidden_size: 1280 } });
 * assertEquals(config.text.headDim, 128);
 * assertThrows(() => parseConfig({ model_type: "llama" }), Error, 'model_type is "llama"');
 * ```
 */
export function parseConfig(json: unknown, options: { path?: string; generation?: Json } = {}): ModelConfig {
  const path = options.path ?? "config.json";
  const object = SECTION.schema.safeParse(json);
  if (!object.success) throw bad(path, [`it is ${show(json)}, not an object`]);
  const type = object.data["model_type"];
  if (type !== "qwen2_5_vl") throw bad(path, [`model_type is ${show(type)}, and Kedge reads "qwen2_5_vl"`]);
  const faults = new Faults(), top = new Section(object.data, "", faults);
  if (object.data["quantization_config"]) faults.add("quantization_config", "is there: take the folder that is not quantised");
  const text = parseText(top), vision = parseVision(top, text);
  const tokens = parseTokens(top, { vocabSize: text.vocabSize, generation: options.generation });
  const dtype = parseDtype(top);
  if (faults.words.length > 0) throw bad(path, [...new Set(faults.words)]);
  return { text, vision, tokens, dtype };
}

/** Bytes that a file of a model folder may have which is read whole: no tokenizer has a third of it. */
export const MOST_FILE_BYTES: number = 128 * 2 ** 20;

/** A model folder's file as text; undefined where there is no such file. @throws {KedgeError} `BadCheckpoint` where it cannot be read, or is too large. */
export function readFolderText(path: string): string | undefined {
  try {
    const { size } = Deno.statSync(path);
    if (size > MOST_FILE_BYTES) throw bad(path, [`it has ${size} bytes, and ${MOST_FILE_BYTES} are allowed`]);
    return Deno.readTextFileSync(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    if (cause instanceof KedgeError) throw cause;
    throw bad(path, [(cause as Error).message], cause);
  }
}

/** The object of a JSON file; undefined where there is no such file. @throws {KedgeError} `BadCheckpoint` where it holds something else. */
export function readJson(path: string): Json | undefined {
  const text = readFolderText(path);
  if (text === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw bad(path, [(cause as Error).message], cause);
  }
  const object = SECTION.schema.safeParse(json);
  if (!object.success) throw bad(path, [`it is ${show(json)}, not an object`]);
  return object.data;
}

/**
 * Reads a model folder's config.json and, where it is there, generation_config.json.
 *
 * @throws {KedgeError} `BadCheckpoint`, as of {@linkcode parseConfig}, or where there is no config.json.
 *
 * @example
 * ```ts
 * import { configToJson, presetConfig, readConfig } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
 * const folder = Deno.makeTempDirSync();
 * Deno.writeTextFileSync(`${folder}/config.json`, JSON.stringify(configToJson(presetConfig("tiny", { tokens, vocabSize: 95 }))));
 * assertEquals(readConfig(folder).text.vocabSize, 95);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function readConfig(folder: string): ModelConfig {
  const path = `${folder}/config.json`, json = readJson(path);
  if (!json) throw bad(path, ["there is no such file"]);
  return parseConfig(json, { path, generation: readJson(`${folder}/generation_config.json`) });
>>>>>>> 6e90a79 (Examples import the package by its name, as a user would)
}
