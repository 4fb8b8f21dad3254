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
  const widthKey = `${textSection(top).prefix}hidden_size`;
  top.faults.check(
    [`${section.prefix}out_hidden_size`, widthKey],
    outHiddenSize === text.hiddenSize,
    `is ${outHiddenSize}, but ${widthKey} is ${text.hiddenSize}`,
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

/** Reads the config of a file. Unknown keys are ignored; absent ones have transformers' defaults. Faults are added to the section's list. */
export function parse(top: Section, generation: Json | undefined): Omit<ModelConfig, "modelType"> {
  const text = parseText(top), vision = parseVision(top, text);
  const tokens = parseTokens(top, { vocabSize: text.vocabSize, generation });
  return { text, vision, tokens, dtype: parseDtype(top) };
}
