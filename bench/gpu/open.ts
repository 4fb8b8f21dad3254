/**
 * Opens the device of a stage, and times work on it.
 *
 * @module
 */
import type { CudaDevice } from "../../ffi/cuda_device.ts";
import { median } from "../report.ts";

/** Opens a CUDA device, or the tests' fake of one, whose kernels are those of the CPU. @param fake Default: whether there is `--fake`. */
export async function openGpu(fake: boolean = isFake()): Promise<CudaDevice> {
  if (!fake) {
    const { CudaDevice } = await import("../../ffi/cuda_device.ts");
    return CudaDevice.open();
  }
  const { FakeCuda } = await import("../../tests/fake_cuda/fake_cuda.ts");
  return FakeCuda.load().open();
}

/** Whether the stage runs without a GPU. */
export function isFake(): boolean {
  return Deno.args.includes("--fake");
}

/** The value of `--name=VALUE`. @throws {RangeError} if it is missing. */
export function given(name: string): string {
  const value = Deno.args.find((text) => text.startsWith(`--${name}=`))?.slice(name.length + 3);
  if (value === undefined) throw new RangeError(`Cannot run the stage: --${name}=VALUE is missing`);
  return value;
}

/**
 * Times work on the device between two events of its stream, as the median of five. The first run is not counted.
 *
 * @returns Seconds of a call.
 */
export function timed(device: CudaDevice, body: () => void, { calls = 1, rounds = 5 }: { calls?: number; rounds?: number } = {}): number {
  body();
  const all = () => {
    for (let i = 0; i < calls; i++) body();
  };
  return median(Array.from({ length: rounds }, () => device.timed(all))) / calls;
}
