import type { EngineLimits } from "./limits.ts";

/** Options of `Engine`. Limits that are not set follow from the device. */
export interface EngineOptions extends Partial<EngineLimits> {
  /** Whether a sequence on CUDA has the same bits whatever else is in the batch, at the cost of speed. On the CPU it always does. Default false. */
  deterministic?: boolean;
  /**
   * Whether a step on CUDA starts before the tokens of the last one are read, so that the device does not wait for the host. A sequence that has ended may then run
   * a step in vain. Answers are the same. Default true.
   */
  overlap?: boolean;
  /**
   * Whether decode steps that come again in the same shape are recorded on CUDA, and then started in one call each. Answers are the same. Default true.
   */
  capture?: boolean;
  /** Returns the text of tokens; stop texts need it. */
  decode?: (tokens: readonly number[]) => string;
}
