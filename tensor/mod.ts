/**
 * Tensors on a device: the CPU or a CUDA GPU. It has operations with gradients, AdamW, learning rate schedules, safetensors files, and
 * handles with which threads share tensors without copies.
 *
 * @example A step of gradient descent
 * ```ts
 * import { AdamW, dot, openDevice, Parameter, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu"); // or "cuda", or "auto"
 * using weight = new Parameter("weight", Tensor.from(device, [1, 2, 3]));
 * using x = Tensor.from(device, [4, 5, 6]);
 * using optimizer = new AdamW(device, [{ parameters: [weight] }], { weightDecay: 0 });
 * using tape = new Tape(device);
 * const loss = dot(tape.param(weight), tape.constant(x));
 * tape.backward(loss); // adds the gradient to weight.grad
 * assertEquals(loss.tensor.item(), 32);
 * assertEquals([...weight.grad!.toArray()], [4, 5, 6]);
 * optimizer.step({ lr: 0.5 });
 * assertEquals([...weight.tensor.toFloats()].map((w) => Number(w.toFixed(3))), [0.5, 1.5, 2.5]);
 * ```
 *
 * @module
 */
// Devices.
export { Device, openDevice, type OpenOptions } from "../ffi/open.ts";
export { CpuDevice, type CpuOptions } from "../ffi/cpu_device.ts";
export { CudaDevice, type CudaOptions } from "../ffi/cuda_device.ts";
export {
  type CapturedWork,
  type Device as DeviceInterface,
  type DeviceEvent,
  type DType,
  DTYPE_BYTES,
  DTYPES,
  type Gemm,
  type MemoryReport,
  type PendingRead,
} from "../ffi/device.ts";
export type { Address } from "../ffi/address.ts";
export type { AttentionGradients, AttentionShape, DecodeShape, Host, Ops } from "../ffi/generated/bindings.ts";
export { KedgeError, type KedgeErrorCode } from "../ffi/errors.ts";

// Tensors.
export { type Shape, Tensor, type TensorArray, type TensorOptions } from "./tensor.ts";
export { Account, type TensorHandle, type TensorReturn } from "./handle.ts";
export { openOwner, type OwnerId, type OwnerReport, ownerReport, reclaimOwner } from "./owner.ts";

// Autograd.
export type { Backward, GradientTarget, Recording } from "./backward.ts";
export type { Slot } from "./gradient.ts";
export { type Seed, Tape } from "./tape.ts";
export { type Op, type Recorder, Value, type ValueTree } from "./value.ts";
export { Parameter, type Parameters } from "./parameter.ts";
export { type PrefixGroup, type Segment, Segments } from "./segments.ts";
export * from "./ops/mod.ts";

// Training.
export { AdamW, type AdamWGroup, type AdamWOptions, type AdamWState, type Rounding, type StepReport } from "./optimizer.ts";
export { constantSchedule, cosineSchedule, type DecayOptions, linearSchedule, type Schedule, type ScheduleOptions } from "./schedule.ts";

// Numbers on the host.
export { Random } from "./random.ts";

// Files.
export { SAFETENSORS_DTYPES, type SafetensorsDType, SafetensorsFile, SafetensorsFolder, type TensorInfo } from "./safetensors.ts";
export { type SafetensorsEntry, writeSafetensors, writeSharded } from "./safetensors_writer.ts";
export { type LoadOptions, loadTensor, tensorEntry } from "./tensor_files.ts";
