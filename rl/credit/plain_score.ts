import type { AtrlOptions } from "../atrl/options.ts";

/** Keys that the row of a response's first token sees, without sinks. */
export interface VisibleKeys {
  /** Visual tokens of the prompt. */
  readonly visual: number;
  /** All other tokens. Each further token of the response sees one more. */
  readonly other: number;
}

/** The inputs for the scores of one response of T tokens. */
export interface ScoreInput {
  /** [T]: c_t, the share of a token's attention that falls on the picture. */
  readonly connectivity: ArrayLike<number>;
  /** [T, regions]: the same by region. Only the scores with "peak" read it. */
  readonly profile?: ArrayLike<number> | undefined;
  /** The number of regions; 0 without a picture. */
  readonly regions: number;
  /** [T]: the policy's entropy at each sampled token, in nats. Only the scores with "entropy" read it. */
  readonly entropy?: ArrayLike<number> | undefined;
  /** What the tokens could attend to. Only `debias` "position" reads it. */
  readonly visible?: VisibleKeys | undefined;
}

/**
 * Computes the score s_t of every token of one response, in float64: the number by which AT-RL tells tokens apart. docs/method.md, section 1.6.
 *
 * @returns [T].
 * @throws {RangeError} for an input that the options need and that is missing.
 *
 * @example The second token attends to one place, the others to all of the picture
 * ```ts
 * import { plainScore } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * const response = {
 *   connectivity: [0.75, 0.5, 0.75],
 *   profile: [0.375, 0.375, 0, 0.5, 0.375, 0.375],
 *   regions: 2,
 *   visible: { visual: 8, other: 7 },
 * };
 * assertEquals([...plainScore(response, { score: "connectivity", debias: "none" })], [0.75, 0.5, 0.75]);
 * assertEquals([...plainScore(response, { score: "connectivity", debias: "position" })], [0.75 / (8 / 15), 0.5 / (8 / 16), 0.75 / (8 / 17)]);
 * const [all, one, again] = plainScore({ ...response, profile: [0.25, 0.25, 0, 1, 0.5, 0.25] }, { score: "peak", debias: "none" });
 * assertEquals([all, one, again], [0, 0.5, 0.25]); // the mean profile is 0.25, 0.5
 * ```
 */
export function plainScore(response: ScoreInput, { score, debias }: Pick<AtrlOptions, "score" | "debias">): Float64Array<ArrayBuffer> {
  const { connectivity, profile = [], regions, entropy, visible } = response, T = connectivity.length;
  if (score.startsWith("peak") && profile.length !== T * regions) {
    throw new RangeError(
      `Cannot score tokens by "${score}": the profile has ${profile.length} numbers for ${T} tokens of ${regions} regions`,
    );
  }
  if (score.endsWith("entropy") && !entropy) throw new RangeError(`Cannot score tokens by "${score}": the entropy is missing`);
  if (debias === "position" && !visible) throw new RangeError("Cannot debias scores by position: the numbers of visible keys are missing");
  const s = score.startsWith("connectivity")
    ? Float64Array.from(connectivity)
    : score.startsWith("peak")
    ? peaks(profile, { T, regions, scaled: score === "peak-scaled" })
    : new Float64Array(T).fill(1);
  if (score.endsWith("entropy")) { for (let t = 0; t < T; t++) s[t]! *= Math.max(0, entropy![t]!); }
  if (debias === "position" && visible!.visual > 0) {
    // What a token at this place attends to the picture if it attends to all keys alike.
    for (let t = 0; t < T; t++) s[t]! /= visible!.visual / (visible!.visual + visible!.other + t);
  }
  return s;
}

/** The largest excess of a token's profile over the mean profile, in units of the scale of each region if scaled; 0 where there is none. [T]. */
function peaks(
  profile: ArrayLike<number>,
  { T, regions, scaled }: { T: number; regions: number; scaled: boolean },
): Float64Array<ArrayBuffer> {
  const mean = new Float64Array(regions), s = new Float64Array(T);
  for (let t = 0, at = 0; t < T; t++) for (let r = 0; r < regions; r++) mean[r]! += profile[at++]!;
  for (let r = 0; r < regions; r++) mean[r]! /= T;
  // Nobody attends to a region of scale 0.
  const floor = mean.reduce((sum, m) => sum + m, 0) / regions / 10, scale = mean.map((m) => scaled ? Math.sqrt(m + floor) : 1);
  for (let t = 0, at = 0; t < T; t++) {
    let most = 0;
    for (let r = 0; r < regions; r++) most = Math.max(most, scale[r] === 0 ? 0 : (profile[at + r]! - mean[r]!) / scale[r]!);
    at += regions;
    s[t] = most;
  }
  return s;
}
