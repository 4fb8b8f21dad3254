/**
 * The processor of Qwen3-VL: pictures as Qwen2-VL's with patches of 16 pixels, and videos whose prompt names the time of each of their steps.
 *
 * @module
 */
import { visualTokens } from "../prompt.ts";
import { chatMlTemplate } from "../processor/chat_ml_template.ts";
import type { Expand, FamilyProcessor } from "../processor/family_processor.ts";
import { roundHalfEven } from "../processor/smart_resize.ts";
import { qwen3Videos } from "./videos.ts";

/** A time with one digit behind the point, as Python's format writes it: a tie goes to the even digit, and only quarters are ties. */
function tenths(seconds: number): string {
  return (seconds * 4 % 2 === 1 ? roundHalfEven(seconds * 10) / 10 : seconds).toFixed(1);
}

/**
 * A picture is one run of placeholders. Each time step of a video is one between markers of its own, behind the step's time; these take the place of the
 * template's markers. (transformers 5.17 leaves the template's markers around the whole. Version 4, which brought these models, does not.)
 */
const expand: Expand = ({ kind, grid, seconds }, mergeSize) => {
  if (kind === "image") return { pieces: [{ placeholders: visualTokens(grid, mergeSize) }] };
  if (seconds?.length !== grid.t) {
    throw new RangeError(`Cannot write a video into a prompt: it has ${grid.t} time steps, and the times of ${seconds?.length ?? 0}`);
  }
  const placeholders = visualTokens({ ...grid, t: 1 }, mergeSize);
  const pieces = seconds.flatMap((time) => [
    { text: `<${tenths(time)} seconds><|vision_start|>` },
    { placeholders },
    { text: "<|vision_end|>" },
  ]);
  return { pieces, replacesMarkers: true };
};

/** The processor of Qwen3-VL. */
export const qwen3Processor: FamilyProcessor = {
  expand,
  videos: qwen3Videos,
  imageTypes: /^Qwen2VLImageProcessor(Fast|Pil)?$/,
  videoTypes: /^Qwen3VLVideoProcessor(Fast)?$/,
  template: chatMlTemplate({}),
  // The limits and normalisation of the hub's folders.
  files(vision) {
    const shared = {
      "patch_size": vision.patchSize,
      "temporal_patch_size": vision.temporalPatchSize,
      "merge_size": vision.mergeSize,
      "image_mean": [0.5, 0.5, 0.5],
      "image_std": [0.5, 0.5, 0.5],
      "processor_class": "Qwen3VLProcessor",
    };
    return {
      "preprocessor_config.json": {
        "size": { "longest_edge": 16777216, "shortest_edge": 65536 },
        ...shared,
        "image_processor_type": "Qwen2VLImageProcessorFast",
      },
      "video_preprocessor_config.json": {
        "size": { "longest_edge": 25165824, "shortest_edge": 4096 },
        ...shared,
        "video_processor_type": "Qwen3VLVideoProcessor",
      },
    };
  },
};
