/**
 * How the messages of a family's models become prompts.
 *
 * @module
 */
import type { Json } from "../config/folder_files.ts";
import type { VisionConfig } from "../config/types.ts";
import type { Visual } from "../prompt.ts";
import type { VideoRule } from "./video_sampling.ts";

/** A piece of a prompt: a number of placeholders, or text in which special tokens are written by name. */
export type Expansion = { readonly placeholders: number } | { readonly text: string };

/** What represents a visual in a prompt. */
export interface Expanded {
  /** The pieces that replace the visual's single placeholder in the text of the template. */
  readonly pieces: readonly Expansion[];
  /** Whether they replace the vision_start and vision_end around the placeholder too, if both are there. Default false. */
  readonly replacesMarkers?: boolean;
}

/** Returns what represents a visual in a prompt. */
export type Expand = (visual: Pick<Visual, "kind" | "grid" | "seconds">, mergeSize: number) => Expanded;

/** The processor of a family. */
export interface FamilyProcessor {
  readonly expand: Expand;
  /** How frames of videos are sampled and sized. */
  readonly videos: VideoRule;
  /** The `image_processor_type` that its folders name, and the `video_processor_type`. */
  readonly imageTypes: RegExp;
  readonly videoTypes: RegExp;
  /** The chat template of a folder that has none. */
  readonly template: string;
  /** The processor's files of a new folder, by name. */
  files(vision: VisionConfig): Readonly<Record<string, Json>>;
}
