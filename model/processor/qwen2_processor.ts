import { visualTokens } from "../prompt.ts";
import { chatMlTemplate } from "./chat_ml_template.ts";
import type { FamilyProcessor } from "./family_processor.ts";
import { qwen2Videos } from "./qwen2_videos.ts";

/** The processor of Qwen2-VL and Qwen2.5-VL: a visual is one run of placeholders. @param name Of the class in transformers. */
export function qwen2Processor(name: string): FamilyProcessor {
  return {
    expand: ({ grid }, mergeSize) => ({ pieces: [{ placeholders: visualTokens(grid, mergeSize) }] }),
    videos: qwen2Videos,
    imageTypes: /^Qwen2(_5_)?VLImageProcessor(Fast|Pil)?$/,
    videoTypes: /^Qwen2(_5_)?VLVideoProcessor(Fast)?$/,
    template: chatMlTemplate({ system: "You are a helpful assistant." }),
    // The limits and normalisation of the hub's folders.
    files: (vision) => ({
      "preprocessor_config.json": {
        "min_pixels": 3136,
        "max_pixels": 12845056,
        "patch_size": vision.patchSize,
        "temporal_patch_size": vision.temporalPatchSize,
        "merge_size": vision.mergeSize,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": name,
      },
    }),
  };
}
