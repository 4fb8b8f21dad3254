import type { Address } from "../../ffi/address.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { DTYPES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { assertDeterministic } from "./determinism.ts";
import { type OpRun, opTest, type Random } from "./harness.ts";
import { checksArrays, joinBytes } from "./matrix.ts";

/** philox4x32-10 in plain arithmetic. */
function philox(key: readonly number[], counter: readonly number[]): number[] {
  let [k0, k1] = key as [number, number];
  let c = counter.map((x) => BigInt(x));
  for (let round = 0; round < 10; round++) {
    const p0 = 0xD2511F53n * c[0]!, p1 = 0xCD9E8D57n * c[2]!, low = 0xffffffffn;
    c = [(p1 >> 32n) ^ c[1]! ^ BigInt(k0), p1 & low, (p0 >> 32n) ^ c[3]! ^ BigInt(k1), p0 & low];
    k0 = (k0 + 0x9E3779B9) >>> 0;
    k1 = (k1 + 0xBB67AE85) >>> 0;
  }
  return c.map(Number);
}

/** The sampling options of one row. */
interface Row {
  temperature: number;
  topK?: number;
  topP?: number;
  minP?: number;
  /** seed lo, seed hi, sequence lo, sequence hi */
  key: readonly number[];
  position: number;
}

const uniform = ({ key, position }: Row) => (philox(key.slice(0, 2), [position, key[2]!, key[3]!, 0])[0]! + 0.5) / 2 ** 32;

interface Sampled {
  token: number[];
  logprob: number[];
  filtered: number[];
  entropy: number[];
  bytes: Uint8Array;
}

/** Runs the op on logits [rows.length, vocab] (an address) with stride `vocab` or more. */
function sample(
  run: OpRun,
  logits: Address,
  options: { rows: Row[]; vocab: number; stride?: number; suppress?: Uint8Array<ArrayBuffer> },
): Sampled {
  const { rows, vocab, suppress } = options, n = rows.length, f32 = { dtype: "f32" } as const;
  const token = run.output(n, { dtype: "i32" });
  const [logprob, filtered, entropy] = [0, 1, 2].map(() => run.output(n, f32)) as [Address, Address, Address];
  run.device.ops.sample(
    ...[run.dtypeCode, token, logprob, filtered, entropy, logits, options.stride ?? vocab] as const,
    run.input(rows.map((r) => r.temperature), f32).address,
    run.integers(Int32Array.from(rows, (r) => r.topK ?? 0)),
    run.input(rows.map((r) => r.topP ?? 1), f32).address,
    run.input(rows.map((r) => r.minP ?? 0), f32).address,
    run.integers(Uint32Array.from(rows.flatMap((r) => [...r.key]))),
    run.integers(Int32Array.from(rows, (r) => r.position)),
    ...[suppress ? run.integers(suppress) : 0, n, vocab] as const,
  );
  const read = (address: Address) => [...run.read(address, n, "f32")];
  const bytes = joinBytes(...[token, logprob, filtered, entropy].map((a) => run.bytes(a, 4 * n)));
  return { token: [...run.read(token, n, "i32")], logprob: read(logprob), filtered: read(filtered), entropy: read(entropy), bytes };
}

function draws(random: Random, n: number, settings: Omit<Row, "key" | "position">): Row[] {
  const word = () => random.integer(0, 2 ** 32);
  return Array.from({ length: n }, () => ({ ...settings, key: [word(), word(), word(), word()], position: random.integer(0, 2 ** 31) }));
}

