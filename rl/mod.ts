/**
 * The algorithm: advantages from rewards, AT-RL's token weights from connectivity, policy losses, divergences from a reference model, and
 * dynamic sampling. docs/method.md defines AT-RL. docs/algorithms.md lists every option with its formula.
 *
 * @example Advantages of four answers, weighted by AT-RL
 * ```ts
 * import { detectAtrl, estimateAdvantages, Responses } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * // Two prompts with two answers each, of 3, 2, 2 and 1 tokens. GRPO gives every token of an answer its advantage.
 * const lengths = [3, 2, 2, 1];
 * const perToken = estimateAdvantages({ kind: "grpo" }, { rewards: [1, 0, 1, 1], groups: [0, 0, 1, 1], lengths });
 * assertEquals([...perToken].map(Math.sign), [1, 1, 1, -1, -1, 0, 0, 0]);
 *
 * // How strongly each token attends to the picture, and to which of its two regions.
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, lengths);
 * using connectivity = Tensor.from(device, [0.9, 0.1, 0.2, 0.3, 0.8, 0.5, 0.1, 0.4]);
 * using flat = Tensor.from(device, [0.8, 0.1, 0.1, 0.0, 0.1, 0.1, 0.2, 0.1, 0.1, 0.7, 0.4, 0.1, 0.1, 0.0, 0.2, 0.2]);
 * using profile = flat.reshape([responses.tokens, 2]);
 * using credit = detectAtrl(responses, { connectivity, profile, visual: [true, true, true, true] });
 * using base = Tensor.from(device, Float32Array.from(perToken));
 * using advantages = credit.advantages(base, { perToken: true });
 * assertEquals(advantages.shape, [8]);
 * ```
 *
 * @module
 */
// Advantages, losses, divergences, dynamic sampling.
export type { RewardBatch } from "./advantages/batch.ts";
export { estimateAdvantages, type Estimator } from "./advantages/estimator.ts";
export { combineRewards } from "./advantages/reward_parts.ts";
export { type Aggregation, aggregationWeights, type BatchSize, batchSize, maskTruncated, type TokenLayout } from "./losses/aggregation.ts";
export {
  type Correction,
  CORRECTION_DEFAULTS,
  type CorrectionBatch,
  CorrectionMetrics,
  type CorrectionReport,
  importanceWeights,
} from "./losses/correction.ts";
export { PolicyMetrics, type PolicyReport } from "./losses/metrics.ts";
export {
  type LossBounds,
  lossBounds,
  POLICY_LOSS_DEFAULTS,
  type PolicyBatch,
  type PolicyLoss,
  policyLoss,
  type PolicyLossOptions,
} from "./losses/policy_loss.ts";
export { Coefficient, type CoefficientConfig } from "./divergences/coefficient.ts";
export {
  type Divergence,
  divergence,
  DIVERGENCE_DEFAULTS,
  type DivergenceBatch,
  divergenceClamp,
  type DivergenceKind,
  DivergenceMetrics,
  divergenceValues,
} from "./divergences/divergence.ts";
export { divergenceRewards, type DivergenceTerm, needsReference } from "./divergences/term.ts";
export { overlongReward, type OverlongShaping } from "./shaping.ts";
export {
  DYNAMIC_SAMPLING_DEFAULTS,
  DynamicSampler,
  type DynamicSamplerState,
  type DynamicSampling,
  type GroupCounts,
  type GroupFate,
} from "./sampling.ts";

// Credit: the share of each token in its response's advantage.
export {
  ATRL_DEFAULTS,
  ATRL_MODES,
  ATRL_PUBLISHED,
  ATRL_SCORES,
  type AtrlMode,
  type AtrlOptions,
  atrlOptions,
  type AtrlScore,
  NEIGHBOUR_RULES,
  type NeighbourRule,
  PARTITION_METHODS,
  type PartitionMethod,
} from "./atrl/options.ts";
export { Responses } from "./credit/responses.ts";
export { type GraphOptions, type HostGraph, TokenGraph } from "./atrl/graph.ts";
export {
  clusterBound,
  clusterCount,
  type Clusters,
  type ClusterStats,
  edgeCut,
  partitionKway,
  partitionMetis,
  partitionModularity,
  partitionNone,
} from "./atrl/partition.ts";
export { type ScoreInputs, tokenScore } from "./atrl/score.ts";
export { plainScore, type ScoreInput, type VisibleKeys } from "./credit/plain_score.ts";
export { type ResponseKey, tokenWeights, type WeightInputs } from "./atrl/weights.ts";
export { weightedAdvantage } from "./credit/advantage.ts";
export { AtrlCredit, type AtrlInputs, detectAtrl, type StepNumbers } from "./atrl/detect.ts";
export { HEAD_RULES, headAreas, type HeadRule, type HeadSharesInput, type RankedHead, rankHeads } from "./atrl/head_ranking.ts";
export { atrlReport, bimodality, type ReportInputs } from "./atrl/report.ts";
export { checkCredit, CREDIT_METHODS, type CreditMethod, type TokenCredit } from "./credit/credit.ts";
export {
  type ClassFunction,
  classIndices,
  type ClassInput,
  type ClassModule,
  TOKEN_CLASSES,
  type TokenClass,
} from "./credit/token_classes.ts";
export { classReport, type ClassReportInputs, rocArea } from "./credit/class_report.ts";
export { type BlackeningOptions, patchBlackening } from "./credit/blacken.ts";
export { sensitivity, trajectoryWeights, vppoCredit, type VppoOptions } from "./credit/vppo.ts";
export { uniformCredit, WeightCredit } from "./credit/weight_credit.ts";

// The definitions in plain TypeScript, and users' modules that replace them.
export {
  anchors,
  clustersByDensity,
  type DenseCluster,
  densestPrefix,
  plainWeights,
  type WeightInput,
  type WeightOptions,
} from "./credit/plain_weights.ts";
export { type LossInput, type LossOutput, plainPolicyLoss } from "./losses/plain_loss.ts";
export { type DivergenceEstimate, plainDivergence, plainFullKl } from "./divergences/plain_divergence.ts";
export { type CreditFunction, type CreditInput, type CreditModule, moduleWeights } from "./credit/credit_module.ts";
export { type LossFunction, type LossModule, modulePolicyLoss } from "./losses/loss_module.ts";
export type { ModuleUse, UserFunction } from "./user_module.ts";
