import { type Address, plus } from "../../ffi/address.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { assertDeterministic } from "./determinism.ts";
import { numericGradient, opTest } from "./harness.ts";
import { checksArrays, joinBytes, matrix } from "./matrix.ts";

interface Options {
  vocab: number;
  temperature: number;
  target: Int32Array;
  suppress?: Uint8Array;
}

/** Log-probabilities of the targets, then entropies, then the logarithms of the sums. */
function reference(logits: Float64Array, { vocab, temperature, target, suppress }: Options): Float64Array {
  const n = target.length, out = new Float64Array(3 * n);
  for (let r = 0; r < n; r++) {
    if (target[r]! < 0) continue;
    const z = Array.from({ length: vocab }, (_, v) => suppress?.[v] ? -Infinity : logits[r * vocab + v]! / temperature);
    let largest = -Infinity;
    for (const x of z) largest = Math.max(largest, x);
    let sum = 0;
    for (const x of z) sum += Math.exp(x - largest);
    const lse = largest + Math.log(sum);
    let weighted = 0;
    for (const x of z) if (x > -Infinity) weighted += Math.exp(x - lse) * (x - lse);
    out[r] = z[target[r]!]! - lse;
    out[n + r] = -weighted;
    out[2 * n + r] = lse;
  }
  return out;
}

function targets(random: { integer(low: number, high: number): number }, n: number, vocab: number): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: n }, () => random.integer(-1, vocab));
}

/** About a third is suppressed, never all. */
function mask(random: { next(): number }, vocab: number): Uint8Array<ArrayBuffer> {
  const suppress = Uint8Array.from({ length: vocab }, () => random.next() < 0.3 ? 1 + Math.floor(255 * random.next()) : 0);
  suppress[Math.floor(random.next() * vocab)] = 0;
  return suppress;
}

opTest("logprobFwd matches float64 for all temperatures, with suppressed entries", (run) => {
  for (const [n, vocab] of [[1, 1], [3, 3], [5, 17], [3, 1031], run.small ? [2, 4099] : [3, 50_021]] as const) {
    for (const temperature of [1, 0.25, 3.7]) {
      for (const suppress of [undefined, mask(run.random, vocab)]) {
        const values = run.random.normal(n * vocab, 4);
        const logits = matrix(run, { rows: n, width: vocab, stride: vocab + 3, misalign: 1, values });
        const target = targets(run.random, n, vocab);
        const [logprob, entropy, lse] = [0, 1, 2].map(() => run.output(n, { dtype: "f32" })) as [Address, Address, Address];
        run.device.ops.logprobFwd(
          ...[run.dtypeCode, logprob, entropy, lse, logits.address, logits.stride] as const,
          ...[run.integers(target), suppress ? run.integers(suppress) : 0, n, vocab, temperature] as const,
        );
        const expected = reference(logits.values, { vocab, temperature, target, suppress });
        const got = (address: Address) => run.read(address, n, "f32");
        const what = `[${n}, ${vocab}] at ${temperature}`, scale = 1;
        run.close(got(logprob), expected.slice(0, n), { what: `logprob ${what}`, scale, dtype: "f32" });
        run.close(got(entropy), expected.slice(n, 2 * n), { what: `entropy ${what}`, scale, dtype: "f32" });
        // The sum's logarithm of a row that is skipped is not defined.
        const kept = Array.from(target, (t, i) => t < 0 ? -1 : i).filter((i) => i >= 0);
        const sums = got(lse);
        run.close(kept.map((i) => sums[i]!), kept.map((i) => expected[2 * n + i]!), { what: `lse ${what}`, scale, dtype: "f32" });
        const alone = run.output(n, { dtype: "f32" });
        run.device.ops.logprobFwd(
          ...[run.dtypeCode, alone, 0, lse, logits.address, logits.stride] as const,
          ...[run.integers(target), suppress ? run.integers(suppress) : 0, n, vocab, temperature] as const,
        );
        assertEquals(got(alone), got(logprob));
      }
    }
  }
});

