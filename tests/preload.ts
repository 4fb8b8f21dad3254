/**
 * Loads the CPU library before the documentation's examples run, since a library that a test loads counts as its leak.
 *
 * @module
 */
import { CpuDevice } from "../ffi/cpu_device.ts";

CpuDevice.open()[Symbol.dispose]();
