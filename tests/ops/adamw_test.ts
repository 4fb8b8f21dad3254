import type { Address } from "../../ffi/address.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { type DType, DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { assertDeterministic } from "./determinism.ts";
import { type OpRun, opTest, round } from "./harness.ts";
import { joinBytes } from "./matrix.ts";

const F32 = { dtypes: ["f32"] as const };
const HYPER = { lr: 3e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };
type Hyper = typeof HYPER;
const ROUNDING = { nearest: 0, stochastic: 1, kahan: 2 } as const;

interface State {
  p: Float64Array;
  m: Float64Array;
  v: Float64Array;
}

/** One step of torch.optim.AdamW in float64. */
function adamw(
  { p, m, v }: State,
  grad: ArrayLike<number>,
  { hyper, step, coefficient = 1 }: { hyper: Hyper; step: number; coefficient?: number },
) {
  const bias1 = 1 - hyper.beta1 ** step, bias2 = 1 - hyper.beta2 ** step;
  for (let i = 0; i < p.length; i++) {
    const g = grad[i]! * coefficient;
    p[i]! -= hyper.lr * hyper.weightDecay * p[i]!;
    m[i] = hyper.beta1 * m[i]! + (1 - hyper.beta1) * g;
    v[i] = hyper.beta2 * v[i]! + (1 - hyper.beta2) * g * g;
    p[i]! -= hyper.lr * (m[i]! / bias1) / (Math.sqrt(v[i]! / bias2) + hyper.eps);
  }
}

interface Setup {
  n: number;
  param?: DType;
  master?: boolean;
  moments?: DType;
  rounding?: keyof typeof ROUNDING;
  seed?: number;
  hyper?: Hyper;
  misalign?: number;
}

/** An optimizer's arrays on the device. */
class Optimizer {
  readonly param: Address;
  readonly master: Address;
  readonly m: Address;
  readonly v: Address;
  readonly lost: readonly Address[]; // of m, v, p
  readonly paramType: DType;
  readonly momentType: DType;
  readonly hyper: Hyper;

  constructor(readonly run: OpRun, start: ArrayLike<number>, readonly setup: Setup) {
    const { n, param = "f32", master = false, moments = "f32", misalign = 0 } = setup;
    this.paramType = param;
    this.momentType = moments;
    this.hyper = setup.hyper ?? HYPER;
    const zeros = (dtype: DType) => {
      const address = run.output(n, { dtype, misalign: misalign * DTYPE_BYTES[dtype] });
      run.device.write(address, new Uint8Array(n * DTYPE_BYTES[dtype]));
      return address;
    };
    this.param = run.input(start, { dtype: param, misalign: misalign * DTYPE_BYTES[param] }).address;
    this.master = master ? run.input(start, { dtype: "f32", misalign: misalign * 4 }).address : 0;
    this.m = zeros(moments);
    this.v = zeros(moments);
    this.lost = setup.rounding === "kahan" ? [zeros("bf16"), zeros("bf16"), zeros("bf16")] : [0, 0, 0];
  }

  step(grad: Address, options: { step: number; clip?: Address }): void {
    const { lr, beta1, beta2, eps, weightDecay } = this.hyper, { rounding = "nearest", seed = 7, n } = this.setup;
    this.run.device.ops.adamw(
      ...[this.param, DTYPES[this.paramType], this.master, this.m, this.v, DTYPES[this.momentType]] as const,
      ...[this.lost[0]!, this.lost[1]!, this.lost[2]!, grad, options.clip ?? 0, n, lr, beta1, beta2, eps, weightDecay] as const,
      ...[1 - beta1 ** options.step, 1 - beta2 ** options.step, ROUNDING[rounding], seed, options.step] as const,
    );
  }

  /** param (or its master), m and v, with what Kahan rounding keeps aside. */
  state(): State {
    const { n } = this.setup;
    const read = (address: Address, dtype: DType, lost: Address) => {
      const x = this.run.read(address, n, dtype);
      if (lost !== 0 && dtype === "bf16") this.run.read(lost, n, "bf16").forEach((l, i) => x[i]! += l);
      return x;
    };
    return {
      p: this.master ? this.run.read(this.master, n, "f32") : read(this.param, this.paramType, this.lost[2]!),
      m: read(this.m, this.momentType, this.lost[0]!),
      v: read(this.v, this.momentType, this.lost[1]!),
    };
  }

