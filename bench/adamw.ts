/**
 * Compares AdamW with a copy of memory, and measures the cost of a call. AdamW reads param, gradient, m and v and writes param, m and v; a
 * copy reads and writes one array.
 *
 * Goals: AdamW reaches at least 0.6 of the copy's bytes per second. An empty op takes less than 2 microseconds.
 *
 *   deno run --allow-read --allow-write=.cache --allow-run=c++ --allow-ffi bench/adamw.ts [--threads=2] [--rounds=11] [--elements=33554432]
 *
 * @module
 */
import type { Address } from "../ffi/address.ts";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { DTYPES } from "../ffi/device.ts";
import { benchLine } from "./options.ts";
import { measure, Report } from "./report.ts";

const BANDWIDTH_GOAL = 0.6, CALL_GOAL = 2; // microseconds
const line = benchLine({
  name: "deno task bench adamw",
  does: "Compares AdamW with a copy of memory, and measures the cost of a call.",
  values: {
    threads: ["N", "threads of the ops (default 2)"],
    rounds: ["N", "repetitions of each (default 11)"],
    elements: ["N", "parameters (default 33554432)"],
  },
});
using device = CpuDevice.open({ threads: line.number("threads", { min: 1 }) ?? 2 });
const { ops } = device, { f32, bf16 } = DTYPES;
const n = line.number("elements", { min: 1 }) ?? 2 ** 25; // 128 MiB in f32: far beyond the caches
const rounds = line.number("rounds", { min: 1 }) ?? 11;

function zeros(bytes: number): Address {
  const address = device.alloc(bytes);
  ops.fill(f32, address, bytes / 4, 0);
  return address;
}

const [param, grad, m, v] = [zeros(4 * n), zeros(4 * n), zeros(4 * n), zeros(4 * n)] as const;
const [small, m16, v16, mLost, vLost] = [zeros(2 * n), zeros(2 * n), zeros(2 * n), zeros(2 * n), zeros(2 * n)] as const;
ops.fill(f32, grad, n, 0.01);
ops.fill(f32, param, n, 1);
let step = 0;

/** Runs one step: with f32 moments with or without a bf16 copy of param, or with bf16 moments rounded in one of three ways. */
function adamw(moments: number, options: { copy?: boolean; rounding?: number } = {}): void {
  step++;
  const [first, second] = moments === f32 ? [m, v] : [m16, v16], lost = options.rounding === 2 ? [mLost, vLost] as const : [0, 0] as const;
  const param16 = options.copy === true;
  ops.adamw(
    ...[param16 ? small : param, param16 ? bf16 : f32, param16 ? param : 0, first, second, moments, ...lost, 0, grad, 0, n] as const,
    ...[1e-3, 0.9, 0.99, 1e-8, 0.1, 1 - 0.9 ** step, 1 - 0.99 ** step, options.rounding ?? 0, 7, step] as const,
  );
}

/** The bytes read and written for each element. */
const bytes = {
  "copy": 8,
  "AdamW, f32": 28,
  "AdamW, f32, bf16 copy of param": 30,
  "AdamW, bf16 moments, nearest": 20,
  "AdamW, bf16 moments, stochastic": 20,
  "AdamW, bf16 moments, Kahan": 28,
  "sum of squares": 4,
} as const;
const sum = device.alloc(8);
const result = measure({
  "copy": () => ops.copy(m, grad, 4 * n),
  "AdamW, f32": () => adamw(f32),
  "AdamW, f32, bf16 copy of param": () => adamw(f32, { copy: true }),
  "AdamW, bf16 moments, nearest": () => adamw(bf16),
  "AdamW, bf16 moments, stochastic": () => adamw(bf16, { rounding: 1 }),
  "AdamW, bf16 moments, Kahan": () => adamw(bf16, { rounding: 2 }),
  "sum of squares": () => ops.sumSquares(f32, sum, grad, n, 0),
}, { rounds });
const bandwidth = new Report("adamw, bandwidth", {
  threads: device.threads,
  elements: n,
  goal: `ratio >= ${BANDWIDTH_GOAL} for AdamW, f32`,
});
for (const name of Object.keys(bytes) as (keyof typeof bytes)[]) {
  const ratio = result[name].ratio * bytes[name] / bytes.copy;
  bandwidth.row({
    op: name,
    "bytes an element": bytes[name],
    "GB/s": 1e-9 * bytes[name] * n / result[name].seconds,
    "of the copy's": ratio,
    ...(name === "AdamW, f32" ? { goal: ratio >= BANDWIDTH_GOAL ? "met" : "MISSED" } : {}),
  });
}
bandwidth.print();

const call = measure({ noop: () => ops.noop(), "add of one element": () => ops.add(f32, m, v, grad, 1) }, { rounds, rest: 0 });
const calls = new Report("a call", { goal: `an empty op under ${CALL_GOAL} microseconds` });
for (const [op, { seconds }] of Object.entries(call)) {
  calls.row({ op, microseconds: 1e6 * seconds, ...(op === "noop" ? { goal: 1e6 * seconds < CALL_GOAL ? "met" : "MISSED" } : {}) });
}
calls.print();
for (const address of [param, grad, m, v, small, m16, v16, mLost, vLost, sum]) device.free(address);