opTest("logprobBwd matches differences of the float64 reference, also in place", (run) => {
  for (const [n, vocab] of [[1, 1], [3, 3], [4, 29]] as const) {
    for (const temperature of [1, 0.6]) {
      for (const suppress of [undefined, mask(run.random, vocab)]) {
        for (const inPlace of [false, true]) {
          for (const withEntropy of [false, true]) {
            const logits = matrix(run, { rows: n, width: vocab, stride: vocab + 1, misalign: 1, values: run.random.normal(n * vocab, 2) });
            const target = targets(run.random, n, vocab);
            // A suppressed target has no finite log-probability to differentiate.
            if (suppress) target.forEach((t, i) => target[i] = t >= 0 && suppress[t] ? suppress.indexOf(0) : t);
            const options = { vocab, temperature, target, suppress };
            const saved = reference(logits.values, options);
            const lse = run.input(saved.slice(2 * n), { dtype: "f32" }), entropy = run.input(saved.slice(n, 2 * n), { dtype: "f32" });
            const dlogprob = run.input(run.random.normal(n), { dtype: "f32" }),
              dentropy = run.input(run.random.normal(n), { dtype: "f32" });
            const dlogits = inPlace ? logits : matrix(run, { rows: n, width: vocab, stride: vocab + 2 });
            run.device.ops.logprobBwd(
              ...[run.dtypeCode, dlogits.address, dlogits.stride, logits.address, logits.stride] as const,
              ...[run.integers(target), lse.address] as const,
              ...[withEntropy ? entropy.address : 0, dlogprob.address, withEntropy ? dentropy.address : 0] as const,
              ...[suppress ? run.integers(suppress) : 0, n, vocab, temperature] as const,
            );
            const cotangent = new Float64Array(3 * n);
            cotangent.set(dlogprob.values);
            if (withEntropy) cotangent.set(dentropy.values, n);
            const [expected] = numericGradient(([x]) => reference(x!, options), [logits.values], { cotangent });
            run.close(dlogits.read(), expected!, { what: `[${n}, ${vocab}] at ${temperature}`, factor: 2, scale: 1 });
          }
        }
      }
    }
  }
});

opTest("logprobBwd over a large vocabulary: the analytic gradient, zeros where suppressed", (run) => {
  const n = 3, vocab = run.small ? 2053 : 30_011, temperature = 0.8, suppress = mask(run.random, vocab);
  const logits = run.input(run.random.normal(n * vocab, 3)), target = Int32Array.of(suppress.indexOf(0), -1, suppress.lastIndexOf(0));
  const saved = reference(logits.values, { vocab, temperature, target, suppress });
  const lse = run.input(saved.slice(2 * n), { dtype: "f32" }), entropy = run.input(saved.slice(n, 2 * n), { dtype: "f32" });
  const dlogprob = run.input([0.7, 1, -1.3], { dtype: "f32" }), dentropy = run.input([-0.4, 1, 0.2], { dtype: "f32" });
  const dlogits = run.output(n * vocab);
  run.device.ops.logprobBwd(
    ...[run.dtypeCode, dlogits, vocab, logits.address, vocab, run.integers(target), lse.address] as const,
    ...[entropy.address, dlogprob.address] as const,
    ...[dentropy.address, run.integers(suppress), n, vocab, temperature] as const,
  );
  const got = run.read(dlogits, n * vocab);
  // The reference uses the op's f32 statistics. Each entry is compared with the precision of its terms, which may cancel, and of exp(f32).
  for (let i = 0; i < n * vocab; i++) {
    const r = Math.floor(i / vocab), v = i % vocab;
    const skipped = target[r]! < 0 || suppress[v] !== 0;
    const logp = logits.values[i]! / temperature - lse.values[r]!, p = skipped ? 0 : Math.exp(logp);
    const byTarget = !skipped && v === target[r] ? dlogprob.values[r]! : 0, byP = -dlogprob.values[r]! * p;
    const byEntropy = -dentropy.values[r]! * p * (logp + entropy.values[r]!);
    const expected = (byTarget + byP + byEntropy) / temperature;
    const terms = (Math.abs(byTarget) + Math.abs(byP) + Math.abs(byEntropy)) / temperature;
    const tolerance = ((run.dtype === "f32" ? 5e-7 : 2 ** -8) + (skipped ? 0 : 3e-7 * Math.abs(logp))) * terms;
    if (!(Math.abs(got[i]! - expected) <= tolerance)) throw new Error(`dlogits[${i}]: ${got[i]}, expected ${expected} within ${tolerance}`);
  }
  assert(got.every((g, i) => !(suppress[i % vocab] || target[Math.floor(i / vocab)]! < 0) || Object.is(Math.abs(g), 0)));
});

