/**
 * Reads the decoder's part of a config.json, which differs between families in defaults and in how heads and rotary angles are said.
 *
 * @module
 */
import { count, type Field, field, FLAG, MEASURE, MOST_TOKENS, MROPE, NAME } from "./kinds.ts";
import type { Json } from "./folder_files.ts";
import { type Section, show, textSection } from "./section.ts";
import type { TextConfig } from "./types.ts";

/** Kinds of sizes that the decoder and the vision tower both have. */
export const WIDTH = count(2 ** 17), MLP = count(2 ** 20), BLOCK_COUNT = count(1024), HEADS = count(4096);

/** Numbers of the decoder that every family reads from a key of its own. */
type Numbers = "hiddenSize" | "intermediateSize" | "layers" | "heads" | "kvHeads" | "vocabSize" | "maxPositions" | "rmsNormEps";

/** What a family's config.json says of the decoder, and how. */
export interface TextRules {
  /** The key of each number. */
  readonly fields: Readonly<Record<Numbers, Field>>;
  /** The key of the elements of a head; without one they are hiddenSize / heads. */
  readonly headDim?: Field;
  /** Default base of the rotary frequencies. */
  readonly ropeTheta: number;
  /** Default sections of the rotary frequencies. */
  readonly mropeSection: readonly [number, number, number];
  /** Whether neighbouring frequencies turn by different axes; else each axis has a range of them. */
  readonly interleaved: boolean;
  /** The section for rotary angles of a file that has none, without sections and base. */
  readonly newRope: Json;
}

/** The keys of the decoder's sizes, with a family's defaults. */
export function textFields(defaults: Readonly<Record<Numbers, number>>): Record<Numbers, Field> {
  return {
    hiddenSize: field("hidden_size", defaults.hiddenSize, WIDTH),
    intermediateSize: field("intermediate_size", defaults.intermediateSize, MLP),
    layers: field("num_hidden_layers", defaults.layers, BLOCK_COUNT),
    heads: field("num_attention_heads", defaults.heads, HEADS),
    kvHeads: field("num_key_value_heads", defaults.kvHeads, HEADS),
    vocabSize: field("vocab_size", defaults.vocabSize, count(MOST_TOKENS)),
    maxPositions: field("max_position_embeddings", defaults.maxPositions, count(2 ** 22)),
    rmsNormEps: field("rms_norm_eps", defaults.rmsNormEps, MEASURE),
  };
}

/** The decoder of Qwen2 and Qwen2.5, with the defaults of transformers' Qwen2VLTextConfig and Qwen2_5_VLTextConfig (5.17). */
export const QWEN2_TEXT: TextRules = {
  fields: textFields({
    hiddenSize: 8192,
    intermediateSize: 29568,
    layers: 80,
    heads: 64,
    kvHeads: 8,
    vocabSize: 152064,
    maxPositions: 32768,
    rmsNormEps: 1e-5,
  }),
  ropeTheta: 1_000_000,
  mropeSection: [16, 24, 24],
  interleaved: false,
  newRope: { type: "mrope" },
};

/** Reads the decoder's sizes. Faults go to the section's list. */
export function parseText(top: Section, rules: TextRules): TextConfig {
  const section = textSection(top);
  const sizes = section.fields(rules.fields);
  if (section.json["num_key_value_heads"] === null) sizes.kvHeads = sizes.heads;
  const { heads, kvHeads } = sizes;
  section.check(
    "num_key_value_heads num_attention_heads",
    heads % kvHeads === 0,
    `is ${kvHeads}, which does not divide num_attention_heads ${heads}`,
  );
  const headDim = parseHeadDim(section, { ...sizes, field: rules.headDim });
  section.only("hidden_act", "silu", 'only "silu" is known');
  section.only("use_sliding_window", false, "sliding windows are not known");
  checkLayerTypes(section, sizes.layers);
  const tied = top.take(["tie_word_embeddings"], FLAG, false) || section.take(["tie_word_embeddings"], FLAG, false);
  return { ...sizes, headDim, ...parseRope(section, { headDim, rules }), tied };
}

function parseHeadDim(section: Section, sizes: { hiddenSize: number; heads: number; field: Field | undefined }): number {
  const { hiddenSize, heads, field } = sizes, headDim = field ? section.take(field.keys, field.kind, field.fallback) : hiddenSize / heads;
  const bounds = "a multiple of 4, at most 128", good = headDim % 4 === 0 && headDim <= 128;
  if (field) {
    section.check(field.keys[0], good, `is ${headDim}; it must be ${bounds}`);
    return headDim;
  }
  section.check(
    "num_attention_heads hidden_size",
    Number.isInteger(headDim),
    `is ${heads}, which does not divide hidden_size ${hiddenSize}`,
  );
  section.check("num_attention_heads hidden_size head_dim", good, `gives heads of ${headDim} elements; they must be ${bounds}`);
  section.only("head_dim", headDim, `not hidden_size / num_attention_heads, which is ${headDim}`);
  return headDim;
}

function checkLayerTypes(section: Section, layers: number): void {
  const types = section.json["layer_types"];
  if (!Array.isArray(types)) return;
  const other = types.find((type) => type !== "full_attention");
  if (other !== undefined) section.check("layer_types", false, `holds ${show(other)}: only "full_attention" is known`);
  section.check("layer_types num_hidden_layers", types.length === layers, `has ${types.length} entries for ${layers} layers`);
}

/** The section of the rotary angles. */
const ropeKey = (text: Json): string => text["rope_scaling"] ? "rope_scaling" : "rope_parameters";

function parseRope(section: Section, { headDim, rules }: { headDim: number; rules: TextRules }) {
  const rope = section.child(ropeKey(section.json));
  const type = rope.take(["rope_type", "type"], NAME, "default");
  rope.check("rope_type", type === "default" || type === "mrope", `is "${type}": only "mrope" and "default" are known`);
  const mropeSection = rope.take(["mrope_section"], MROPE, rules.mropeSection);
  const sum = mropeSection.reduce((a, b) => a + b, 0);
  if (rules.interleaved) rope.only("mrope_interleaved", true, "only interleaved sections are known");
  else {
    section.faults.check(
      [`${rope.prefix}mrope_section`, `${section.prefix}num_attention_heads`, `${section.prefix}hidden_size`],
      2 * sum === headDim,
      `is ${show(mropeSection)}, which sums to ${sum}; half of a head is ${headDim / 2}`,
    );
  }
  const ropeTheta = rope.take(["rope_theta"], MEASURE, undefined) ?? section.take(["rope_theta"], MEASURE, rules.ropeTheta);
  return { ropeTheta, mropeSection };
}
