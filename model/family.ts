/**
 * What a model family is: all in which the models of one `model_type` differ from others. Each family has a folder here, and a line in `families.ts`;
 * nothing outside of it asks which family a model is of.
 *
 * @module
 */
import type { Device, DType } from "../ffi/device.ts";
import type { Parameters } from "../tensor/parameter.ts";
import type { Tape } from "../tensor/tape.ts";
import type { Value } from "../tensor/value.ts";
import type { Checkpointing } from "./checkpointing.ts";
import type { Json } from "./config/folder_files.ts";
import type { Section } from "./config/section.ts";
import type { ModelConfig, TextConfig, VisionConfig } from "./config/types.ts";
import type { AdapterSource } from "./lora/adapter.ts";
import type { ParameterSpec } from "./parameter_list.ts";
import type { PromptPositions, Rope } from "./positions.ts";
import type { FamilyProcessor } from "./processor/family_processor.ts";
import type { Prompt, Visual } from "./prompt.ts";
import type { Block } from "./transformer/block.ts";
import type { VisualSpan } from "./visual_spans.ts";

/** The parts of a model that a forward reads. */
export interface ModelParts {
  /** Its sizes. */
  readonly config: ModelConfig;
  /** Its weights. */
  readonly parameters: Parameters;
  /** The device that it runs on. */
  readonly device: Device;
  /** Type of its activations. A frozen weight may be stored in another type. */
  readonly dtype: DType;
  /** Its low-rank adapters. */
  readonly adapters?: AdapterSource | undefined;
}

/** The sizes of a model; its tokenizer gives the rest. */
export interface Preset {
  /** `vocabSize` 0: as large as the tokenizer. */
  readonly text: TextConfig;
  /** Sizes of the vision tower. */
  readonly vision: VisionConfig;
  /** Type of its weights. */
  readonly dtype: DType;
}

/** How tensors are spelled in a model folder. */
export interface Spelling {
  /** The name that parameter specs have for a tensor, whichever way a folder spells it. */
  readonly canonical: (name: string) => string;
  /** Name of the embedding. */
  readonly embedding: string;
  /** Name of the output matrix, which tied models lack. */
  readonly head: string;
  /** The prefix of a block's number, in the decoder and in the vision tower. */
  readonly blocks: { readonly text: string; readonly vision: string };
}

/**
 * What a vision tower gives of visuals, each [merged tokens, hidden] in their order: their embeddings; then features of which the i-th is added to the hidden
 * states of the visuals' tokens after the i-th block of the decoder.
 */
export type VisualFeatures = readonly [embeddings: Value, ...added: Value[]];

/** A family of models. */
export interface Family {
  /** The `model_type` of its config.json. */
  readonly modelType: string;
  /** Its published models in words, as "Qwen2-VL 2B and 7B". */
  readonly published: string;
  /** Its config.json. */
  readonly config: {
    /** Reads a file; faults go to the section's list. `generation`: the object of generation_config.json. */
    parse(file: Section, generation: Json | undefined): Omit<ModelConfig, "modelType">;
    /** The object of a new file. */
    write(config: ModelConfig): Json;
    /** Changes the object of a file, which holds `before`, so that it holds `after`; its other keys stay. */
    change(json: Json, configs: { before: ModelConfig; after: ModelConfig }): void;
  };
  /** Models to make, by name. */
  readonly presets: Readonly<Record<string, Preset>>;
  /** The preset that has the sizes of a model of the hub, "owner/name". */
  presetOf(repo: string): string | undefined;
  /** All parameters, in the order of a forward pass. The decoder's are named as `decoderParameters` names them. */
  parameterSpecs(config: ModelConfig): ParameterSpec[];
  readonly spelling: Spelling;

  /** Finds the placeholders of a prompt's visuals, in order. @throws {KedgeError} `BadData` if placeholders and visuals do not match. */
  visualSpans(prompt: Prompt, config: ModelConfig): VisualSpan[];
  /** Positions of a prompt's tokens. @throws The errors of `visualSpans`. */
  positions(prompt: Prompt, config: ModelConfig): PromptPositions;
  /** Which axis of the positions turns each frequency of half a head, and the frequencies. */
  rope(text: TextConfig): Rope;
  /** A block of the decoder. */
  readonly block: Block;
  /** Elements that a block of the decoder keeps of each token for the backward. */
  blockElements(text: TextConfig): number;
  /** Elements that a block of the vision tower keeps of each patch for the backward. */
  towerElements(vision: VisionConfig): number;
  /** The vision tower over visuals, one at least. */
  encodeVisuals(tape: Tape, model: ModelParts, visuals: readonly Visual[], options?: { checkpointing?: Checkpointing }): VisualFeatures;
  /** How many values the tower gives. */
  featureCount(vision: VisionConfig): number;
  /** An upper bound of the bytes that the tower holds where nothing is recorded, beside weights and workspace. `patches`: of all visuals together. */
  visionBytes(vision: VisionConfig, dtype: DType, patches: number): number;

  /** How messages become prompts. */
  readonly processor: FamilyProcessor;
}
