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

// Credit: which tokens earned a response's advantage.
export { ATRL_DEFAULTS, ATRL_MODES, type AtrlMode, type AtrlOptions, atrlOptions, type PartitionMethod } from "./rl/atrl/options.ts";
export { Responses } from "./rl/atrl/responses.ts";
export { type HostGraph, TokenGraph } from "./rl/atrl/graph.ts";
export {
  clusterBound,
  clusterCount,
  type Clusters,
  type ClusterStats,
  edgeCut,
  partitionKway,
  partitionMetis,
  partitionNone,
} from "./rl/atrl/partition.ts";
export { type ResponseKey, tokenWeights, weightedAdvantage, type WeightInputs } from "./rl/atrl/weights.ts";
export { AtrlCredit, type AtrlInputs, detectAtrl, type StepNumbers } from "./rl/atrl/detect.ts";
export { atrlReport, bimodality, type ReportInputs } from "./rl/atrl/report.ts";
export { checkCredit, CREDIT_METHODS, type CreditMethod, type TokenCredit } from "./rl/credit/credit.ts";
export { type BlackeningOptions, patchBlackening, sensitivity, trajectoryWeights, vppoCredit, type VppoOptions } from "./rl/credit/vppo.ts";
export { uniformCredit, WeightCredit } from "./rl/credit/weight_credit.ts";