/** The unfiltered and the filtered distribution of a row in float64; `close`: whether a filter's bound was so close that rounding decides. */
function reference(logits: ArrayLike<number>, row: Row, suppress?: Uint8Array) {
  const temperature = row.temperature === 0 ? 1 : Math.fround(row.temperature),
    topP = Math.fround(row.topP ?? 1),
    minP = Math.fround(row.minP ?? 0);
  const index = Array.from({ length: logits.length }, (_, v) => v).filter((v) => !suppress?.[v]);
  const largest = index.reduce((m, v) => Math.max(m, logits[v]!), -Infinity);
  const weight = (v: number) => Math.exp((logits[v]! - largest) / temperature);
  const total = index.reduce((sum, v) => sum + weight(v), 0);
  let order = index.sort((a, b) => logits[b]! - logits[a]! || a - b), near = false;
  if (row.temperature > 0) {
    if (row.topK) order = order.slice(0, row.topK);
    if (topP < 1) {
      const left = order.reduce((sum, v) => sum + weight(v), 0);
      let sum = 0, keep = 0;
      while (keep < order.length && sum / left < topP) {
        sum += weight(order[keep++]!);
        near ||= Math.abs(sum / left - topP) < 1e-5;
      }
      order = order.slice(0, Math.max(1, keep));
    }
    near ||= minP > 0 && order.some((v) => Math.abs(weight(v) / minP - 1) < 1e-5);
    order = order.filter((v) => weight(v) >= minP);
  }
  const kept = order.reduce((sum, v) => sum + weight(v), 0);
  const filtered = new Float64Array(logits.length);
  for (const v of order) filtered[v] = weight(v) / kept;
  return {
    near,
    filtered,
    greedy: order[0]!,
    logprob: (v: number) => Math.log(weight(v) / total),
    entropy: index.reduce((sum, v) => sum - (weight(v) > 0 ? weight(v) / total * Math.log(weight(v) / total) : 0), 0),
  };
}

/** Checks token, probabilities and entropy of every row against the reference; gives how many rows were too close to call. */
function check(run: OpRun, got: Sampled, options: { logits: Float64Array; rows: Row[]; vocab: number; suppress?: Uint8Array }): number {
  const { logits, rows, vocab, suppress } = options;
  let skipped = 0;
  rows.forEach((row, r) => {
    const expected = reference(logits.subarray(r * vocab, (r + 1) * vocab), row, suppress);
    const token = got.token[r]!, what = `row ${r} ${JSON.stringify(row)}: token ${token}`, exact = { scale: 1, dtype: "f32" } as const;
    run.close([got.entropy[r]!], [expected.entropy], { what: `entropy of ${what}`, ...exact });
    run.close([got.logprob[r]!], [expected.logprob(token)], { what: `logprob of ${what}`, ...exact });
    if (row.temperature === 0) {
      assertEquals([token, got.filtered[r]], [expected.greedy, 0], what);
      return;
    }
    if (expected.near) {
      skipped++;
      return;
    }
    run.close([got.filtered[r]!], [Math.log(expected.filtered[token]!)], { what: `filtered logprob of ${what}`, ...exact });
    const u = uniform(row);
    let before = 0;
    for (let v = 0; v < token; v++) before += expected.filtered[v]!;
    const after = before + expected.filtered[token]!;
    assert(before - 1e-6 <= u && u <= after + 1e-6, `${what} covers (${before}, ${after}], the draw was ${u}`);
  });
  return skipped;
}

Deno.test("the tests' philox4x32-10 gives the known answers of Random123", () => {
  const hex = (x: number[]) => x.map((v) => v.toString(16).padStart(8, "0")).join(" ");
  const ones = 0xffffffff;
  assertEquals(hex(philox([0, 0], [0, 0, 0, 0])), "6627e8d5 e169c58d bc57ac4c 9b00dbd8");
  assertEquals(hex(philox([ones, ones], [ones, ones, ones, ones])), "408f276d 41c83b0e a20bc7c6 6d5451fd");
  assertEquals(
    hex(philox([0xa4093822, 0x299f31d0], [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344])),
    "d16cfe09 94fdcceb 5001e420 24126ea1",
  );
});

