/**
 * Reads and writes config.json. What its keys mean is the family's.
 *
 * @module
 */
import { FAMILIES, familyOf, readable } from "../families.ts";
import { badFile, type Json, readJson } from "./folder_files.ts";
import { SECTION } from "./kinds.ts";
import { Faults, Section, show } from "./section.ts";
import type { ModelConfig } from "./types.ts";

export type { ModelConfig, SpecialTokens, TextConfig, VisionConfig } from "./types.ts";
export type { Json } from "./folder_files.ts";

/**
 * Reads the object of a config.json, in either layout. Unknown keys are ignored; absent ones have transformers' defaults.
 *
 * @param json What the file holds.
 * @param options `path`: names the file in messages, default "config.json". `generation`: the object of generation_config.json; its `eos_token_id` goes
 *   before the config's.
 * @throws {KedgeError} `BadCheckpoint`, with all keys that are wrong or inconsistent, also in `details.faults`.
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
  if (!object.success) throw badFile(path, [`it is ${show(json)}, not an object`]);
  const type = object.data["model_type"], family = FAMILIES.find(({ modelType }) => modelType === type);
  if (!family) {
    throw badFile(path, [`model_type is ${show(type)}, and Kedge reads ${readable()}`]);
  }
  const faults = new Faults();
  if (object.data["quantization_config"]) faults.add("quantization_config", quantised(type, object.data["quantization_config"]));
  const config = family.config.parse(new Section(object.data, "", faults), options.generation);
  if (faults.words.length > 0) throw badFile(path, [...new Set(faults.words)]);
  return { modelType: family.modelType, ...config };
}

/** Words on a quantised model. */
function quantised(type: unknown, config: unknown): string {
  const method = SECTION.schema.safeParse(config).data?.["quant_method"];
  const how = method === undefined ? "" : ` (${show(method)})`;
  return `is there: this ${type} is quantised${how}; take the folder that is not: Kedge reads ${readable()}, with weights of f32, bf16 or f16`;
}

/**
 * Reads a model folder's config.json and, if there is one, generation_config.json.
 *
 * @throws {KedgeError} `BadCheckpoint`, see {@linkcode parseConfig}, or if there is no config.json.
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
  if (!json) throw badFile(path, ["there is no such file"]);
  return parseConfig(json, { path, generation: readJson(`${folder}/generation_config.json`) });
}

/**
 * The object of a config.json.
 *
 * @param options `original`: the object of the file that the config was read from; its layout and its other keys are kept, and only what differs is
 *   changed. Default: the hub's flat layout. The ids that end a response are written to generation_config.json; this file has the first of them.
 * @throws {KedgeError} `BadCheckpoint` if {@linkcode parseConfig} cannot read `original`; {RangeError} if that is of another family.
 *
 * @example
 * ```ts
 * import { configToJson, parseConfig } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const original = { model_type: "qwen2_5_vl", hidden_size: 3584, num_attention_heads: 28, num_key_value_heads: 4, vision_config: { hidden_size: 1280 } };
 * const config = parseConfig(original);
 * assertEquals(configToJson(config, { original }), original);
 * assertEquals(configToJson(config)["rope_scaling"], { type: "mrope", mrope_section: [16, 24, 24] });
 * ```
 */
export function configToJson(config: ModelConfig, options: { original?: Json } = {}): Json {
  const family = familyOf(config);
  if (!options.original) return family.config.write(config);
  const json = structuredClone(options.original);
  const before = parseConfig(json, { generation: { "eos_token_id": [...config.tokens.eos] } });
  if (before.modelType !== config.modelType) {
    throw new RangeError(
      `Cannot write the config of a ${config.modelType} over that of a ${before.modelType}: give the config of its own folder`,
    );
  }
  family.config.change(json, { before, after: config });
  return json;
}