  bytes(): Uint8Array {
    const { n } = this.setup, bytes = (address: Address, size: number) => address ? this.run.bytes(address, n * size) : new Uint8Array(0);
    return joinBytes(
      bytes(this.param, DTYPE_BYTES[this.paramType]),
      bytes(this.master, 4),
      bytes(this.m, DTYPE_BYTES[this.momentType]),
      bytes(this.v, DTYPE_BYTES[this.momentType]),
      ...this.lost.map((address) => bytes(address, 2)),
    );
  }
}

const zeroState = (start: ArrayLike<number>): State => ({
  p: Float64Array.from(start),
  m: new Float64Array(start.length),
  v: new Float64Array(start.length),
});

opTest("sumSquares sums in f64 and accumulates", (run) => {
  const { ops } = run.device, code = run.dtypeCode, element = DTYPE_BYTES[run.dtype];
  for (const n of [1, 3, 17, 1009, run.small ? 4099 : 700_001]) {
    for (const accumulate of [0, 1]) {
      const x = run.input(run.random.normal(n), { misalign: element }), out = run.input([2.5], { dtype: "f64" });
      ops.sumSquares(code, out.address, x.address, n, accumulate);
      const expected = x.values.reduce((sum, v) => sum + v * v, accumulate ? 2.5 : 0);
      const got = run.read(out.address, 1, "f64")[0]!;
      assert(Math.abs(got - expected) <= 1e-12 * expected, `${got}, expected ${expected}`);
    }
  }
  const out = run.input([2.5], { dtype: "f64" }), big = run.input([3e38, -3e38]), bad = run.input([1, NaN]);
  ops.sumSquares(code, out.address, 0, 0, 1);
  assertEquals(run.read(out.address, 1, "f64")[0], 2.5);
  ops.sumSquares(code, out.address, 0, 0, 0);
  assertEquals(run.read(out.address, 1, "f64")[0], 0);
  ops.sumSquares(code, out.address, big.address, 2, 0); // beyond f32, not beyond f64
  assert(Math.abs(run.read(out.address, 1, "f64")[0]! / (2 * big.values[0]! ** 2) - 1) < 1e-12);
  ops.sumSquares(code, out.address, bad.address, 2, 0);
  assert(Number.isNaN(run.read(out.address, 1, "f64")[0]!));
  assertThrows(() => ops.sumSquares(code, 0, bad.address, 2, 0), RangeError);
  assertThrows(() => ops.sumSquares(code, out.address, 0, 2, 0), RangeError);
  assertThrows(() => ops.sumSquares(code, out.address, bad.address, -2, 0), RangeError);
  assertThrows(() => ops.sumSquares(DTYPES.i32, out.address, bad.address, 2, 0), KedgeError);
  const n = run.small ? 3001 : 300_007, x = run.input(run.random.normal(n));
  assertDeterministic(run, () => {
    const sum = run.output(1, { dtype: "f64" });
    ops.sumSquares(code, sum, x.address, n, 0);
    return run.bytes(sum, 8);
  });
});

opTest("clipCoefficient clips as torch.nn.utils.clip_grad_norm_ and flags what is not finite", (run) => {
  const call = (sum: number, maxNorm: number, scale: number) => {
    const out = run.output(4, { dtype: "f32" });
    run.device.ops.clipCoefficient(out, run.input([sum], { dtype: "f64" }).address, maxNorm, scale);
    return [...run.read(out, 4, "f32")];
  };
  const f = Math.fround;
  assertEquals(call(9, 0, 1), [3, 1, 0, 0]);
  assertEquals(call(9, -1, 0.5), [1.5, 0.5, 0, 0]);
  assertEquals(call(9, 5, 1), [3, 1, 0, 0]);
  assertEquals(call(9, 1, 1), [3, f(1 / (3 + 1e-6)), 0, 0]);
  assertEquals(call(9, 1, 0.25), [0.75, 0.25, 0, 0]);
  assertEquals(call(400, 1, 0.25), [5, f(0.25 / (5 + 1e-6)), 0, 0]);
  assertEquals(call(0, 1, 1), [0, 1, 0, 0]);
  assertEquals(call(Infinity, 1, 1), [Infinity, 0, 1, 0]);
  assertEquals(call(NaN, 1, 1), [NaN, 0, 1, 0]);
  assertThrows(() => run.device.ops.clipCoefficient(0, run.input([1], { dtype: "f64" }).address, 1, 1), RangeError);
  assertThrows(() => run.device.ops.clipCoefficient(run.output(4), 0, 1, 1), RangeError);
}, F32);

