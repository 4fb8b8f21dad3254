/**
 * Names that have moved from `@kedge/kedge` to `@kedge/kedge/tensor`. They stay importable from there until version 0.2.
 *
 * @module
 */
import * as tensor from "../tensor/mod.ts";

/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const Account: typeof tensor.Account = tensor.Account;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const AdamW: typeof tensor.AdamW = tensor.AdamW;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const add: typeof tensor.add = tensor.add;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const addBias: typeof tensor.addBias = tensor.addBias;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const addRmsnorm: typeof tensor.addRmsnorm = tensor.addRmsnorm;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const attention: typeof tensor.attention = tensor.attention;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const cast: typeof tensor.cast = tensor.cast;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const concatRows: typeof tensor.concatRows = tensor.concatRows;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const constantSchedule: typeof tensor.constantSchedule = tensor.constantSchedule;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const cosineSchedule: typeof tensor.cosineSchedule = tensor.cosineSchedule;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const CpuDevice: typeof tensor.CpuDevice = tensor.CpuDevice;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const CudaDevice: typeof tensor.CudaDevice = tensor.CudaDevice;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const dot: typeof tensor.dot = tensor.dot;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const DTYPE_BYTES: typeof tensor.DTYPE_BYTES = tensor.DTYPE_BYTES;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const DTYPES: typeof tensor.DTYPES = tensor.DTYPES;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const gatherRows: typeof tensor.gatherRows = tensor.gatherRows;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const gelu: typeof tensor.gelu = tensor.gelu;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const linear: typeof tensor.linear = tensor.linear;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const linearKl: typeof tensor.linearKl = tensor.linearKl;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const linearLogProb: typeof tensor.linearLogProb = tensor.linearLogProb;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const linearSchedule: typeof tensor.linearSchedule = tensor.linearSchedule;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const loadTensor: typeof tensor.loadTensor = tensor.loadTensor;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const logProb: typeof tensor.logProb = tensor.logProb;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const matmul: typeof tensor.matmul = tensor.matmul;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const mul: typeof tensor.mul = tensor.mul;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const openOwner: typeof tensor.openOwner = tensor.openOwner;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const ownerReport: typeof tensor.ownerReport = tensor.ownerReport;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const Parameter: typeof tensor.Parameter = tensor.Parameter;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const Random: typeof tensor.Random = tensor.Random;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const reclaimOwner: typeof tensor.reclaimOwner = tensor.reclaimOwner;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const rmsnorm: typeof tensor.rmsnorm = tensor.rmsnorm;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const rope: typeof tensor.rope = tensor.rope;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const RopeTable: typeof tensor.RopeTable = tensor.RopeTable;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const SAFETENSORS_DTYPES: typeof tensor.SAFETENSORS_DTYPES = tensor.SAFETENSORS_DTYPES;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const SafetensorsFile: typeof tensor.SafetensorsFile = tensor.SafetensorsFile;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const SafetensorsFolder: typeof tensor.SafetensorsFolder = tensor.SafetensorsFolder;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const scale: typeof tensor.scale = tensor.scale;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const scatterRows: typeof tensor.scatterRows = tensor.scatterRows;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const Segments: typeof tensor.Segments = tensor.Segments;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const sum: typeof tensor.sum = tensor.sum;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const swiglu: typeof tensor.swiglu = tensor.swiglu;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const Tape: typeof tensor.Tape = tensor.Tape;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const tensorEntry: typeof tensor.tensorEntry = tensor.tensorEntry;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const Value: typeof tensor.Value = tensor.Value;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const writeSafetensors: typeof tensor.writeSafetensors = tensor.writeSafetensors;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export const writeSharded: typeof tensor.writeSharded = tensor.writeSharded;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Account = tensor.Account;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type AdamW = tensor.AdamW;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type AdamWGroup = tensor.AdamWGroup;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type AdamWOptions = tensor.AdamWOptions;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type AdamWState = tensor.AdamWState;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Address = tensor.Address;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type AddRmsnorm = tensor.AddRmsnorm;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type AttentionGradients = tensor.AttentionGradients;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type AttentionOptions = tensor.AttentionOptions;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type AttentionSeen = tensor.AttentionSeen;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type AttentionShape = tensor.AttentionShape;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Backward = tensor.Backward;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type CpuDevice = tensor.CpuDevice;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type CpuOptions = tensor.CpuOptions;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type CudaDevice = tensor.CudaDevice;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type CudaOptions = tensor.CudaOptions;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type DecayOptions = tensor.DecayOptions;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type DecodeShape = tensor.DecodeShape;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type DeviceEvent = tensor.DeviceEvent;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type DeviceInterface = tensor.DeviceInterface;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type DType = tensor.DType;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Gemm = tensor.Gemm;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type GradientTarget = tensor.GradientTarget;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Host = tensor.Host;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type LinearKlOptions = tensor.LinearKlOptions;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type LoadOptions = tensor.LoadOptions;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type LogProb = tensor.LogProb;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type LogProbOptions = tensor.LogProbOptions;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type MemoryReport = tensor.MemoryReport;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Op = tensor.Op;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Ops = tensor.Ops;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type OwnerId = tensor.OwnerId;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type OwnerReport = tensor.OwnerReport;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Parameter = tensor.Parameter;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Parameters = tensor.Parameters;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type PrefixGroup = tensor.PrefixGroup;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Random = tensor.Random;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Recorder = tensor.Recorder;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Recording = tensor.Recording;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type RopeTable = tensor.RopeTable;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Rounding = tensor.Rounding;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type SafetensorsDType = tensor.SafetensorsDType;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type SafetensorsEntry = tensor.SafetensorsEntry;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type SafetensorsFile = tensor.SafetensorsFile;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type SafetensorsFolder = tensor.SafetensorsFolder;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Schedule = tensor.Schedule;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type ScheduleOptions = tensor.ScheduleOptions;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Seed = tensor.Seed;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Segment = tensor.Segment;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Segments = tensor.Segments;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Shape = tensor.Shape;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Slot = tensor.Slot;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type StepReport = tensor.StepReport;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Tape = tensor.Tape;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type TensorArray = tensor.TensorArray;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type TensorHandle = tensor.TensorHandle;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type TensorInfo = tensor.TensorInfo;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type TensorOptions = tensor.TensorOptions;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type TensorReturn = tensor.TensorReturn;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Value = tensor.Value;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type ValueTree = tensor.ValueTree;
/** @deprecated Import it from `@kedge/kedge/tensor`.
 * @ignore */
export type Weight = tensor.Weight;
