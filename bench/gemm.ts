/**
 * Compares the built-in GEMM with the system's CBLAS. If a ratio is above 1, the built-in one is faster. Goal: at least 0.6 for the shapes
 * of training.
 *
 *   deno run --allow-read --allow-write=.cache --allow-run=c++ --allow-ffi bench/gemm.ts [--threads=2] [--rounds=11]
 *
 * @module
 */
import type { Address } from "../ffi/address.ts";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { DTYPES } from "../ffi/device.ts";
import { benchLine } from "./options.ts";
import { type Cell, measure, Report } from "./report.ts";

const GOAL = 0.6;
const TRAINING = [[512, 512, 512], [768, 768, 768], [1024, 1024, 1024], [2400, 1024, 384]] as const; // [m, n, k]
const DECODING = [[1, 1024, 384], [8, 1024, 384], [32, 1024, 384], [1, 4096, 1024], [8, 4096, 1024], [32, 4096, 1024]] as const;

const line = benchLine({
  name: "deno task bench gemm",
  does: "Compares the built-in GEMM with the system's CBLAS.",
  values: { threads: ["N", "threads of both (default 2)"], rounds: ["N", "repetitions of each (default 11)"] },
});
using device = CpuDevice.open({ threads: line.number("threads", { min: 1 }) ?? 2, blas: "system" });
const found = device.blas.name !== "built-in";
const options = { rounds: line.number("rounds", { min: 1 }) ?? 11 };

function upload(length: number): Address {
  const address = device.alloc(length * 4);
  device.write(address, Float32Array.from({ length }, () => Math.random() * 2 - 1));
  return address;
}

/** Measures one product in every available way. */
function row(m: number, n: number, k: number, transA: boolean, transB: boolean, packed: boolean): Record<string, Cell> {
  const a = upload(m * k), b = upload(k * n), c = device.alloc(m * n * 4), panels = device.alloc(device.host.gemmPackedBytes(n, k));
  const lda = transA ? m : k, ldb = transB ? k : n, ta = Number(transA), tb = Number(transB);
  device.host.gemmPack(panels, b, ldb, tb, n, k);
  const builtin = () => device.ops.gemm(DTYPES.f32, c, DTYPES.f32, n, a, lda, ta, b, ldb, tb, m, n, k, 1, 0);
  const result = measure({
    cblas: found ? () => device.gemm({ dtype: "f32", a, lda, transA, b, ldb, transB, c, ldc: n, m, n, k }) : builtin,
    builtin,
    ...(packed ? { packed: () => device.host.gemmPacked(c, n, a, lda, ta, panels, m, n, k, 1, 0) } : {}),
  } as Record<"cblas" | "builtin" | "packed", () => void>, options);
  for (const address of [a, b, c, panels]) device.free(address);
  const speed = (seconds: number) => 2e-9 * m * n * k / seconds;
  return {
    "m x n x k": `${m} x ${n} x ${k}`,
    "op(A) op(B)": `${transA ? "A'" : "A"} ${transB ? "B'" : "B"}`,
    "built-in GFLOP/s": speed(result.builtin.seconds),
    ...(packed ? { "packed GFLOP/s": speed(result.packed.seconds) } : {}),
    ...(found ? { "CBLAS GFLOP/s": speed(result.cblas.seconds), ratio: result.builtin.ratio } : {}),
    ...(found && packed ? { "packed ratio": result.packed.ratio } : {}),
  };
}

const facts = {
  cblas: found ? `${device.blas.name} (${device.blas.path})` : "none found, so there are no ratios",
  threads: device.threads,
};
const training = new Report("gemm, training", { ...facts, goal: `ratio >= ${GOAL}` });
for (const [m, n, k] of TRAINING) {
  for (const [transA, transB] of [[false, false], [false, true], [true, false], [true, true]] as const) {
    const cells = row(m, n, k, transA, transB, false);
    training.row(found ? { ...cells, goal: Number(cells.ratio) >= GOAL ? "met" : "MISSED" } : cells);
  }
}
training.print();

const decoding = new Report("gemm, decoding", facts);
for (const [m, n, k] of DECODING) decoding.row(row(m, n, k, false, true, true));
decoding.print();
