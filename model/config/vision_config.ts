/**
 * Reads what the vision towers of all families have in common.
 *
 * @module
 */
import { BLOCKS, count, type Field, field, side } from "./kinds.ts";
import { type Section, show, textSection } from "./section.ts";
import { BLOCK_COUNT, HEADS } from "./text_config.ts";
import type { TextConfig } from "./types.ts";

/** Rotary base of every vision tower, which no config changes. */
const VISION_ROPE_THETA = 10_000;

/** The keys of the sizes that are said in the same way by all families, with a family's defaults. */
export function visionFields(defaults: { depth: number; heads: number; patchSize: number }) {
  return {
    depth: field("depth", defaults.depth, BLOCK_COUNT),
    heads: field("num_heads num_attention_heads", defaults.heads, HEADS),
    channels: field("in_channels in_chans", 3, count(16)),
    patchSize: field("patch_size", defaults.patchSize, side(256)),
    temporalPatchSize: field("temporal_patch_size", 2, side(64)),
    mergeSize: field("spatial_merge_size", 2, count(64)),
  } as const;
}

/** Numbers that the configs of all towers have. */
type Common = keyof ReturnType<typeof visionFields> | "hiddenSize" | "outHiddenSize";

/**
 * Reads the numbers of a tower, and checks what every tower must fulfil. Faults go to the section's list.
 *
 * @param section The section `vision_config`.
 * @param options `top`: the whole file; `fields`: the key of each number; `activation`: the only one that the family knows; `text`: the decoder's sizes.
 */
export function parseVisionNumbers<K extends string>(
  section: Section,
  options: { top: Section; text: TextConfig; activation: string; fields: Readonly<Record<K | Common, Field>> },
): Record<K | Common, number> {
  const { top, text, activation, fields } = options;
  const sizes: Record<K | Common, number> = section.fields(fields);
  const [heads, width, out] = [fields.heads.keys[0], fields.hiddenSize.keys[0], fields.outHiddenSize.keys[0]];
  const headDim = sizes.hiddenSize / sizes.heads;
  const divides = `is ${sizes.heads}, which does not divide ${width} ${sizes.hiddenSize}`;
  section.check(`${heads} ${width}`, Number.isInteger(headDim), divides);
  const good = headDim % 4 === 0 && headDim <= 128;
  section.check(`${heads} ${width}`, good, `gives heads of ${headDim} elements; they must be a multiple of 4, at most 128`);
  const textWidth = `${textSection(top).prefix}hidden_size`;
  top.faults.check(
    [section.prefix + out, textWidth],
    sizes.outHiddenSize === text.hiddenSize,
    `is ${sizes.outHiddenSize}, but ${textWidth} is ${text.hiddenSize}`,
  );
  if ("in_channels" in section.json) section.only("in_chans", sizes.channels, `in_channels is ${sizes.channels}`);
  section.only("hidden_act", activation, `only "${activation}" is known`);
  section.child("rope_parameters").only("rope_theta", VISION_ROPE_THETA, `only ${VISION_ROPE_THETA} is known`);
  return sizes;
}

/** Reads a list of the tower's blocks, each once. Faults go to the section's list. */
export function parseBlockList(section: Section, key: string, options: { depth: number; fallback: readonly number[] }) {
  const { depth, fallback } = options, blocks = section.take([key], BLOCKS, fallback);
  const beyond = blocks.filter((block) => block >= depth);
  section.check(`${key} depth`, beyond.length === 0, `holds ${beyond.join(", ")}, but depth is ${depth}`);
  section.check(key, new Set(blocks).size === blocks.length, `is ${show(blocks)}, with a block twice`);
  return blocks;
}
