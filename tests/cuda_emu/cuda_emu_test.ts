// Tests the assumptions of the op tests on the emulated device: correct kernels run, and incorrect ones do not pass.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { buildLibrary } from "../../ffi/build.ts";
import { cpuBuild } from "../../ffi/cpu_library.ts";
import { loadLibrary } from "../../ffi/load.ts";
import { emulationBuild } from "../ops/emulated_device.ts";
import misuse from "./misuse.cu" with { type: "text" };

const unit = "tests/cuda_emu/misuse.cu";
const build = emulationBuild();
const path = buildLibrary({
  ...build,
  name: "kedge_emu_misuse",
  label: "kernels that misuse the emulated device",
  sources: { ...build.sources, [unit]: misuse },
  units: [unit, "tests/cuda_emu/cuda_emu.cpp"],
});
for (const library of [build, cpuBuild()]) buildLibrary(library); // here, so that the threads below do not wait for them
const { try_kernel: tryKernel } = loadLibrary(path, { try_kernel: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" } });

/** Launches a kernel of misuse.cu: CUDA's error, its words, and what became of x = 0, 1, 2, ... */
function launch(which: number): { error: number; words: string; x: Float32Array } {
  const x = new Float32Array(96), words = new Uint8Array(512);
  const error = Number(tryKernel!(which, x, words, words.length));
  return { error, words: new TextDecoder().decode(words.subarray(0, words.indexOf(0))), x };
}

Deno.test("the emulated device runs barriers and shuffles, even after some threads have returned", () => {
  for (let repeat = 0; repeat < 3; repeat++) {
    const { error, words, x } = launch(0);
    assertEquals([error, words], [0, "no error"]);
    assertEquals([...x], Array.from({ length: 96 }, (_, i) => i < 80 ? 79 - i : i));
  }
});

Deno.test("the emulated device exposes a missing barrier or wait", () => {
  for (const which of [1, 2, 13, 14, 13, 14]) { // 14: many blocks
    const { error, x } = launch(which);
    assertEquals(error, 0);
    assert(x.some((value) => Number.isNaN(value)), `kernel ${which}`);
  }
});

Deno.test("the emulated device reports misuse with a message", () => {
  const cases: [number, RegExp][] = [
    [3, /half_at_barrier: thread \d+ waits at the barrier .*misuse\.cu:\d+, which thread \d+ never reaches|different operations/],
    [4, /two_barriers: threads \d+ and \d+ meet at different barriers, .*misuse\.cu:\d+ and .*misuse\.cu:\d+/],
    [5, /half_warp: thread \d+ waits at the barrier .*, which thread \d+ never reaches/],
    [6, /lane 0 is not in its own mask fffffffe/],
    [7, /behind_shared: wrote byte 0 behind its 256 bytes/],
    [8, /nothing: a block of 64 x 17 x 1 threads/],
    [9, /nothing: a grid of 1 x 65536 x 1 blocks/],
    [10, /nothing: 49153 bytes of dynamic shared memory, allowed are 49152/],
    [11, /232449 bytes of dynamic shared memory asked for/],
  ];
  for (const [which, pattern] of cases) {
    const { error, words } = launch(which);
    assert(error !== 0, `kernel ${which}`);
    assertMatch(words, pattern);
  }
  assertEquals(launch(12).error, 0);
  assertEquals(launch(0).error, 0); // an error does not outlive its launch
});

Deno.test("two threads drive one kernel, each with the shared memory that its launches need", async () => {
  const workers = [8, 120].map(() => new Worker(new URL("shared_memory_worker.ts", import.meta.url), { type: "module" }));
  const next = (worker: Worker) => {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
    return promise;
  };
  try {
    assertEquals(await Promise.all(workers.map(next)), ["ready", "ready"]);
    const failures = workers.map(next);
    workers.forEach((worker, i) => worker.postMessage([8, 120][i]));
    assertEquals(await Promise.all(failures), [[], []]);
  } finally {
    for (const worker of workers) worker.terminate();
  }
});
