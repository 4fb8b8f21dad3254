import type { ModelConfig } from "../config/types.ts";
import { placeSpans, type PromptPositions } from "../positions.ts";
import type { Prompt } from "../prompt.ts";
import { visualSpans } from "../visual_spans.ts";
import type { WindowedVision } from "./config_file.ts";

/**
 * Computes the positions of a prompt, see {@linkcode placeSpans}. The time of a video goes on by tokensPerSecond times the whole seconds of `secondsPerGrid`
 * (fractions cut off; default 1) from one step to the next. So does transformers 5.17; older releases kept fractions of seconds.
 *
 * @throws {KedgeError} `BadData` if placeholders and visuals do not match; {RangeError} for an impossible grid or time.
 *
 * @example
 * ```ts
 * import { promptPositions } from "./positions.ts";
 * import type { WindowedVision } from "./config_file.ts";
 * import type { ModelConfig } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const config = { tokens: { image: 90, video: 91 }, vision: { mergeSize: 2, tokensPerSecond: 2 } } as ModelConfig & { vision: WindowedVision };
 * const visual = { kind: "video" as const, grid: { t: 2, h: 2, w: 2 }, pixels: { patches: new Float32Array() }, secondsPerGrid: 3.5 };
 * const { axes, next } = promptPositions({ tokens: Int32Array.of(5, 91, 91, 6), visuals: [visual] }, config);
 * assertEquals(axes.map((axis) => [...axis]), [[0, 1, 7, 2], [0, 1, 1, 2], [0, 1, 1, 2]]);
 * assertEquals(next, 3);
 * ```
 */
export function promptPositions(prompt: Prompt, config: ModelConfig & { vision: WindowedVision }): PromptPositions {
  const { mergeSize, tokensPerSecond } = config.vision;
  return placeSpans(prompt, {
    spans: visualSpans(prompt, config),
    mergeSize,
    step: ({ kind, secondsPerGrid: seconds = 1 }, i) => {
      if (kind === "image") return 1;
      if (!(Number.isFinite(seconds) && seconds >= 0)) {
        throw new RangeError(`Cannot place visual ${i} (video) in time: secondsPerGrid is ${seconds}`);
      }
      return Math.trunc(Math.fround(seconds)) * tokensPerSecond;
    },
  });
}