/** Forward and backward of [n, 4] logits: { logprob, entropy, lse, dlogits } with cotangents of 1. */
function both(run: Parameters<Parameters<typeof opTest>[1]>[0], values: number[], target: number[], suppress?: number[]) {
  const n = target.length, vocab = values.length / n;
  const logits = run.input(values).address,
    where = run.integers(Int32Array.from(target)),
    mask = suppress ? run.integers(Uint8Array.from(suppress)) : 0;
  const [logprob, entropy, lse] = [0, 1, 2].map(() => run.output(n, { dtype: "f32" })) as [Address, Address, Address];
  const ones = run.input(new Float64Array(n).fill(1), { dtype: "f32" }).address, dlogits = run.output(n * vocab);
  run.device.ops.logprobFwd(run.dtypeCode, logprob, entropy, lse, logits, vocab, where, mask, n, vocab, 1);
  run.device.ops.logprobBwd(run.dtypeCode, dlogits, vocab, logits, vocab, where, lse, entropy, ones, ones, mask, n, vocab, 1);
  const f32 = (address: Address) => [...run.read(address, n, "f32")];
  return { logprob: f32(logprob), entropy: f32(entropy), lse: f32(lse), dlogits: [...run.read(dlogits, n * vocab)] };
}

opTest("suppressed entries are ignored whatever they hold; a suppressed target gives -inf", (run) => {
  const clean = both(run, [1, 2, -3, 0], [1], [0, 0, 1, 0]);
  for (const garbage of [NaN, Infinity, -Infinity]) assertEquals(both(run, [1, 2, garbage, 0], [1], [0, 0, 9, 0]), clean);
  const hidden = both(run, [1, 2, NaN, 0], [2], [0, 0, 1, 0]);
  assertEquals(hidden.logprob, [-Infinity]);
  assertEquals(hidden.entropy, clean.entropy);
  assert(hidden.dlogits.every(Number.isFinite) && hidden.dlogits[2] === 0);
});

opTest("logits of -inf have probability 0 and gradient 0", (run) => {
  const { logprob, entropy, dlogits } = both(run, [0, -Infinity, 0, -Infinity], [0]);
  run.close(logprob, [-Math.LN2], { what: "logprob", dtype: "f32" });
  run.close(entropy, [Math.LN2], { what: "entropy", dtype: "f32" });
  run.close(dlogits, [0.5, 0, -0.5, 0], { what: "dlogits", scale: 1 });
});

opTest("NaN and +inf fail loudly, in their row only", (run) => {
  for (const bad of [NaN, Infinity]) {
    const { logprob, entropy, dlogits } = both(run, [0, 1, 2, 3, bad, 1, 2, 3], [0, 1]);
    assert(Number.isFinite(logprob[0]!) && Number.isFinite(entropy[0]!) && dlogits.slice(0, 4).every(Number.isFinite));
    assert(!Number.isFinite(logprob[1]!) && Number.isNaN(entropy[1]!) && dlogits.slice(4).some(Number.isNaN));
  }
});

opTest("a target of -1 skips its row", (run) => {
  const { logprob, entropy, dlogits } = both(run, [0, NaN, 2, 3, 1, 1, 2, 3], [-1, 1]);
  assertEquals([logprob[0], entropy[0], ...dlogits.slice(0, 4)], [0, 0, 0, 0, 0, 0]);
  assert(logprob[1]! < 0);
});

