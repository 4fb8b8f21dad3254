// Tests which attention kernels fit into the shared memory of each architecture, by copies of the emulated library whose devices have less of it.
import { assertEquals, assertMatch } from "@std/assert";
import { buildLibrary, cacheFolder } from "../../ffi/build.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { type DType, DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import { opSymbols, type Symbols } from "../../ffi/generated/bindings.ts";
import { loadLibrary } from "../../ffi/load.ts";
import { OpBinding } from "../../ffi/op_binding.ts";
import { emulationBuild } from "../ops/emulated_device.ts";

/** KB of shared memory that a block can ask for (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability"). */
const ROOM = { "sm_80, sm_87": 163, "sm_86, sm_89, sm_120": 99, "sm_90, sm_100": 227 };

/** Runs attention and its backward on a device with so many KB: the messages of what does not fit. */
function refusals(kilobytes: number, dtype: DType, headDim: number): string[] {
  const built = buildLibrary(emulationBuild()), path = Deno.makeTempFileSync({ dir: cacheFolder(), prefix: "test-limits-", suffix: ".so" });
  using cpu = CpuDevice.open({ blas: "builtin" });
  const messages: string[] = [];
  try {
    Deno.copyFileSync(built, path); // another instance, which has launched nothing
    const { kedge_emu_set_max_shared: setMost } = loadLibrary(path, { kedge_emu_set_max_shared: { parameters: ["i32"], result: "void" } });
    setMost!(kilobytes * 1024);
    const { ops } = new OpBinding(loadLibrary(path, opSymbols) as Symbols<typeof opSymbols>, { ordinal: 0, memory: cpu });
    const code = DTYPES[dtype],
      bytes = headDim * DTYPE_BYTES[dtype],
      at = cpu.alloc(8 * bytes),
      lse = cpu.alloc(4),
      segments = cpu.alloc(32);
    ops.fill(code, at, 8 * headDim, 0.5);
    cpu.write(segments, Int32Array.of(0, 1, 0, 1, -1, 0, 0, 0));
    const one = { qTokens: 1, kvTokens: 1, nSegments: 1, maxQ: 1, maxKv: 1, heads: 1, kvHeads: 1, headDim, causal: 1, scale: 1 };
    const shape = { ...one, qStride: headDim, kStride: headDim, vStride: headDim, outStride: headDim };
    const place = (i: number) => at + i * bytes as typeof at;
    const strides = { doutStride: headDim, dqStride: headDim, dkStride: headDim, dvStride: headDim, accumulate: 0 };
    for (
      const run of [
        () => ops.attentionFwd(code, shape, place(0), lse, place(1), place(2), place(3), segments),
        () =>
          ops.attentionBwd(
            code,
            shape,
            strides,
            place(4),
            place(5),
            place(6),
            place(7),
            place(1),
            place(2),
            place(3),
            place(0),
            lse,
            segments,
          ),
      ]
    ) {
      try {
        run();
      } catch (error) {
        messages.push((error as Error).message);
      }
    }
    for (const address of [at, lse, segments]) cpu.free(address);
  } finally {
    Deno.removeSync(path);
  }
  return messages;
}

const name = "attention fits into the shared memory of every architecture in bf16, and in f32 where docs/gpu.md says so";
Deno.test({ name, sanitizeResources: false }, () => { // a loaded library stays
  const refused: string[] = [];
  for (const [name, kilobytes] of Object.entries(ROOM)) {
    for (const dtype of ["f32", "bf16"] as const) {
      for (const headDim of kilobytes < 163 ? [64, 80, 128] : [128]) {
        const messages = refusals(kilobytes, dtype, headDim);
        if (messages.length > 0) refused.push(`${name}: ${dtype} ${headDim}`);
        for (const message of messages) {
          assertMatch(
            message,
            /dtype 0 with heads of \d+ elements takes \d+ bytes of shared memory, a block of this device has 101376: .*bf16 runs here/,
          );
        }
      }
    }
  }
  assertEquals(refused, ["sm_86, sm_89, sm_120: f32 128"]);
});
