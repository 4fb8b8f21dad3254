import type { Address } from "../../ffi/address.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { DTYPE_BYTES } from "../../ffi/device.ts";
import { assertDeterministic } from "./determinism.ts";
import { numericGradient, type OpRun, opTest } from "./harness.ts";
import { joinBytes, matrix } from "./matrix.ts";

interface Options {
  vocab: number;
  temperature: number;
  target?: Int32Array;
  suppress?: Uint8Array;
}

/** KL by row, then log-sum-exp by row. */
function reference(x: Float64Array, y: Float64Array, { vocab, temperature, target, suppress }: Options): Float64Array {
  const n = x.length / vocab, out = new Float64Array(2 * n);
  const logSoftmax = (row: Float64Array) => {
    const z = row.map((v, i) => suppress?.[i] ? -Infinity : v / temperature);
    const largest = z.reduce((a, b) => Math.max(a, b), -Infinity),
      lse = largest + Math.log(z.reduce((s, v) => s + Math.exp(v - largest), 0));
    return { log: z.map((v) => v - lse), lse };
  };
  for (let r = 0; r < n; r++) {
    if (target && target[r]! < 0) continue;
    const p = logSoftmax(x.slice(r * vocab, (r + 1) * vocab)), q = logSoftmax(y.slice(r * vocab, (r + 1) * vocab));
    for (let v = 0; v < vocab; v++) if (p.log[v]! > -Infinity) out[r]! += Math.exp(p.log[v]!) * (p.log[v]! - q.log[v]!);
    out[n + r] = p.lse;
  }
  return out;
}

function rows(run: OpRun, n: number, vocab: number, shift = 0) {
  const x = run.random.normal(n * vocab, 2), step = run.random.normal(n * vocab, 0.5);
  const logits = matrix(run, { rows: n, width: vocab, stride: vocab + 3, misalign: 1, values: x });
  const ref = matrix(run, { rows: n, width: vocab, stride: vocab + 5, values: Array.from(x, (v, i) => v + step[i]! + shift) });
  return { logits, ref };
}

function forward(run: OpRun, { logits, ref }: ReturnType<typeof rows>, n: number, o: Options) {
  const [kl, lse, shift] = [0, 1, 2].map(() => run.output(n, { dtype: "f32" })) as [Address, Address, Address];
  const [target, suppress] = [
    o.target ? run.integers(Int32Array.from(o.target)) : 0,
    o.suppress ? run.integers(Uint8Array.from(o.suppress)) : 0,
  ];
  const call = [run.dtypeCode, kl, lse, shift, logits.address, logits.stride, ref.address, ref.stride, target, suppress] as const;
  run.device.ops.klFwd(...call, n, o.vocab, o.temperature);
  return { kl, lse, shift, target, suppress };
}

opTest("klFwd matches float64: any temperature, suppressed entries, skipped rows", (run) => {
  for (const [n, vocab] of [[1, 1], [3, 3], [5, 17], run.small ? [2, 1031] : [3, 20_011]] as const) {
    for (const temperature of [1, 0.5, 3]) {
      for (const masked of [false, true]) {
        const both = rows(run, n, vocab);
        const suppress = masked ? Uint8Array.from({ length: vocab }, (_, i) => i > 0 && run.random.next() < 0.3 ? 1 : 0) : undefined;
        const target = masked ? Int32Array.from({ length: n }, (_, i) => i === 1 ? -1 : 0) : undefined;
        const o = { vocab, temperature, target, suppress };
        const { kl, lse } = forward(run, both, n, o);
        const expected = reference(both.logits.values, both.ref.values, o);
        const scale = 1; // the logarithms of two f32 sums cancel
        run.close(run.read(kl, n, "f32"), expected.slice(0, n), { what: `kl [${n}, ${vocab}] at ${temperature}`, scale, dtype: "f32" });
        run.close(run.read(lse, n, "f32"), expected.slice(n), { what: `lse [${n}, ${vocab}]`, scale: 1, dtype: "f32" });
      }
    }
  }
});

opTest("klFwd: a shift of a row's logits changes nothing beyond rounding, equal rows give 0", (run) => {
  const n = 2, vocab = 301, o = { vocab, temperature: 1 };
  const values = Array.from(run.random.normal(n * vocab), (x) => Math.round(x * 64) / 64);
  const row = (shift: number) => matrix(run, { rows: n, width: vocab, values: values.map((x) => x + shift), dtype: "f32" });
  const near = run.read(forward(run, { logits: row(0), ref: row(1024) }, n, o).kl, n, "f32");
  assert(near.every((k) => Math.abs(k) <= 2e-6), `${near}`);
  const same = run.read(forward(run, { logits: row(0), ref: row(0) }, n, o).kl, n, "f32");
  assertEquals([...same].map(Math.abs), [0, 0]);
}, { dtypes: ["f32"] });

