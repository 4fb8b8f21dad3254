/**
 * A soft penalty for responses near the length limit. For length L, limit M and buffer C it is 0 for L <= M - C, ((M - C) - L) / C up to M,
 * and -1 beyond, times `factor`. It is added to the reward. Yu et al., "DAPO", arXiv 2503.14476, equation 13.
 */
export interface OverlongShaping {
  /** M, in tokens. */
  maxLength: number;
  /** C, in tokens: the last stretch, in which the penalty grows. */
  buffer: number;
  /** The factor. Default: 1. */
  factor?: number;
}

/**
 * Returns the penalty of a response of `length` tokens, 0 or less.
 *
 * @throws {RangeError} unless 0 < buffer <= maxLength and factor >= 0.
 *
 * @example
 * ```ts
 * import { overlongReward } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(overlongReward(90, { maxLength: 100, buffer: 20 }), -0.5);
 * ```
 */
export function overlongReward(length: number, { maxLength, buffer, factor = 1 }: OverlongShaping): number {
  if (!(buffer > 0 && buffer <= maxLength && factor >= 0)) {
    throw new RangeError(
      `Cannot shape lengths with a buffer of ${buffer} in ${maxLength} by ${factor}: it needs 0 < buffer <= limit, factor >= 0`,
    );
  }
  const over = length - (maxLength - buffer);
  return over <= 0 ? 0 : -Math.min(over / buffer, 1) * factor;
}