opTest("20 steps match torch.optim.AdamW in float64, with and without master weights and clipping", (run) => {
  const setups: Omit<Setup, "n">[] = [
    {},
    { misalign: 1 },
    { param: "f32", master: true },
    { param: "bf16", master: true, misalign: 1 },
    { hyper: { lr: 0.1, beta1: 0, beta2: 0.999, eps: 1e-3, weightDecay: 0 } },
    { hyper: { lr: 1e-3, beta1: 0.9, beta2: 0, eps: 1e-6, weightDecay: 10 } },
  ];
  for (const n of [1, 3, 131, run.small ? 517 : 40_003]) {
    for (const setup of setups) {
      for (const coefficient of [undefined, 0.37]) {
        const start = Float64Array.from(run.random.normal(n), (x) => round(x, "f32"));
        const optimizer = new Optimizer(run, start, { ...setup, n }), expected = zeroState(start);
        const clip = coefficient ? run.input([9, coefficient, 0, 0], { dtype: "f32" }) : undefined;
        for (let step = 1; step <= 20; step++) {
          const grad = run.input(run.random.normal(n), { dtype: "f32" });
          optimizer.step(grad.address, { step, clip: clip?.address });
          adamw(expected, grad.values, { hyper: optimizer.hyper, step, coefficient: clip?.values[1] });
          if (n > 1000 && step === 3) break;
        }
        const got = optimizer.state(), what = JSON.stringify({ ...setup, n });
        run.close(got.p, expected.p, { what: `p ${what}`, scale: 1 });
        run.close(got.m, expected.m, { what: `m ${what}`, scale: coefficient ?? 1 });
        run.close(got.v, expected.v, { what: `v ${what}` });
        if (setup.master) assertEquals(run.read(optimizer.param, n, setup.param), got.p.map((x) => round(x, setup.param!)));
      }
    }
  }
}, F32);

opTest("state in pinned host memory gives the bits of device memory", (run) => {
  const n = 1031, { device } = run, start = run.random.normal(n), grad = run.input(run.random.normal(n), { dtype: "f32" });
  const optimizer = new Optimizer(run, start, { n, param: "bf16", master: true });
  const data = Float32Array.from(start), zero = new Float32Array(n);
  const [master, m, v] = [data, zero, zero].map((values) => {
    const address = device.allocPinned(4 * n);
    device.write(address, values);
    return address;
  }) as [Address, Address, Address];
  const param = run.input(start, { dtype: "bf16" }).address, { lr, beta1, beta2, eps, weightDecay } = HYPER;
  for (let step = 1; step <= 3; step++) {
    optimizer.step(grad.address, { step });
    device.ops.adamw(
      ...[param, DTYPES.bf16, master, m, v, DTYPES.f32, 0, 0, 0, grad.address, 0, n, lr, beta1, beta2, eps, weightDecay] as const,
      ...[1 - beta1 ** step, 1 - beta2 ** step, 0, 0, step] as const,
    );
  }
  const pinned = joinBytes(run.bytes(param, 2 * n), ...[master, m, v].map((address) => run.bytes(address, 4 * n)));
  assertEquals(pinned, optimizer.bytes());
  device.synchronize();
  for (const address of [master, m, v]) device.freePinned(address);
}, F32);

opTest("bf16 state rounded to the nearest is the rounded step", (run) => {
  const n = 257, grad = run.input(run.random.normal(n), { dtype: "f32" });
  const start = Float64Array.from(run.random.normal(n), (x) => round(x, "bf16"));
  const optimizer = new Optimizer(run, start, { n, param: "bf16", moments: "bf16", misalign: 1 }), expected = zeroState(start);
  optimizer.step(grad.address, { step: 1 });
  adamw(expected, grad.values, { hyper: HYPER, step: 1 });
  const got = optimizer.state();
  for (const key of ["p", "m", "v"] as const) {
    got[key].forEach((x, i) => {
      // Half a unit of bf16's last place, and a little for f32.
      assert(Math.abs(x - expected[key][i]!) <= (2 ** -8 + 1e-5) * Math.abs(expected[key][i]!), `${key}[${i}]: ${x}, ${expected[key][i]}`);
    });
  }
}, F32);

