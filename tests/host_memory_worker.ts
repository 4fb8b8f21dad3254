// Allocates and frees at random beside other workers, leaves one allocation, and posts its address. For host_memory_test.ts.
/// <reference lib="deno.worker" />
import { CpuDevice } from "../ffi/cpu_device.ts";

using device = CpuDevice.open();
for (let i = 0; i < 2000; i++) device.free(device.alloc((i * 7919) % 300_000));
self.postMessage(device.alloc(12_345));
self.close();
