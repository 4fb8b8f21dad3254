/**
 * Kedge: reinforcement learning from verifiable rewards for multimodal language models, with credit by cross-modality connectivity (AT-RL), in
 * TypeScript over kernels for CUDA and for the CPU.
 *
 * What is here so far: devices and their kernels, tensors with reverse-mode autograd, handles that cross threads, AdamW, schedules, safetensors.
 *
 * @example A step of gradient descent
 * ```ts
 * import { dot, openDevice, Parameter, Tape, Tensor } from "./mod.ts";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using weight = new Parameter("weight", Tensor.from(device, [1, 2, 3]));
 * using x = Tensor.from(device, [4, 5, 6]);
 * using tape = new Tape(device);
 * const loss = dot(tape.param(weight), tape.constant(x));
 * assertEquals(loss.tensor.item(), 32);
 * tape.backward(loss);
 * assertEquals([...weight.grad!.toArray()], [4, 5, 6]);
 * ```
 *
 * @module
 */

// Devices.
export { Device, openDevice, type OpenOptions } from "./ffi/open.ts";
export { CpuDevice, type CpuOptions } from "./ffi/cpu_device.ts";
export { CudaDevice, type CudaOptions } from "./ffi/cuda_device.ts";
export { type DeviceEvent, type DType, DTYPE_BYTES, DTYPES, type Gemm, type MemoryReport } from "./ffi/device.ts";
export type { Address, Host, Ops } from "./ffi/generated/bindings.ts";
export { KedgeError, type KedgeErrorCode } from "./ffi/errors.ts";

// Tensors.
export { type Shape, Tensor, type TensorArray, type TensorOptions } from "./tensor/tensor.ts";
export { Account, type TensorHandle, type TensorReturn } from "./tensor/handle.ts";
export { type OwnerId, type OwnerReport, ownerReport, reclaimOwner } from "./tensor/owner.ts";

// Autograd.
export { type Op, type Seed, Tape, type ValueTree } from "./tensor/tape.ts";
export { Value } from "./tensor/value.ts";
export { Parameter, type Parameters } from "./tensor/parameter.ts";
export { type PrefixGroup, type Segment, Segments } from "./tensor/segments.ts";
export * from "./tensor/ops/mod.ts";

// Training.
export { AdamW, type AdamWGroup, type AdamWOptions, type AdamWState, type Rounding, type StepReport } from "./tensor/optimizer.ts";
export {
  constantSchedule,
  cosineSchedule,
  type DecayOptions,
  linearSchedule,
  type Schedule,
  type ScheduleOptions,
} from "./tensor/schedule.ts";

// Numbers on the host.
export { Random } from "./tensor/random.ts";

// Files.
export { SAFETENSORS_DTYPES, type SafetensorsDType, SafetensorsFile, SafetensorsFolder, type TensorInfo } from "./tensor/safetensors.ts";
export { type SafetensorsEntry, writeSafetensors, writeSharded } from "./tensor/safetensors_writer.ts";
export { type LoadOptions, loadTensor, tensorEntry } from "./tensor/tensor_files.ts";

// Advantages, losses, divergences, dynamic sampling.
export type { RewardBatch } from "./rl/advantages/batch.ts";
export { estimateAdvantages, type Estimator } from "./rl/advantages/estimator.ts";
export { combineRewards } from "./rl/advantages/reward_parts.ts";
export {
  type Aggregation,
  aggregationWeights,
  type BatchSize,
  batchSize,
  maskTruncated,
  type TokenLayout,
} from "./rl/losses/aggregation.ts";
export {
  type Correction,
  CORRECTION_DEFAULTS,
  type CorrectionBatch,
  CorrectionMetrics,
  type CorrectionReport,
  importanceWeights,
} from "./rl/losses/correction.ts";
export { PolicyMetrics, type PolicyReport } from "./rl/losses/metrics.ts";
export { POLICY_LOSS_DEFAULTS, type PolicyBatch, type PolicyLoss, policyLoss, type PolicyLossOptions } from "./rl/losses/policy_loss.ts";
export { Coefficient, type CoefficientConfig } from "./rl/divergences/coefficient.ts";
export {
  type Divergence,
  divergence,
  DIVERGENCE_DEFAULTS,
  type DivergenceBatch,
  type DivergenceKind,
  DivergenceMetrics,
  divergenceValues,
} from "./rl/divergences/divergence.ts";
export { divergenceRewards, type DivergenceTerm, needsReference } from "./rl/divergences/term.ts";
export { overlongReward, type OverlongShaping } from "./rl/shaping.ts";
export {
  DYNAMIC_SAMPLING_DEFAULTS,
  DynamicSampler,
  type DynamicSamplerState,
  type DynamicSampling,
  type GroupCounts,
  type GroupFate,
} from "./rl/sampling.ts";
