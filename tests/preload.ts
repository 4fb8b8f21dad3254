/**
 * Loads the CPU library, the picture decoder, and libmetis where it is installed, before the documentation's examples run, since a library that a test loads counts as its leak.
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
