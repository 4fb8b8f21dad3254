// Tests the race checker: it finds planted races, and nothing in kernels without one. `deno task test:slow` runs all ops under it.
import { assertEquals, assertMatch } from "@std/assert";
import { buildLibrary } from "../../ffi/build.ts";
import { loadLibrary } from "../../ffi/load.ts";
import { emulationBuild, watched } from "../ops/emulated_device.ts";
import misuse from "./misuse.cu" with { type: "text" };

const unit = "tests/cuda_emu/misuse.cu";
const build = emulationBuild({ races: true });
const path = buildLibrary({
  ...build,
  name: "kedge_emu_races_misuse",
  label: "kernels that race on the emulated device",
  sources: { ...build.sources, [unit]: misuse },
  units: [unit, "tests/cuda_emu/cuda_emu.cpp", "tests/cuda_emu/race.cpp"],
  unitFlags: watched([unit]),
});
const { try_kernel: tryKernel, kedge_emu_races: racesOf } = loadLibrary(path, {
  try_kernel: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  kedge_emu_races: { parameters: ["buffer", "i64"], result: "i64" },
});

/** Launches a kernel of misuse.cu: the races that it was found to have. */
function races(which: number): string[] {
  const x = new Float32Array(96), text = new Uint8Array(1 << 14);
  assertEquals(Number(tryKernel!(which, x, text, text.length)), 0, `kernel ${which}`);
  racesOf!(text, text.length);
  return new TextDecoder().decode(text.subarray(0, text.indexOf(0))).split("\n").filter((line) => line !== "");
}

Deno.test("the race checker finds a missing barrier, a missing __syncwarp, a copy that overtakes, and blocks that write one place", () => {
  const cases: [correct: number, racing: number, RegExp][] = [
    [20, 21, /two_warps<false>.*: (a write and a read|a read and a write) at .*: thread \d+ of block (\d) .* and thread \d+ of block \2/],
    [22, 23, /one_warp<false>.*: a write and a read/],
    [24, 25, /overwritten<false>.*: (a write and a read|a read and a write)/],
    [26, 27, /blocks<false>.*: .*thread 0 of block \d .* and thread 0 of block \d/],
    [0, 1, /no_barrier: /],
  ];
  for (const [correct, racing, pattern] of cases) {
    for (let repeat = 0; repeat < 4; repeat++) { // in other orders of threads
      assertEquals(races(correct), [], `kernel ${correct}`);
      assertMatch(races(racing)[0] ?? "", pattern, `kernel ${racing}`);
    }
  }
});
