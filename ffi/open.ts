/**
 * Opens devices by name.
 *
 * @module
 */
import { CpuDevice, type CpuOptions } from "./cpu_device.ts";
import { CudaDevice, type CudaOptions } from "./cuda_device.ts";
import { Cudart } from "./cudart.ts";
import type { Device as DeviceInterface } from "./device.ts";

/** Options for whichever device is opened; each takes what concerns it. */
export type OpenOptions = CpuOptions & Omit<CudaOptions, "ordinal">;

/** A place where tensors live and ops run; see {@linkcode Device.open}. */
export type Device = DeviceInterface;

/**
 * Opens a device.
 *
 * @param name "cuda:0", "cuda" (the same), "cpu", or "auto" (default): the first CUDA device if the driver lists one, else the CPU.
 * @throws {KedgeError} `Device` if it is not there, `Build` with the compiler's words; with "auto" too: a device that is there and does not open is
 *   not passed over in silence.
 * @throws {RangeError} For another name.
 *
 * @example
 * ```ts
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * assertEquals([device.kind, device.name], ["cpu", "cpu"]);
 * assertThrows(() => openDevice("gpu"), RangeError, '"cuda:<number>"');
 * ```
 */
export function openDevice(name = "auto", options: OpenOptions = {}): CpuDevice | CudaDevice {
  const match = /^(?:auto|cpu|cuda(?::(\d+))?)$/.exec(name);
  if (!match) throw new RangeError(`Cannot open the device "${name}": the names are "auto", "cpu", "cuda" and "cuda:<number>"`);
  if (name === "cpu") return CpuDevice.open(options);
  if (name === "auto" && options.libraries?.cudart === undefined && !(Cudart.find()?.deviceCount)) return CpuDevice.open(options);
  return CudaDevice.open({ ...options, ordinal: Number(match[1] ?? 0) });
}

/**
 * Returns the device that a rank computes on, of a name that stands for the devices of a whole machine: its own GPU, or the CPU.
 *
 * @param localRank The number of the rank among those of the machine.
 *
 * @example
 * ```ts
 * import { deviceOfRank } from "./open.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([deviceOfRank("cuda", 3), deviceOfRank("cuda:1", 3), deviceOfRank("cpu", 3)], ["cuda:3", "cuda:1", "cpu"]);
 * ```
 */
export function deviceOfRank(name: string, localRank: number): string {
  const isAny = name === "cuda" || (name === "auto" && Boolean(Cudart.find()?.deviceCount));
  return isAny ? `cuda:${localRank}` : name === "auto" ? "cpu" : name;
}

/** Opens devices: `Device.open("auto")`. */
export const Device: { readonly open: typeof openDevice } = { open: openDevice };
