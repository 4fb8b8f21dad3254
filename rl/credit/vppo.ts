/**
 * VPPO (visually-perceptive policy optimisation) as an alternative way of credit: how much a token's probability changes when the picture is spoilt says which
 * tokens learn, and how strongly each response does. Definitions as in the public trainer of the paper, arXiv 2510.09285.
 *
 * @module
 */
import type { Responses } from "./responses.ts";
import type { TokenCredit } from "./credit.ts";
import { WeightCredit } from "./weight_credit.ts";

/** The options of VPPO. */
export interface VppoOptions {
  /** The share of a response's tokens that learn, in (0, 1]. Default 0.4. */
  topFraction?: number;
  /** The weight of the least perceptive response, in (0, 1]. Default 0.9. */
  scalingMin?: number;
}

/**
 * S_t = clamp(exp(d) - d - 1, 0, 10), d = clamp(spoilt - plain, -20, 20): an estimate of the divergence that the picture makes at a token.
 *
 * @param plain Log-probabilities of the tokens given the picture.
 * @param spoilt The same given the spoilt picture, under the same policy and temperature.
 *
 * @example
 * ```ts
 * import { sensitivity } from "@kedge/kedge/rl";
 * import { assertAlmostEquals, assertEquals } from "@std/assert";
 *
 * const s = sensitivity([-1, -1, -1], [-1, -2, -30]);
 * assertEquals(s[0], 0);
 * assertAlmostEquals(s[1]!, Math.exp(-1), 1e-7);
 * assertEquals(s[2], 10);
 * ```
 */
export function sensitivity(plain: ArrayLike<number>, spoilt: ArrayLike<number>): Float64Array<ArrayBuffer> {
  if (plain.length !== spoilt.length) throw new RangeError(`Cannot compare ${plain.length} log-probabilities with ${spoilt.length}`);
  return Float64Array.from(plain, (p, t) => {
    const d = Math.min(20, Math.max(-20, spoilt[t]! - p));
    return Math.min(10, Math.max(0, Math.expm1(d) - d));
  });
}

/**
 * The weights of VPPO: alpha_i on the ceil(topFraction * length) most sensitive tokens of response i (ties: earlier first), 0 on the others; the mean over tokens is not 1.
 * With s_i the mean sensitivity of a response and n_i = (s_i - min s) / (max s - min s): alpha_i = scalingMin + n_i * (1 - scalingMin) / mean n, whose mean is 1;
 * alpha is 1 where fewer than two responses have tokens or max s - min s <= 1e-6.
 *
 * The public trainer takes the mean over a micro-batch of one device; here it is over the given responses, so that a result does not depend on their packing. A
 * response whose sensitivities are all equal, as without a picture, keeps all of its tokens.
 *
 * @param responses The packing of one mini-batch.
 * @param given `sensitivity`: S_t of each token; `mask`: 0 for tokens that do not count.
 *
 * @example
 * ```ts
 * import { Responses, vppoCredit } from "@kedge/kedge/rl";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [5]);
 * using credit = vppoCredit(responses, { sensitivity: [0, 3, 0.5, 2, 0] });
 * assertEquals([...credit.weights.toArray()], [0, 1, 0, 1, 0]);
 * ```
 */
export function vppoCredit(
  responses: Responses,
  given: { sensitivity: ArrayLike<number>; mask?: ArrayLike<number> },
  options: VppoOptions = {},
): TokenCredit {
  const { offsets, count, tokens } = responses, { sensitivity: s, mask } = given, { topFraction = 0.4, scalingMin = 0.9 } = options;
  if (!(topFraction > 0 && topFraction <= 1)) throw new RangeError(`Cannot weight by VPPO: topFraction is ${topFraction}, outside (0, 1]`);
  if (!(scalingMin > 0 && scalingMin <= 1)) throw new RangeError(`Cannot weight by VPPO: scalingMin is ${scalingMin}, outside (0, 1]`);
  for (const [name, list] of [["sensitivity", s], ["mask", mask]] as const) {
    if (list && list.length !== tokens) {
      throw new RangeError(`Cannot weight by VPPO: ${name} has ${list.length} entries for ${tokens} tokens`);
    }
  }
  const countedTokens = Array.from({ length: count }, (_, i) => {
    const counted: number[] = [];
    for (let t = offsets[i]!; t < offsets[i + 1]!; t++) if (!mask || mask[t]) counted.push(t);
    return counted;
  });
  const mean = countedTokens.map((counted) => counted.reduce((sum, t) => sum + s[t]!, 0) / Math.max(1, counted.length));
  const alpha = trajectoryWeights(mean, { present: countedTokens.map((counted) => counted.length > 0), scalingMin });
  const weights = new Float32Array(tokens);
  let kept = 0, keptSum = 0, all = 0, allSum = 0;
  countedTokens.forEach((counted, i) => {
    const equal = counted.every((t) => s[t] === s[counted[0]!]);
    const top = equal
      ? counted
      : counted.toSorted((a, b) => s[b]! - s[a]! || a - b).slice(0, Math.ceil(topFraction * counted.length - 1e-9));
    for (const t of top) weights[t] = alpha[i]!, keptSum += s[t]!;
    for (const t of counted) allSum += s[t]!;
    kept += top.length;
    all += counted.length;
  });
  const present = mean.filter((_, i) => countedTokens[i]!.length > 0);
  const report: Record<string, number> = {
    "vppo/token_fraction": kept / all,
    "vppo/sensitivity_selected": keptSum / kept,
    "vppo/sensitivity_rejected": (allSum - keptSum) / (all - kept),
    "vppo/sensitivity_min": Math.min(...present),
    "vppo/sensitivity_max": Math.max(...present),
    "vppo/scaling_max": Math.max(...alpha),
  };
  return new WeightCredit("vppo", responses, {
    weights,
    report: Object.fromEntries(Object.entries(report).filter(([, value]) => Number.isFinite(value))),
  });
}

/**
 * alpha of each response from its mean sensitivity; see {@linkcode vppoCredit}. `present`: whether it has tokens.
 *
 * @example
 * ```ts
 * import { trajectoryWeights } from "@kedge/kedge/rl";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const [least, most] = trajectoryWeights([1, 3], { present: [true, true], scalingMin: 0.9 });
 * assertAlmostEquals(least!, 0.9);
 * assertAlmostEquals(most!, 1.1, 1e-6);
 * ```
 */
export function trajectoryWeights(mean: readonly number[], options: { present: readonly boolean[]; scalingMin: number }): number[] {
  const { present, scalingMin } = options, means = mean.filter((_, i) => present[i]);
  const low = Math.min(...means), high = Math.max(...means);
  if (means.length < 2 || !(high - low > 1e-6)) return mean.map(() => 1);
  const n = mean.map((s, i) => present[i] ? (s - low) / (high - low) : 0);
  const average = n.reduce((a, b) => a + b, 0) / means.length;
  return n.map((x, i) => present[i] ? scalingMin + x * (1 - scalingMin) / (average + 1e-8) : 1);
}
