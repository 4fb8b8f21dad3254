import type { Config } from "../config/schema.ts";

/**
 * Fails for what a configuration may say and has no meaning, rather than passing over it.
 *
 * @throws {RangeError} with what to choose instead.
 */
export function checkSupported({ algorithm: { kl } }: Config): void {
  if (kl?.kind === "full" && kl.where === "reward") {
    throw new RangeError('Cannot train with algorithm.kl.kind "full" in the reward: choose where "loss", or kind "k1", whose mean it is');
  }
}