opTest("sample draws by philox: equal logits show the upper bits of each draw", (run) => {
  const vocab = run.small ? 4096 : 65536;
  const zero: Row = { temperature: 1, key: [0, 0, 0, 0], position: 0 };
  const rows = [zero, ...draws(run.random, 7, { temperature: 1 }), { ...zero, position: 2 ** 31 - 1 }, { ...zero, key: [1, 2, 3, 4] }];
  const { token, logprob } = sample(run, run.input(new Float64Array(vocab * rows.length).fill(3)).address, { rows, vocab });
  assertEquals(token[0], 0x6627e8d5 >>> (run.small ? 20 : 16));
  assertEquals(token, rows.map((row) => Math.floor(uniform(row) * vocab)));
  run.close(logprob, rows.map(() => -Math.log(vocab)), { what: "logprob", dtype: "f32" });
});

const SETTINGS: readonly Omit<Row, "key" | "position">[] = [
  { temperature: 1 },
  { temperature: 0 },
  { temperature: 0, topK: 3, topP: 0.2, minP: 0.5 },
  { temperature: 0.7 },
  { temperature: 2.5 },
  { temperature: 1, topK: 1 },
  { temperature: 1, topK: 5 },
  { temperature: 1, topK: 1_000_000 },
  { temperature: 1, topP: 0.9 },
  { temperature: 0.8, topP: 0.3 },
  { temperature: 1, topP: 1e-6 },
  { temperature: 1, minP: 0.1 },
  { temperature: 1.3, minP: 0.9 },
  { temperature: 1.5, topK: 40, topP: 0.8, minP: 0.02 },
  { temperature: 0.5, topK: 3, topP: 0.99 },
  { temperature: 4, topK: 700, topP: 0.95 },
];

opTest("sample matches a plain reference for every filter, with strides and suppressed entries", (run) => {
  let skipped = 0, total = 0;
  for (
    const [vocab, repeats] of [
      [1, 1],
      [3, run.small ? 1 : 4],
      [17, run.small ? 1 : 4],
      run.small ? [131, 1] : [1031, 2],
      run.small ? [601, 1] : [20_011, 1],
    ] as const
  ) {
    for (const scale of [1, 4]) {
      for (const hide of [false, true]) {
        const rows = SETTINGS.flatMap((s) => draws(run.random, repeats, s)), n = rows.length, stride = vocab + 3;
        const laid = run.random.normal(n * stride, scale);
        const suppress = hide
          ? Uint8Array.from({ length: vocab }, (_, v) => run.random.next() < 0.3 && v !== vocab >> 1 ? 1 : 0)
          : undefined;
        const input = run.input(laid, { misalign: 4 });
        const logits = Float64Array.from({ length: n * vocab }, (_, i) => input.values[Math.floor(i / vocab) * stride + i % vocab]!);
        skipped += check(run, sample(run, input.address, { rows, vocab, stride, suppress }), { logits, rows, vocab, suppress });
        total += n;
      }
    }
  }
  assert(skipped < total / 10, `${skipped} of ${total} rows were too close to call`);
});

opTest("flat logits put every entry of the filters into one bin", (run) => {
  const vocab = run.small ? 1009 : 20_011;
  const rows = SETTINGS.flatMap((s) => draws(run.random, 1, s));
  const input = run.input(run.random.normal(rows.length * vocab, 1e-3));
  check(run, sample(run, input.address, { rows, vocab }), { logits: input.values, rows, vocab });
});

opTest("draws follow the filtered distribution: chi-square", (run) => {
  const n = run.small ? 120 : 20_000, vocab = 13;
  const one = run.input(Float64Array.from({ length: vocab }, (_, v) => Math.sin(3 * v)));
  const logits = run.input(Float64Array.from({ length: n * vocab }, (_, i) => one.values[i % vocab]!)).address;
  for (const settings of [{ temperature: 1 }, { temperature: 2, topK: 6 }, { temperature: 1, topP: 0.75 }, { temperature: 1, minP: 0.3 }]) {
    // Sequences and positions that count up, as in a real run, rather than random ones.
    const rows: Row[] = Array.from({ length: n }, (_, i) => ({ ...settings, key: [42, 0, i % 100, 0], position: Math.floor(i / 100) }));
    const { token } = sample(run, logits, { rows, vocab });
    const { filtered } = reference(one.values, rows[0]!);
    const counts = new Float64Array(vocab);
    for (const t of token) counts[t]!++;
    let chi = 0, freedom = -1;
    filtered.forEach((p, v) => {
      if (p === 0) return assertEquals(counts[v], 0, `token ${v} is filtered out`);
      chi += (counts[v]! - n * p) ** 2 / (n * p);
      freedom++;
    });
    assert(chi < freedom + 6 * Math.sqrt(2 * freedom) + 10, `${JSON.stringify(settings)}: chi-square ${chi} with ${freedom} degrees`);
  }
});