opTest("klBwd matches differences of the float64 reference, also in place", (run) => {
  for (const [n, vocab] of [[1, 1], [3, 3], [4, 29]] as const) {
    for (const temperature of [1, 0.6]) {
      for (const inPlace of [false, true]) {
        const both = rows(run, n, vocab, 3);
        const suppress = Uint8Array.from({ length: vocab }, (_, i) => i % 5 === 4 ? 1 : 0);
        const o = { vocab, temperature, suppress, target: Int32Array.from({ length: n }, (_, i) => i === 2 ? -1 : 0) };
        const { lse, shift, target, suppress: hidden } = forward(run, both, n, o);
        const dkl = run.input(run.random.normal(n), { dtype: "f32" });
        const dlogits = inPlace ? both.logits : matrix(run, { rows: n, width: vocab, stride: vocab + 2 });
        const x = [both.logits.address, both.logits.stride, both.ref.address, both.ref.stride] as const;
        run.device.ops.klBwd(
          ...[
            run.dtypeCode,
            dlogits.address,
            dlogits.stride,
            ...x,
            lse,
            shift,
            dkl.address,
            target,
            hidden,
            n,
            vocab,
            temperature,
          ] as const,
        );
        const cotangent = new Float64Array(2 * n);
        cotangent.set(dkl.values);
        const [expected] = numericGradient(([z]) => reference(z!, both.ref.values, o), [both.logits.values], { cotangent });
        run.close(dlogits.read(), expected!, { what: `[${n}, ${vocab}] at ${temperature}`, factor: 2, scale: 1 });
      }
    }
  }
});

opTest("kl: entries of -inf in the policy count nothing, in the reference alone they are infinite; NaN shows", (run) => {
  const run1 = (x: number[], y: number[]) => {
    const both = { logits: matrix(run, { rows: 1, width: 3, values: x }), ref: matrix(run, { rows: 1, width: 3, values: y }) };
    const { kl, lse, shift } = forward(run, both, 1, { vocab: 3, temperature: 1 });
    const dlogits = run.output(3), one = run.input([1], { dtype: "f32" }).address;
    run.device.ops.klBwd(run.dtypeCode, dlogits, 3, both.logits.address, 3, both.ref.address, 3, lse, shift, one, 0, 0, 1, 3, 1);
    return { kl: run.read(kl, 1, "f32")[0]!, dlogits: [...run.read(dlogits, 3)] };
  };
  for (const y of [[0, 0, 0], [0, 0, -Infinity]]) {
    const { kl, dlogits } = run1([0, 0, -Infinity], y);
    run.close([kl], [y[2] === 0 ? Math.log(1.5) : 0], { what: "kl", scale: 1, dtype: "f32" });
    assert(dlogits.every(Number.isFinite) && dlogits[2] === 0);
  }
  assertEquals(run1([0, 0, 0], [0, 0, -Infinity]).kl, Infinity);
  assert(Number.isNaN(run1([0, NaN, 0], [0, 0, 0]).kl) && Number.isNaN(run1([0, 0, 0], [0, NaN, 0]).kl));
});

opTest("kl gives equal bits for any number of threads", (run) => {
  const n = 3, vocab = run.small ? 700 : 20_009, both = rows(run, n, vocab), o = { vocab, temperature: 0.9 };
  const dkl = run.input([1, -0.5, 0.3], { dtype: "f32" }).address;
  const x = [both.logits.address, both.logits.stride, both.ref.address, both.ref.stride] as const;
  assertDeterministic(run, () => {
    const { kl, lse, shift } = forward(run, both, n, o), dlogits = run.output(n * vocab);
    run.device.ops.klBwd(run.dtypeCode, dlogits, vocab, ...x, lse, shift, dkl, 0, 0, n, vocab, 0.9);
    return joinBytes(...[kl, lse, shift].map((a) => run.bytes(a, 4 * n)), run.bytes(dlogits, n * vocab * DTYPE_BYTES[run.dtype]));
  });
});

opTest("kl refuses bad arguments and does nothing for no rows", (run) => {
  const { ops } = run.device, x = run.input([1, 2]).address, y = run.output(2), z = run.output(1, { dtype: "f32" }), code = run.dtypeCode;
  assertThrows(() => ops.klFwd(code, z, z, z, x, 2, x, 2, 0, 0, 1, 2, 0), RangeError, "temperature");
  assertThrows(() => ops.klFwd(code, z, z, z, x, 1, x, 2, 0, 0, 1, 2, 1), RangeError, "stride");
  assertThrows(() => ops.klFwd(code, z, z, 0, x, 2, x, 2, 0, 0, 1, 2, 1), RangeError, "NULL");
  assertThrows(() => ops.klBwd(code, y, 1, x, 2, x, 2, z, z, z, 0, 0, 1, 2, 1), RangeError, "stride");
  assertThrows(() => ops.klBwd(code, y, 2, x, 2, x, 2, z, z, 0, 0, 0, 1, 2, 1), RangeError, "NULL");
  ops.klFwd(code, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 2, 1);
  ops.klBwd(code, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 2, 1);
});