opTest("logprob gives equal bits for any number of threads and whatever else is in the batch", (run) => {
  const n = 5, vocab = run.small ? 700 : 40_009, element = DTYPE_BYTES[run.dtype];
  const logits = run.input(run.random.normal(n * vocab, 3)), target = targets(run.random, n, vocab).fill(7, 0, 1);
  const ones = run.input(new Float64Array(n).fill(0.3), { dtype: "f32" }).address,
    suppress = mask(run.random, vocab),
    hidden = run.integers(suppress);
  const op = (first: number, rows: number) => {
    const [logprob, entropy, lse] = [0, 1, 2].map(() => run.output(rows, { dtype: "f32" })) as [Address, Address, Address];
    const dlogits = run.output(rows * vocab),
      where = run.integers(target.slice(first, first + rows)),
      x = plus(logits.address, first * vocab * element);
    run.device.ops.logprobFwd(run.dtypeCode, logprob, entropy, lse, x, vocab, where, hidden, rows, vocab, 0.9);
    run.device.ops.logprobBwd(run.dtypeCode, dlogits, vocab, x, vocab, where, lse, entropy, ones, ones, hidden, rows, vocab, 0.9);
    return joinBytes(...[logprob, entropy, lse].map((a) => run.bytes(a, 4 * rows)), run.bytes(dlogits, rows * vocab * element));
  };
  assertDeterministic(run, () => op(0, n));
  const all = op(0, n), third = op(2, 1);
  for (let s = 0; s < 3; s++) assertEquals(third.slice(4 * s, 4 * s + 4), all.slice(4 * (n * s + 2), 4 * (n * s + 3)));
  const from = 12 * n + 2 * vocab * element;
  assertEquals(third.slice(12), all.slice(from, from + vocab * element));
});

opTest("logprob refuses bad arguments and does nothing for no rows", (run) => {
  const { ops } = run.device,
    code = run.dtypeCode,
    x = run.input([1, 2, 3, 4]).address,
    y = run.output(4),
    z = run.output(2, { dtype: "f32" });
  const e = run.output(2, { dtype: "f32" }), l = run.output(2, { dtype: "f32" }), t = run.integers(Int32Array.of(0, 1));
  for (const temperature of [0, -1, NaN, Infinity]) {
    assertThrows(() => ops.logprobFwd(code, z, e, l, x, 2, t, 0, 2, 2, temperature), RangeError, "temperature");
    assertThrows(() => ops.logprobBwd(code, y, 2, x, 2, t, z, e, z, e, 0, 2, 2, temperature), RangeError, "temperature");
  }
  assertThrows(() => ops.logprobFwd(code, z, e, l, x, 1, t, 0, 2, 2, 1), RangeError);
  assertThrows(() => ops.logprobFwd(code, z, e, 0, x, 2, t, 0, 2, 2, 1), RangeError);
  assertThrows(() => ops.logprobFwd(code, z, e, l, x, 2, t, 0, -2, 2, 1), RangeError);
  assertThrows(() => ops.logprobBwd(code, y, 1, x, 2, t, z, e, z, e, 0, 2, 2, 1), RangeError);
  assertThrows(() => ops.logprobBwd(code, y, 2, x, 2, t, z, 0, z, e, 0, 2, 2, 1), RangeError, "entropy");
  assertThrows(() => ops.logprobBwd(code, y, 2, x, 2, t, z, e, 0, e, 0, 2, 2, 1), RangeError);
  assertThrows(() => ops.logprobFwd(DTYPES.i32, z, e, l, x, 2, t, 0, 2, 2, 1), KedgeError);
  ops.logprobFwd(code, 0, 0, 0, 0, 2, 0, 0, 0, 2, 1);
  ops.logprobBwd(code, 0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 1);
  for (const wrong of [2, -2]) {
    const bad = run.integers(Int32Array.of(0, wrong));
    if (checksArrays(run)) {
      assertThrows(() => ops.logprobFwd(code, z, e, l, x, 2, bad, 0, 2, 2, 1), RangeError, "target[1]");
      assertThrows(() => ops.logprobBwd(code, y, 2, x, 2, bad, z, e, z, e, 0, 2, 2, 1), RangeError, "target[1]");
    } else {
      ops.logprobFwd(code, z, e, l, x, 2, bad, 0, 2, 2, 1);
      assert(Number.isNaN(run.read(z, 2, "f32")[1]!));
      ops.logprobBwd(code, y, 2, x, 2, bad, l, e, z, e, 0, 2, 2, 1);
      assert(run.read(y, 4).slice(2).every(Number.isNaN));
    }
  }
});
