/**
 * Loads the CPU library, the picture decoder, and libmetis if it is installed, before the documentation's examples run. A library that a
 * test loads would count as a leak.
 *
 * @module
 */
import "sharp";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { KedgeError } from "../ffi/errors.ts";
import { openMetis } from "../ffi/metis.ts";

CpuDevice.open()[Symbol.dispose]();
try {
  openMetis();
} catch (error) {
  if (!(error instanceof KedgeError && error.code === "Unsupported")) throw error;
}