opTest("a row's draw does not depend on the batch, the order or the threads", (run) => {
  const vocab = run.small ? 500 : 9001;
  const rows = SETTINGS.flatMap((s) => draws(run.random, 1, s)), n = rows.length;
  const values = run.random.normal(n * vocab, 3);
  const whole = sample(run, run.input(values).address, { rows, vocab });
  const order = Array.from({ length: n }, (_, i) => (i * 7 + 3) % n);
  const shuffled = run.input(
    Float64Array.from({ length: n * vocab }, (_, i) => values[order[Math.floor(i / vocab)]! * vocab + i % vocab]!),
  );
  const again = sample(run, shuffled.address, { rows: order.map((i) => rows[i]!), vocab });
  order.forEach((i, at) => {
    assertEquals([again.token[at], again.logprob[at], again.filtered[at], again.entropy[at]], [
      ...[whole.token[i], whole.logprob[i], whole.filtered[i], whole.entropy[i]],
    ]);
    const alone = sample(run, run.input(values.slice(i * vocab, (i + 1) * vocab)).address, { rows: [rows[i]!], vocab });
    assertEquals([alone.token[0], alone.logprob[0]], [whole.token[i], whole.logprob[i]]);
  });
  const input = run.input(values).address;
  assertDeterministic(run, () => sample(run, input, { rows, vocab }).bytes);
});

opTest("ties: greedy takes the lowest index, top-k and top-p keep lower indices first", (run) => {
  const values = [1, 5, 5, 0, 5, 5, 5, 1], vocab = values.length, n = run.small ? 32 : 200;
  const logits = run.input(Float64Array.from({ length: n * vocab }, (_, i) => values[i % vocab]!)).address;
  const tokens = (settings: Omit<Row, "key" | "position">, suppress?: Uint8Array<ArrayBuffer>) => {
    // Draws that do not vary: few are enough to see every token that may come.
    const rows = Array.from({ length: n }, (_, i): Row => ({ ...settings, key: [1, 2, i, 3], position: 4 }));
    const got = sample(run, logits, { rows, vocab, suppress });
    return [...new Set(got.token)].sort((a, b) => a - b);
  };
  assertEquals(tokens({ temperature: 0 }), [1]);
  assertEquals(tokens({ temperature: 0 }, Uint8Array.of(0, 1, 0, 0, 0, 0, 0, 0)), [2]);
  assertEquals(tokens({ temperature: 1, topK: 3 }), [1, 2, 4]);
  assertEquals(tokens({ temperature: 1, topK: 3 }, Uint8Array.of(0, 0, 1, 0, 0, 0, 0, 0)), [1, 4, 5]);
  // Five equal entries hold almost all: 0.5 is reached by three of them.
  assertEquals(tokens({ temperature: 1, topK: 5, topP: 0.5 }), [1, 2, 4]);
  assertEquals(tokens({ temperature: 1, topK: 4, topP: 0.5 }), [1, 2]);
  assertEquals(tokens({ temperature: 1, minP: 0.5 }), [1, 2, 4, 5, 6]);
});

