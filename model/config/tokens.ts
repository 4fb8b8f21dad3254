import type { Json } from "./folder_files.ts";
import { field, INTEGER, TOKEN, TOKENS } from "./kinds.ts";
import { Section, textSection } from "./section.ts";
import type { SpecialTokens } from "./types.ts";

/** The special tokens that have their own keys at the top of the file. */
export const TOKEN_FIELDS = {
  image: field("image_token_id", 151655, TOKEN),
  video: field("video_token_id", 151656, TOKEN),
  visionStart: field("vision_start_token_id", 151652, TOKEN),
  visionEnd: field("vision_end_token_id", 151653, TOKEN),
} as const;

/**
 * The special tokens of a config.
 *
 * @param options `generation`: the object of generation_config.json, whose `eos_token_id` takes precedence over the config's.
 */
export function parseTokens(top: Section, options: { vocabSize: number; generation: Json | undefined }): SpecialTokens {
  const text = textSection(top), { vocabSize } = options;
  const generation = new Section(options.generation ?? {}, "generation_config.json ", top.faults);
  const marks = top.fields(TOKEN_FIELDS);
  const size = `${text.prefix}vocab_size`;
  for (const [name, { keys: [key] }] of Object.entries(TOKEN_FIELDS)) {
    const id = marks[name as keyof typeof marks];
    top.faults.check([key, size], id < vocabSize, `is ${id}, but ${size} is ${vocabSize}`);
  }
  top.check("video_token_id image_token_id", marks.video !== marks.image, `is ${marks.video}, and so is image_token_id`);
  // Null means that there is none; a key that is not set has the default.
  const fromConfig = text.json["eos_token_id"] === null
    ? top.take(text === top ? [] : ["eos_token_id"], TOKENS, [])
    : text.take(["eos_token_id"], TOKENS, undefined) ?? top.take(["eos_token_id"], TOKENS, [151645]);
  const fromGeneration = generation.take(["eos_token_id"], TOKENS, undefined);
  const eos = fromGeneration ?? fromConfig;
  const beyond = eos.filter((id) => id >= vocabSize);
  const key = fromGeneration ? "generation_config.json eos_token_id" : `${text.prefix}eos_token_id`;
  top.faults.check([key, size], beyond.length === 0, `is ${beyond.join(", ")}, but ${size} is ${vocabSize}`);
  const id = (name: string) => text.take([name], INTEGER, undefined) ?? top.take([name], INTEGER, undefined);
  const bos = text.json["bos_token_id"] === null ? undefined : id("bos_token_id") ?? 151643;
  return { ...marks, eos: [...new Set(eos)], bos, pad: id("pad_token_id") };
}
