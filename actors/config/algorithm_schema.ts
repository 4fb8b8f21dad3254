/**
 * The schema of section `algorithm`.
 *
 * @module
 */
import { z } from "zod";
import type { Estimator } from "../../rl/advantages/estimator.ts";
import { CREDIT_METHODS } from "../../rl/credit/credit.ts";
import { CORRECTION_DEFAULTS } from "../../rl/losses/correction.ts";
import { POLICY_LOSS_DEFAULTS, type PolicyLoss } from "../../rl/losses/policy_loss.ts";
import { DYNAMIC_SAMPLING_DEFAULTS } from "../../rl/sampling.ts";
import type { ModuleUse } from "../../rl/user_module.ts";
import type { AlgorithmInput, AlgorithmSection, LossUse } from "./types.ts";

const positiveInt = z.int().positive(),
  amount = z.number().nonnegative(),
  share = z.number().min(0).max(1),
  positive = z.number().positive();

const ESTIMATORS = [
  ...["grpo", "dr_grpo", "rloo", "reinforce_plus_plus", "reinforce_plus_plus_baseline"] as const,
  ...["grpo_passk", "remax", "opo", "gpg", "gdpo"] as const,
] as const satisfies readonly Estimator["kind"][];
const DIVERGENCES = [
  ...["k1", "abs", "k2", "k3", "k1+", "k3+", "forward_kl", "jensen_shannon", "chi_square", "total_variation", "alpha", "full"] as const,
] as const;

const epsilon = positive.default(1e-6).describe("The number that is added to the standard deviation.");
const estimator: z.ZodType<Estimator, Estimator> = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.enum(["grpo", "grpo_passk"]), epsilon }),
  z.strictObject({ kind: z.enum(["dr_grpo", "rloo", "reinforce_plus_plus_baseline", "remax", "opo"]) }),
  z.strictObject({ kind: z.literal("reinforce_plus_plus"), gamma: share.default(1).describe("The discount of later rewards.") }),
  z.strictObject({
    kind: z.literal("gpg"),
    count: z.enum(["nonzero", "valid"]).default("nonzero").describe("Which responses its factor counts."),
  }),
  z.strictObject({
    kind: z.literal("gdpo"),
    weights: z.record(z.string(), z.number()).optional().describe("The weight of each part of the reward; default 1."),
    epsilon,
  }),
]);
const advEstimator = z.union([
  z.enum(ESTIMATORS).transform((kind): Estimator => estimator.parse({ kind })).describe("The name of an estimator, with its defaults."),
  estimator,
]);

const clips = (kind: "ppo" | "gspo" | "gspo_token") => {
  const { clipRatioLow, clipRatioHigh, clipRatioDual } = POLICY_LOSS_DEFAULTS[kind];
  return {
    clipRatioLow: share.default(clipRatioLow).describe("The ratio's lower bound is 1 - this."),
    clipRatioHigh: amount.default(clipRatioHigh).describe("The ratio's upper bound is 1 + this."),
    clipRatioDual: z.number().gt(1).nullable().default(clipRatioDual).describe(
      "The upper bound of the ratio at negative advantages; null: none.",
    ),
  };
};
/**
 * The path of a module that runs in the training process. Modules of other hosts are refused, because they would have its permissions.
 *
 * @param builtIn What the key may hold in place of a module.
 */
export const modulePathOr = (builtIn: string): z.ZodString =>
  z.string().regex(
    /^(?:\.{1,2}\/|\/|file:)/,
    `expected ${builtIn}, or a module of your own: a path that begins with "./", "../" or "/", or a "file:" URL`,
  );
const modulePath = modulePathOr("a built-in one");
const moduleOptions = z.record(z.string(), z.unknown()).optional().describe("Handed to the module's function.");

// A cast, because only checks.ts knows that a cap replaces both of cispo's bounds.
const builtInLoss = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("ppo"), ...clips("ppo") }),
  z.strictObject({ kind: z.literal("gspo"), ...clips("gspo") }),
  z.strictObject({ kind: z.literal("gspo_token"), ...clips("gspo_token") }),
  z.strictObject({
    kind: z.literal("cispo"),
    clipRatioLow: share.optional().describe(`Default ${POLICY_LOSS_DEFAULTS.cispo.clipRatioLow}, without a cap.`),
    clipRatioHigh: amount.optional().describe(`Default ${POLICY_LOSS_DEFAULTS.cispo.clipRatioHigh}, without a cap.`),
    clipRatioCap: positive.optional().describe("The only upper bound of the ratio; it excludes the other two."),
  }),
  z.strictObject({
    kind: z.literal("sapo"),
    tauPositive: positive.default(POLICY_LOSS_DEFAULTS.sapo.tauPositive).describe("The steepness at positive advantages."),
    tauNegative: positive.default(POLICY_LOSS_DEFAULTS.sapo.tauNegative).describe("The steepness at negative advantages."),
  }),
  z.strictObject({ kind: z.literal("reinforce") }),
  z.strictObject({ kind: z.literal("module"), use: modulePath.describe("Path of a module of your own."), options: moduleOptions }),
]) as unknown as z.ZodType<PolicyLoss | LossUse, PolicyLoss | LossUse>;
const loss = z.union([
  modulePath.transform((use): PolicyLoss | LossUse => ({ kind: "module", use })).describe("A module of your own."),
  builtInLoss,
]);
const credit = z.union([
  z.enum(CREDIT_METHODS, { error: `expected ${CREDIT_METHODS.join(", ")}, or a module as "./credit.ts"` }),
  modulePath.transform((use): ModuleUse => ({ use })).describe("A module of your own."),
  z.strictObject({ use: modulePath.describe("Path of a module of your own."), options: moduleOptions }),
]);