opTest("stochastic rounding is one of both neighbours, and right on average", (run) => {
  const n = run.small ? 4096 : 100_000, hyper = { ...HYPER, lr: 1e-3 };
  // Values that lie between two of bf16, not in the middle.
  const start = round(1.2345, "bf16"), gradient = 0.7771;
  const setup = { n, param: "bf16", moments: "bf16", rounding: "stochastic", hyper } as const;
  const grad = run.input(new Float64Array(n).fill(gradient), { dtype: "f32" });
  const optimizer = new Optimizer(run, new Float64Array(n).fill(start), setup);
  optimizer.step(grad.address, { step: 1 });
  const expected = zeroState([start]), got = optimizer.state();
  adamw(expected, [grad.values[0]!], { hyper, step: 1 });
  const above: Record<string, boolean[]> = {};
  for (const key of ["p", "m", "v"] as const) {
    const exact = expected[key][0]!, seen = [...new Set(got[key])].sort((a, b) => a - b), [low, high] = seen;
    assertEquals(seen.length, 2, `${key}: ${seen}`);
    assert(low! <= exact && exact <= high! && high! - low! <= exact * 2 ** -7, `${key}: ${seen} around ${exact}`);
    const share = (exact - low!) / (high! - low!), mean = got[key].reduce((sum, x) => sum + x, 0) / n;
    const sigma = (high! - low!) * Math.sqrt(share * (1 - share) / n);
    assert(Math.abs(mean - exact) <= 5 * sigma + 1e-6 * exact, `${key}: the mean ${mean} of ${n} is not ${exact} within 5 x ${sigma}`);
    above[key] = Array.from(got[key], (x) => x === high);
  }
  // The three arrays, and neighbouring elements, draw apart from each other.
  const correlation = (a: boolean[], b: boolean[]) => {
    const share = (x: boolean[]) => x.filter(Boolean).length / x.length;
    const both = a.filter((x, i) => x && b[i]).length / a.length, p = share(a), q = share(b);
    return (both - p * q) / Math.sqrt(p * (1 - p) * q * (1 - q));
  };
  const { p, m, v } = above as Record<"p" | "m" | "v", boolean[]>;
  const pairs = [[p, m], [p, v], [m, v], [m.slice(1), m.slice(0, -1)], [m.slice(4), m.slice(0, -4)], [p.slice(1), p.slice(0, -1)]] as const;
  for (const [a, b] of pairs) assert(Math.abs(correlation(a, b)) < 5 / Math.sqrt(n));

  const again = (change: Partial<Setup>, step = 1) => {
    const other = new Optimizer(run, new Float64Array(change.n ?? n).fill(start), { ...setup, ...change });
    other.step(grad.address, { step });
    return other.state().m;
  };
  assertEquals(again({}), got.m);
  assertEquals(again({ n: 1001 }), got.m.slice(0, 1001), "an element's bits do not depend on the length");
  assert(again({ seed: 8 }).some((x, i) => x !== got.m[i]));
  assert(again({ seed: 7 + 2 ** 40 }).some((x, i) => x !== got.m[i]));
  assert(again({}, 2).some((x, i) => x !== got.m[i]));
}, F32);

opTest("over many steps Kahan rounding stays near float64 where rounding to the nearest stalls", (run) => {
  const n = 64, steps = run.small ? 150 : 1000, hyper = { ...HYPER, lr: 1e-4, beta2: 0.999 };
  const start = Float64Array.from(run.random.normal(n), (x) => round(1 + Math.abs(x), "bf16"));
  const common = { n, param: "bf16", moments: "bf16", hyper } as const;
  const kahan = new Optimizer(run, start, { ...common, rounding: "kahan" });
  const nearest = new Optimizer(run, start, { ...common, rounding: "nearest" });
  const expected = zeroState(start), grad = run.output(n, { dtype: "f32" });
  for (let step = 1; step <= steps; step++) {
    const values = Float32Array.from(run.random.normal(n), (x) => 0.5 + x);
    run.device.write(grad, values);
    kahan.step(grad, { step });
    nearest.step(grad, { step });
    adamw(expected, values, { hyper, step });
  }
  const error = (state: State, key: keyof State) => {
    let squares = 0, scale = 0;
    state[key].forEach((x, i) => {
      squares += (x - expected[key][i]!) ** 2;
      scale += expected[key][i]! ** 2;
    });
    return Math.sqrt(squares / scale);
  };
  const better = kahan.state(), worse = nearest.state();
  for (const key of ["p", "v"] as const) {
    const a = error(better, key), b = error(worse, key);
    assert(a < b / 10 && a < 1e-3, `${key}: Kahan is off by ${a}, nearest by ${b}`);
  }
  assert(error(better, "m") < 1e-3);
}, F32);

