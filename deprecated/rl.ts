/**
 * Names that have moved from `@kedge/kedge` to `@kedge/kedge/rl`. They stay importable from there until version 0.2.
 *
 * @module
 */
import * as rl from "../rl/mod.ts";

/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const aggregationWeights: typeof rl.aggregationWeights = rl.aggregationWeights;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const ATRL_DEFAULTS: typeof rl.ATRL_DEFAULTS = rl.ATRL_DEFAULTS;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const ATRL_MODES: typeof rl.ATRL_MODES = rl.ATRL_MODES;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const atrlOptions: typeof rl.atrlOptions = rl.atrlOptions;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const atrlReport: typeof rl.atrlReport = rl.atrlReport;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const batchSize: typeof rl.batchSize = rl.batchSize;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const bimodality: typeof rl.bimodality = rl.bimodality;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const checkCredit: typeof rl.checkCredit = rl.checkCredit;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const clusterBound: typeof rl.clusterBound = rl.clusterBound;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const clusterCount: typeof rl.clusterCount = rl.clusterCount;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const Coefficient: typeof rl.Coefficient = rl.Coefficient;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const combineRewards: typeof rl.combineRewards = rl.combineRewards;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const CORRECTION_DEFAULTS: typeof rl.CORRECTION_DEFAULTS = rl.CORRECTION_DEFAULTS;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const CorrectionMetrics: typeof rl.CorrectionMetrics = rl.CorrectionMetrics;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const CREDIT_METHODS: typeof rl.CREDIT_METHODS = rl.CREDIT_METHODS;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const divergence: typeof rl.divergence = rl.divergence;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const DIVERGENCE_DEFAULTS: typeof rl.DIVERGENCE_DEFAULTS = rl.DIVERGENCE_DEFAULTS;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const DivergenceMetrics: typeof rl.DivergenceMetrics = rl.DivergenceMetrics;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const divergenceRewards: typeof rl.divergenceRewards = rl.divergenceRewards;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const divergenceValues: typeof rl.divergenceValues = rl.divergenceValues;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const DYNAMIC_SAMPLING_DEFAULTS: typeof rl.DYNAMIC_SAMPLING_DEFAULTS = rl.DYNAMIC_SAMPLING_DEFAULTS;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const DynamicSampler: typeof rl.DynamicSampler = rl.DynamicSampler;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const edgeCut: typeof rl.edgeCut = rl.edgeCut;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const estimateAdvantages: typeof rl.estimateAdvantages = rl.estimateAdvantages;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const importanceWeights: typeof rl.importanceWeights = rl.importanceWeights;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const maskTruncated: typeof rl.maskTruncated = rl.maskTruncated;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const needsReference: typeof rl.needsReference = rl.needsReference;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const overlongReward: typeof rl.overlongReward = rl.overlongReward;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const partitionKway: typeof rl.partitionKway = rl.partitionKway;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const partitionMetis: typeof rl.partitionMetis = rl.partitionMetis;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const partitionNone: typeof rl.partitionNone = rl.partitionNone;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const patchBlackening: typeof rl.patchBlackening = rl.patchBlackening;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const POLICY_LOSS_DEFAULTS: typeof rl.POLICY_LOSS_DEFAULTS = rl.POLICY_LOSS_DEFAULTS;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const policyLoss: typeof rl.policyLoss = rl.policyLoss;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const PolicyMetrics: typeof rl.PolicyMetrics = rl.PolicyMetrics;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const sensitivity: typeof rl.sensitivity = rl.sensitivity;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const TokenGraph: typeof rl.TokenGraph = rl.TokenGraph;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const tokenWeights: typeof rl.tokenWeights = rl.tokenWeights;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const trajectoryWeights: typeof rl.trajectoryWeights = rl.trajectoryWeights;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const uniformCredit: typeof rl.uniformCredit = rl.uniformCredit;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const vppoCredit: typeof rl.vppoCredit = rl.vppoCredit;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const WeightCredit: typeof rl.WeightCredit = rl.WeightCredit;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export const weightedAdvantage: typeof rl.weightedAdvantage = rl.weightedAdvantage;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type Aggregation = rl.Aggregation;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type AtrlInputs = rl.AtrlInputs;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type AtrlMode = rl.AtrlMode;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type AtrlOptions = rl.AtrlOptions;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type BatchSize = rl.BatchSize;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type BlackeningOptions = rl.BlackeningOptions;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type Clusters = rl.Clusters;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type ClusterStats = rl.ClusterStats;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type Coefficient = rl.Coefficient;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type CoefficientConfig = rl.CoefficientConfig;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type Correction = rl.Correction;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type CorrectionBatch = rl.CorrectionBatch;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type CorrectionMetrics = rl.CorrectionMetrics;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type CorrectionReport = rl.CorrectionReport;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type CreditMethod = rl.CreditMethod;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type Divergence = rl.Divergence;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type DivergenceBatch = rl.DivergenceBatch;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type DivergenceKind = rl.DivergenceKind;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type DivergenceMetrics = rl.DivergenceMetrics;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type DivergenceTerm = rl.DivergenceTerm;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type DynamicSampler<Group> = rl.DynamicSampler<Group>;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type DynamicSamplerState<Group> = rl.DynamicSamplerState<Group>;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type DynamicSampling = rl.DynamicSampling;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type Estimator = rl.Estimator;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type GroupCounts = rl.GroupCounts;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type GroupFate = rl.GroupFate;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type HostGraph = rl.HostGraph;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type OverlongShaping = rl.OverlongShaping;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type PartitionMethod = rl.PartitionMethod;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type PolicyBatch = rl.PolicyBatch;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type PolicyLoss = rl.PolicyLoss;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type PolicyLossOptions = rl.PolicyLossOptions;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type PolicyMetrics = rl.PolicyMetrics;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type PolicyReport = rl.PolicyReport;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type ReportInputs = rl.ReportInputs;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type ResponseKey = rl.ResponseKey;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type RewardBatch = rl.RewardBatch;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type StepNumbers = rl.StepNumbers;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type TokenCredit = rl.TokenCredit;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type TokenGraph = rl.TokenGraph;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type TokenLayout = rl.TokenLayout;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type VppoOptions = rl.VppoOptions;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type WeightCredit = rl.WeightCredit;
/** @deprecated Import it from `@kedge/kedge/rl`.
 * @ignore */
export type WeightInputs = rl.WeightInputs;
