/**
 * Alternates products with two of Kedge's own ops, as a training step does. It measures what a GEMM costs beside other threads. Each GEMM
 * needs a separate process, because the idle threads of one take the cores of the other. Run both commands alternately.
 *
 *   deno run --allow-read --allow-write=.cache --allow-run=c++ --allow-ffi bench/gemm_mixed.ts --blas=builtin
 *   deno run --allow-read --allow-write=.cache --allow-run=c++ --allow-ffi bench/gemm_mixed.ts --blas=system
 *
 * @module
 */
import { CpuDevice } from "../ffi/cpu_device.ts";
import { DTYPES } from "../ffi/device.ts";
import { benchLine } from "./options.ts";
import { measure, Report } from "./report.ts";

const SHAPES = [[64, 192, 64], [256, 256, 256], [512, 512, 512], [2400, 1024, 384], [2400, 384, 384], [1024, 1024, 1024]] as const; // [m, n, k]

const line = benchLine({
  name: "deno run bench/gemm_mixed.ts",
  does: "Alternates products with two of Kedge's own ops, as a training step does.",
  values: { blas: ["NAME", "builtin | system, or a library's path (default builtin)"], rounds: ["N", "repetitions of each (default 11)"] },
});
using device = CpuDevice.open({ blas: line.text("blas") ?? "builtin" });
const report = new Report("gemm beside other ops", { gemm: device.blas.name, threads: device.threads });
for (const [m, n, k] of SHAPES) {
  const [a, b, c] = [device.alloc(4 * m * k), device.alloc(4 * n * k), device.alloc(4 * m * n)];
  device.ops.fill(DTYPES.f32, a, m * k, 0.5);
  device.ops.fill(DTYPES.f32, b, n * k, 0.25);
  const { step } = measure({
    step: () => {
      device.gemm({ dtype: "f32", a, lda: k, b, ldb: k, transB: true, c, ldc: n, m, n, k });
      device.ops.geluFwd(DTYPES.f32, c, c, m * n, 0);
      device.ops.scaleAdd(DTYPES.f32, c, c, m * n, 0.1, 0, 0);
    },
  }, { rounds: line.number("rounds", { min: 1 }) ?? 11, rest: 0 });
  report.row({ "m x n x k": `${m} x ${n} x ${k}`, milliseconds: step.seconds * 1e3 });
  for (const address of [a, b, c]) device.free(address);
}
report.print();