opTest("a gradient that is not finite leaves every byte as it was", (run) => {
  const n = 1031,
    bad = run.input([NaN, 0, 1, 0], { dtype: "f32" }).address,
    grad = run.input(new Float64Array(n).fill(NaN), { dtype: "f32" }).address;
  const setups: Omit<Setup, "n">[] = [
    {},
    { param: "bf16", master: true },
    { param: "bf16", moments: "bf16", rounding: "stochastic" },
    { param: "bf16", moments: "bf16", rounding: "kahan" },
  ];
  for (const setup of setups) {
    const optimizer = new Optimizer(run, run.random.normal(n), { ...setup, n });
    const before = optimizer.bytes();
    optimizer.step(grad, { step: 1, clip: bad });
    assertEquals(optimizer.bytes(), before);
  }
  // Without a clip array the NaN shows, in its element only.
  for (const setup of setups) {
    const values = run.random.normal(n);
    values[517] = NaN;
    const optimizer = new Optimizer(run, run.random.normal(n), { ...setup, n });
    optimizer.step(run.input(values, { dtype: "f32" }).address, { step: 1 });
    for (const x of Object.values(optimizer.state())) x.forEach((value: number, i: number) => assertEquals(Number.isNaN(value), i === 517));
  }
}, F32);

opTest("adamw gives equal bits for any number of threads", (run) => {
  const n = run.small ? 1500 : 40_007, start = run.random.normal(n), grad = run.input(run.random.normal(n), { dtype: "f32" }).address;
  for (const setup of [{}, { param: "bf16", moments: "bf16", rounding: "stochastic" }] as const) {
    assertDeterministic(run, () => {
      const optimizer = new Optimizer(run, start, { ...setup, n });
      for (let step = 1; step <= 2; step++) optimizer.step(grad, { step });
      return optimizer.bytes();
    });
  }
}, F32);

opTest("adamw refuses bad arguments and does nothing for no elements", (run) => {
  const { ops } = run.device, x = run.input([1, 2], { dtype: "f32" }).address, m = run.input([0, 0], { dtype: "f32" }).address;
  const v = run.input([0, 0], { dtype: "f32" }).address, g = run.input([1, 1], { dtype: "f32" }).address, { f32, bf16, i32 } = DTYPES;
  const call = (
    change: { p?: Address; g?: Address; n?: number; beta1?: number; bias1?: number; bias2?: number; eps?: number; lr?: number } = {},
  ) =>
    ops.adamw(
      ...[change.p ?? x, f32, 0, m, v, f32, 0, 0, 0, change.g ?? g, 0, change.n ?? 2, change.lr ?? 1e-3, change.beta1 ?? 0.9] as const,
      ...[0.99, change.eps ?? 1e-8, 0, change.bias1 ?? 0.1, change.bias2 ?? 0.01, 0, 0, 1] as const,
    );
  const types = (p: number, moment: number, rounding: number, lost: readonly [Address, Address, Address]) =>
    ops.adamw(x, p, 0, m, v, moment, ...lost, g, 0, 2, 1e-3, 0.9, 0.99, 1e-8, 0, 0.1, 0.01, rounding, 0, 1);
  const before = joinBytes(...[x, m, v].map((a) => run.bytes(a, 8)));
  for (
    const bad of [{ p: 0 as const }, { g: 0 as const }, { n: -1 }, { beta1: 1 }, { beta1: NaN }, { bias1: 0 }, { bias2: 0 }, { eps: -1 }, {
      lr: NaN,
    }]
  ) {
    assertThrows(() => call(bad), RangeError);
  }
  assertThrows(() => types(f32, f32, 3, [0, 0, 0]), RangeError, "rounding");
  assertThrows(() => types(f32, bf16, 2, [0, m, 0]), RangeError, "m_lost");
  assertThrows(() => types(bf16, f32, 2, [0, 0, 0]), RangeError, "p_lost");
  assertThrows(() => types(i32, f32, 0, [0, 0, 0]), KedgeError);
  assertThrows(() => types(f32, i32, 0, [0, 0, 0]), KedgeError);
  call({ n: 0 });
  ops.adamw(0, f32, 0, 0, 0, f32, 0, 0, 0, 0, 0, 0, 1e-3, 0.9, 0.99, 1e-8, 0, 0.1, 0.01, 0, 0, 1);
  assertEquals(joinBytes(...[x, m, v].map((a) => run.bytes(a, 8))), before);
}, F32);