const corrected = <K extends "truncate" | "mask">(kind: K) => {
  const { level, low, high } = CORRECTION_DEFAULTS[kind];
  return z.strictObject({
    kind: z.literal(kind),
    level: z.enum(["token", "sequence", "sequence_mean"]).default(level).describe("The level at which weights are computed."),
    low: amount.default(low).describe("The least weight."),
    high: amount.default(high).describe("The largest weight."),
  });
};

const coefficient = z.union([
  amount.transform((value) => ({ kind: "fixed" as const, coefficient: value })).describe("A fixed coefficient."),
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("fixed"), coefficient: amount.describe("The factor of the divergence.") }),
    z.strictObject({
      kind: z.literal("adaptive"),
      coefficient: amount.describe("Its value at the start."),
      target: positive.describe("The mean divergence that it is steered to."),
      horizon: positive.describe("The number of responses in which it may change by a fifth."),
    }),
  ]),
]);

/** The schema of section `algorithm`. */
export const algorithmSchema: z.ZodType<AlgorithmSection, AlgorithmInput | undefined> = z.strictObject({
  advEstimator: advEstimator.prefault({ kind: "grpo" }).describe("How rewards become advantages: a name, or {kind, ...options}."),
  loss: loss.prefault({ kind: "ppo" }).describe("The policy loss and its bounds, or a module of your own."),
  lossAvgMode: z.enum(["token", "seq", "seq_sum_norm"]).default("token").describe(
    "Mean over tokens, over responses of token means, or token sums by data.maxResponseLength.",
  ),
  entropyCoefficient: z.number().default(0).describe("The coefficient of the entropy bonus."),
  oldLogprobs: z.enum(["rollout", "recompute"]).default("rollout").describe("Which log-probs the ratios refer to."),
  correction: z.discriminatedUnion("kind", [corrected("truncate"), corrected("mask")]).nullable().default(null).describe(
    "Importance weights between recomputed log-probs and the rollout's; null: none.",
  ),
  kl: z.strictObject({
    kind: z.enum(DIVERGENCES).default("k3").describe("Its estimate; full: over the whole vocabulary."),
    where: z.enum(["loss", "reward"]).default("loss").describe("Whether it is added to the loss, or subtracted from the reward."),
    coefficient: coefficient.describe("A number, or {kind, coefficient, ...}; 0 loads no reference."),
    alpha: z.number().optional().describe("The order of kind alpha, default 0.5."),
    clamp: positive.nullable().optional().describe(
      "Bound of value and slope; null: none. Default 10 where the estimate has an exponential.",
    ),
    importance: z.boolean().optional().describe("Whether it is multiplied by policy / old. Default false."),
  }).nullable().default(null).describe("A divergence from the model at the start; null: none, and no reference is loaded."),
  onlineFiltering: z.strictObject({
    filterLow: z.number().default(DYNAMIC_SAMPLING_DEFAULTS.filterLow).describe("Groups with a mean above this are kept."),
    filterHigh: z.number().default(DYNAMIC_SAMPLING_DEFAULTS.filterHigh).describe("Groups with a mean below this are kept."),
    maxTries: z.union([positiveInt, z.literal(-1)]).default(DYNAMIC_SAMPLING_DEFAULTS.maxTries).describe(
      "Batches for a step; -1: no limit.",
    ),
  }).nullable().default(null).describe("Samples until a step has enough groups that are neither all right nor all wrong; null: no."),
  filterKey: z.string().min(1).default("accuracy").describe("The part of the reward that onlineFiltering uses."),
  overlong: z.strictObject({
    buffer: positiveInt.describe("The number of last tokens before the limit in which the punishment grows."),
    factor: amount.default(1).describe("The punishment at the limit."),
  }).nullable().default(null).describe("A soft punishment near the length limit; null: none."),
  maskTruncated: z.boolean().default(false).describe("Whether answers that were cut off are left out of the loss."),
  credit: credit.prefault("atrl").describe(
    "Which tokens earn the advantage: atrl (section atrl), vppo, none (all alike), or what a module of your own says.",
  ),
  vppo: z.strictObject({
    topFraction: z.number().gt(0).max(1).default(0.4).describe("The share of a response's tokens that learn."),
    scalingMin: z.number().gt(0).max(1).default(0.9).describe("The weight of the least perceptive response."),
  }).prefault({}).describe("The options of credit vppo."),
}).prefault({}).describe("From rewards to a loss.");
