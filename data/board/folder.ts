import type { ModelConfig } from "../../model/config/config.ts";
import type { PresetName } from "../../model/config/presets.ts";
import { newModelFolder } from "../../model/folder/new_model_folder.ts";
import { WORDS } from "./language.ts";

const SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"];

/** A small chat template. A turn consists of its parts between <|im_start|> and <|im_end|>, and an answer begins with <|im_start|>. */
const TEMPLATE = "{% for message in messages %}<|im_start|>{% if message.content is string %}{{ message.content }}{% else %}" +
  "{% for part in message.content %}{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% elif part.type == 'video' %}" +
  "<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>{% endif %}";

// The Qwen2Tokenizer of transformers replaces the pre-tokenizer of tokenizer.json by its own, which splits numbers.
const TOKENIZER_CONFIG = {
  "tokenizer_class": "PreTrainedTokenizerFast",
  "eos_token": "<|im_end|>",
  "pad_token": "<|endoftext|>",
  "clean_up_tokenization_spaces": false,
  "model_max_length": 4096,
};

/**
 * Makes a byte-level BPE in which each word with its leading space is one token. Every merge begins at the space, so that merges of
 * different words do not interfere.
 */
function tokenizerJson(): Record<string, unknown> {
  const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  const vocab = new Map(Array.from({ length: 256 }, (_, byte) => [String.fromCharCode(printable(byte) ? byte : next++), byte]));
  const merges: string[] = [], space = "\u0120";
  for (const word of WORDS) {
    let prefix = space;
    for (const char of word) {
      const longer = prefix + char;
      if (!vocab.has(longer)) {
        merges.push(`${prefix} ${char}`);
        vocab.set(longer, vocab.size);
      }
      prefix = longer;
    }
  }
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    normalizer: { type: "NFC" },
    // Words are separated by spaces. The BPE never sees two words at once.
    "pre_tokenizer": {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: " ?[^\\s]+|\\s+" }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false },
      ],
    },
    "post_processor": null,
    decoder: { type: "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false },
    model: { type: "BPE", dropout: null, "unk_token": null, vocab: Object.fromEntries(vocab), merges },
    "added_tokens": SPECIAL.map((content, i) => ({
      id: vocab.size + i,
      content,
      "single_word": false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
  };
}

/**
 * Returns the vocabulary size of the board's tokenizer.
 *
 * @example
 * ```ts
 * import { boardVocabulary, WORDS } from "@kedge/kedge/data";
 * import { assert } from "@std/assert";
 *
 * assert(boardVocabulary() > 256 + WORDS.length); // bytes, words, intermediate merges, and special tokens
 * ```
 */
export function boardVocabulary(): number {
  return Math.max(...(tokenizerJson()["added_tokens"] as { id: number }[]).map(({ id }) => id)) + 1;
}

/**
 * Makes the folder of an untrained model for the board task: tokenizer, template, processor, and random weights of deviation 1 /
 * sqrt(inputs).
 *
 * @param folder The new folder.
 * @example
 * ```ts
 * import { newBoardModel } from "@kedge/kedge/data";
 * import { Tokenizer } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync();
 * const config = newBoardModel(`${folder}/model`, { seed: 1 });
 * const tokens = Tokenizer.fromFolder(`${folder}/model`).encode(" what is the red number ?");
 * assertEquals([tokens.length, tokens.every((id) => id < config.text.vocabSize)], [6, true]);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function newBoardModel(folder: string, options: { seed: number; preset?: PresetName }): ModelConfig {
  const source = Deno.makeTempDirSync({ dir: parentOf(folder), prefix: ".tokenizer-" });
  try {
    Deno.writeTextFileSync(`${source}/tokenizer.json`, JSON.stringify(tokenizerJson()));
    Deno.writeTextFileSync(`${source}/tokenizer_config.json`, JSON.stringify(TOKENIZER_CONFIG));
    Deno.writeTextFileSync(`${source}/chat_template.jinja`, TEMPLATE);
    return newModelFolder(folder, { preset: options.preset ?? "tiny", tokenizer: source, seed: options.seed, scheme: "fan-in" });
  } finally {
    Deno.removeSync(source, { recursive: true });
  }
}

function parentOf(path: string): string {
  const at = path.replace(/\/+$/, "").lastIndexOf("/");
  const parent = at < 0 ? "." : at === 0 ? "/" : path.slice(0, at);
  Deno.mkdirSync(parent, { recursive: true });
  return parent;
}