opTest("-inf logits are never drawn; NaN, +inf or nothing left give token -1 and NaN", (run) => {
  const many = run.small ? 8 : 40;
  const rows = [
    ...draws(run.random, many, { temperature: 1 }),
    ...draws(run.random, many, { temperature: 3, topK: 3 }),
    ...draws(run.random, many, { temperature: 1, topP: 0.999 }),
    ...draws(run.random, 4, { temperature: 0 }),
  ];
  const repeat = (values: number[]) =>
    run.input(Float64Array.from({ length: rows.length * values.length }, (_, i) => values[i % values.length]!)).address;
  const open = sample(run, repeat([-Infinity, 0, -Infinity, 0]), { rows, vocab: 4 });
  assert(open.token.every((t) => t === 1 || t === 3));
  run.close(open.entropy.slice(0, many), new Float64Array(many).fill(Math.LN2), { what: "entropy", dtype: "f32" });
  // A suppressed NaN is no NaN.
  const hidden = sample(run, repeat([NaN, 0, Infinity, 0]), { rows, vocab: 4, suppress: Uint8Array.of(1, 0, 1, 0) });
  assertEquals(hidden.bytes, open.bytes);
  for (
    const [values, suppress] of [
      [[0, NaN, 1, 2], undefined],
      [[0, 1, 2, 3], Uint8Array.of(1, 1, 1, 1)],
      [[-Infinity, -Infinity, -Infinity, -Infinity], undefined],
    ] as const
  ) {
    const got = sample(run, repeat([...values]), { rows, vocab: 4, suppress });
    assert(got.token.every((t) => t === -1), `${values}: ${got.token}`);
    assert([...got.logprob, ...got.filtered, ...got.entropy].every(Number.isNaN));
  }
});

opTest("sample does not need the outputs that may be NULL", (run) => {
  const vocab = 7, row: Row = { temperature: 1, topK: 3, key: [1, 2, 3, 4], position: 5 };
  const logits = run.input(run.random.normal(vocab)).address, full = sample(run, logits, { rows: [row], vocab });
  const token = run.output(1, { dtype: "i32" }), logprob = run.output(1, { dtype: "f32" }), f32 = { dtype: "f32" } as const;
  const one = run.input([1], f32).address, zero = run.input([0], f32).address;
  run.device.ops.sample(
    ...[run.dtypeCode, token, logprob, 0, 0, logits, vocab, one, run.integers(Int32Array.of(3)), one, zero] as const,
    ...[run.integers(Uint32Array.of(1, 2, 3, 4)), run.integers(Int32Array.of(5)), 0, 1, vocab] as const,
  );
  assertEquals([run.read(token, 1, "i32")[0], run.read(logprob, 1, "f32")[0]], [full.token[0], full.logprob[0]]);
});

opTest("sample refuses bad arguments and does nothing for no rows", (run) => {
  const logits = run.input([1, 2, 3, 4]).address, good: Row = { temperature: 1, key: [1, 2, 3, 4], position: 0 };
  if (checksArrays(run)) {
    for (
      const bad of [{ temperature: -1 }, { temperature: NaN }, { topK: -1 }, { topP: 0 }, { topP: 1.5 }, { minP: 1 }, { minP: -0.1 }, {
        minP: NaN,
      }]
    ) {
      const name = Object.keys(bad)[0]!.replace(/[A-Z]/, (c) => `_${c.toLowerCase()}`);
      assertThrows(() => sample(run, logits, { rows: [good, { ...good, ...bad }], vocab: 2 }), RangeError, `${name}[1]`);
    }
  }
  assertThrows(() => sample(run, logits, { rows: [good, good], vocab: 2, stride: 1 }), RangeError, "stride");
  assertThrows(() => sample(run, 0, { rows: [good], vocab: 2 }), RangeError);
  const { ops } = run.device;
  assertThrows(() => ops.sample(run.dtypeCode, 0, 0, 0, 0, logits, 2, 0, 0, 0, 0, 0, 0, 0, -1, 2), RangeError);
  assertThrows(() => ops.sample(run.dtypeCode, 0, 0, 0, 0, logits, 2, 0, 0, 0, 0, 0, 0, 0, 1, 2), RangeError);
  assertThrows(() => ops.sample(DTYPES.i32, 0, 0, 0, 0, logits, 2, 0, 0, 0, 0, 0, 0, 0, 1, 2), KedgeError);
  ops.sample(run.dtypeCode, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2);
});
