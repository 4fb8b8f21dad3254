/**
 * Makes folders of models with random weights, for trials without trained ones.
 *
 * @module
 */
import { KedgeError } from "../../ffi/errors.ts";
import type { WeightType } from "./weight_storage.ts";
import { writeModelFolder } from "./checkpoint_files.ts";
import type { ModelConfig, SpecialTokens } from "../config/config.ts";
import { readJson } from "../config/folder_files.ts";
import { familyOf, familyOfFolder } from "../families.ts";
import { initialEntries, type InitialOptions } from "./initialise.ts";
import { presetConfig, type PresetName } from "../config/presets.ts";
import { Tokenizer } from "../processor/tokenizer.ts";

const IM_END = "<|im_end|>", END_OF_TEXT = "<|endoftext|>";

/** The ids of the tokens that a model needs. */
function specialTokens(tokenizer: Tokenizer, folder: string): SpecialTokens {
  const ids = tokenizer.specialTokens, names = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"];
  const missing = names.filter((name) => !ids.has(name));
  const eos = [IM_END, END_OF_TEXT].flatMap((name) => ids.get(name) ?? []);
  if (eos.length === 0) missing.push(`${IM_END} or ${END_OF_TEXT}`);
  if (missing.length > 0) {
    const words = `its tokenizer has no special token ${missing.join(", ")}; take the tokenizer of a Qwen2, Qwen2.5 or Qwen3 model`;
    throw new KedgeError("BadCheckpoint", `Cannot make a model from ${folder}: ${words}`, { path: folder, missing });
  }
  const [image, video, visionStart, visionEnd] = names.map((name) => ids.get(name)!) as [number, number, number, number];
  return { image, video, visionStart, visionEnd, eos, bos: ids.get(END_OF_TEXT), pad: ids.get(END_OF_TEXT) };
}

function tokenizerConfig(tokenizer: Tokenizer): Record<string, unknown> {
  const ids = tokenizer.specialTokens, name = (token: string) => ids.has(token) ? token : null;
  return {
    "add_prefix_space": false,
    "bos_token": null,
    "clean_up_tokenization_spaces": false,
    "eos_token": name(IM_END) ?? END_OF_TEXT,
    "errors": "replace",
    "model_max_length": 131072,
    "pad_token": name(END_OF_TEXT) ?? IM_END,
    "split_special_tokens": false,
    "tokenizer_class": "Qwen2Tokenizer",
    "unk_token": null,
  };
}

/** Files that say how pictures and videos are processed. Those of another family do not fit a model. */
const PICTURE_FILES: readonly string[] = ["preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json"];

/** Whether a folder has a chat template, in any of the files that may hold one and are not left. */
function hasTemplate(folder: string, leave: readonly string[]): boolean {
  const files = Array.from(Deno.readDirSync(folder), ({ name }) => name).filter((name) => !leave.includes(name));
  return files.includes("chat_template.jinja") || files.includes("chat_template.json") ||
    ["tokenizer_config.json", "processor_config.json"].some((name) =>
      files.includes(name) && typeof readJson(`${folder}/${name}`)?.chat_template === "string"
    );
}

/**
 * Makes a model folder with random weights: config, weights, and the tokenizer and processor files of another folder, with defaults for those that it
 * lacks. If that folder belongs to another family, its settings for pictures and videos are left there. The weights are made one chunk at a time, so that memory does not limit their size.
 *
 * @param folder A new folder, or an empty one.
 * @param options `tokenizer`: folder that holds at least tokenizer.json. `dtype`: default the preset's.
 * @returns The config.
 * @throws {KedgeError} `BadCheckpoint` if the tokenizer is unreadable or lacks a special token.
 * @throws {RangeError} if the folder holds something, or the tokenizer is larger than the preset's embedding.
 *
 * @example
 * ```ts
 * import { newModelFolder } from "@kedge/kedge/model";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(() => newModelFolder("new", { preset: "tiny", tokenizer: "no/such/folder" }), Error, "no/such/folder/tokenizer.json");
 * ```
 */
export function newModelFolder(
  folder: string,
  options: InitialOptions & { preset: PresetName; tokenizer: string; dtype?: WeightType; maxShardBytes?: number },
): ModelConfig {
  const tokenizer = Tokenizer.fromFolder(options.tokenizer);
  const tokens = specialTokens(tokenizer, options.tokenizer);
  const config = presetConfig(options.preset, { tokens, vocabSize: tokenizer.vocabSize, dtype: options.dtype });
  const dtype = config.dtype === "bf16" ? "bf16" : "f32", family = familyOf(config), { processor } = family;
  const leave = familyOfFolder(options.tokenizer) === family ? [] : PICTURE_FILES;
  const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  writeModelFolder(folder, {
    config,
    entries: initialEntries(config, { ...options, dtype }),
    maxShardBytes: options.maxShardBytes,
    from: options.tokenizer,
    leave,
    keepConfig: false,
    files: {
      ...Object.fromEntries(Object.entries(processor.files(config.vision)).map(([name, value]) => [name, json(value)])),
      "tokenizer_config.json": json(tokenizerConfig(tokenizer)),
      ...hasTemplate(options.tokenizer, leave) ? {} : { "chat_template.jinja": processor.template.trim() },
    },
  });
  return config;
}
