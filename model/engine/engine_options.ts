import type { EngineLimits } from "./limits.ts";

/** Options of `Engine`. Each of the limits may be given; the others follow from the device. */
export interface EngineOptions extends Partial<EngineLimits> {
  /** On CUDA: whether a sequence has the same bits whatever else is in the batch, at the cost of speed. On the CPU it always has. Default false. */
  deterministic?: boolean;
  /** The text of tokens, for stop texts. */
  decode?: (tokens: readonly number[]) => string;
}
