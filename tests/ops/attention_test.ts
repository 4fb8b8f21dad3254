import { assertEquals, assertThrows } from "@std/assert";
import { KedgeError } from "../../ffi/errors.ts";
import type { AttentionShape } from "../../ffi/generated/bindings.ts";
import { AttentionCase, bits, type CaseOptions, family, plain } from "./attention_case.ts";
import { attention, attentionGradient, type Segment, segmentTable } from "./attention_reference.ts";
import { assertDeterministic } from "./determinism.ts";
import { numericGradient, type OpRun, opTest, type Random } from "./harness.ts";

const F32 = { dtypes: ["f32"] as const };
const prompt = (prefix: number, ...children: number[]) => family({ kvLen: prefix }, children.map((qLen) => ({ qLen })));

/** Head sizes for a backend: what is not a multiple of 8 runs on the CPU alone. */
function headDims(run: OpRun): number[] {
  if (run.small) return [16, 80];
  return run.device.kind === "cpu" && run.backend.tier === "cpu" ? [4, 16, 20, 32, 64, 80, 128] : [16, 32, 64, 80, 128];
}

/** Shapes that every op over packed sequences must take. */
function cases(run: OpRun): CaseOptions[] {
  const one = { heads: 1, kvHeads: 1, headDim: 16 }, grouped = { heads: 6, kvHeads: 2, headDim: 16 };
  const list: CaseOptions[] = [
    { segments: plain([{ qLen: 1 }]), ...one },
    { segments: plain([{ qLen: 3 }, { qLen: 1 }]), ...grouped, gap: 8, misalign: 1 },
    { segments: plain([{ qLen: 5, kvLen: 12 }]), ...one },
    { segments: plain([{ qLen: 7 }, { qLen: 13 }]), ...grouped, causal: false },
    { segments: plain([{ qLen: 7, kvLen: 3 }, { qLen: 2, kvLen: 5 }]), ...one, causal: false },
    { segments: prompt(5, 3, 1, 7), ...grouped, gap: 24, misalign: 3 },
    { segments: family({ qLen: 0, kvLen: 9 }, [{ qLen: 4 }, { qLen: 1 }, { qLen: 2, kvLen: 6 }]), ...grouped },
    {
      segments: [...prompt(3, 2), ...family({ kvLen: 6 }, [{ qLen: 1 }, { qLen: 5 }], { segment: 2, q: 5, kv: 5 })],
      heads: 4,
      kvHeads: 4,
      headDim: 16,
    },
    { segments: prompt(4, 0, 3), heads: 7, kvHeads: 1, headDim: 16, scale: 0.3 },
    { segments: prompt(4, 5), ...one, causal: false, spare: 3 },
  ];
  for (const headDim of headDims(run)) list.push({ segments: prompt(run.small ? 9 : 17, 11, 5), heads: 3, kvHeads: 1, headDim, gap: 16 });
  if (!run.small) {
    list.push(
      { segments: prompt(131, 67, 129, 1, 64), heads: 6, kvHeads: 2, headDim: 64, misalign: 1, gap: 4 },
      { segments: plain([{ qLen: 64 }, { qLen: 64 }, { qLen: 48 }, { qLen: 1 }]), heads: 3, kvHeads: 3, headDim: 80, causal: false },
      { segments: plain([{ qLen: 389 }]), heads: 2, kvHeads: 1, headDim: 32 },
      { segments: plain([{ qLen: 3, kvLen: 1031 }]), heads: 16, kvHeads: 2, headDim: 16 },
      { segments: prompt(641, 31, 17), heads: 4, kvHeads: 2, headDim: 32 },
      { segments: prompt(20, 9), heads: 71, kvHeads: 1, headDim: 16 },
    );
  }
  return list;
}

/** Chains of sums of `n` rounded terms err like sqrt(n). */
const longest = (c: AttentionCase) => 1 + Math.sqrt(Math.max(1, ...c.seen.map((keys) => keys.length))) / 8;

function compareForward(
  c: AttentionCase,
  what: string,
): { out: ReturnType<AttentionCase["queryRows"]>; lse: ReturnType<AttentionCase["queryRows"]> } {
  const { out, lse } = c.forward(), expected = attention(c.heads, c.seen, c.values);
  c.run.close(out.read(), expected.out, { what: `${what}: out`, factor: longest(c) });
  c.run.close(lse.read(), expected.lse, { what: `${what}: lse`, scale: 1 });
  return { out, lse };
}

/**
 * The size of a gradient's terms, for tolerances: scale (dout . v - dout . out) k is a difference of two numbers of size 1, and may be 0
 * where a row sees one key.
 */
function gradientScale(expected: Float64Array): number {
  return Math.max(1, Math.sqrt(expected.reduce((sum, x) => sum + x * x, 0) / expected.length));
}

function compareBackward(c: AttentionCase, what: string): void {
  const { out, lse } = c.forward(), dout = c.queryRows(c.run.random.normal(c.q.values.length));
  const actual = c.backward({ dout, out, lse }), expected = attentionGradient(c.heads, c.seen, { ...c.values, dout: dout.values });
  for (const name of ["dq", "dk", "dv"] as const) {
    const scale = gradientScale(expected[name]);
    c.run.close(actual[name].read(), expected[name], { what: `${what}: ${name}`, factor: 2 * longest(c), scale });
  }
}

opTest("attention equals the reference", (run) => {
  cases(run).forEach((options, i) => compareForward(new AttentionCase(run, options), `case ${i}`));
});

opTest("attention's gradients equal the reference's", (run) => {
  cases(run).forEach((options, i) => compareBackward(new AttentionCase(run, options), `case ${i}`));
});

opTest("attention's gradients equal finite differences", (run) => {
  const shapes: CaseOptions[] = [
    { segments: prompt(3, 2, 1), heads: 2, kvHeads: 1, headDim: 8 },
    { segments: plain([{ qLen: 2, kvLen: 3 }]), heads: 1, kvHeads: 1, headDim: 8, causal: false, scale: 0.7 },
  ];
  for (const options of shapes) {
    const c = new AttentionCase(run, options), dout = c.queryRows(run.random.normal(c.q.values.length));
    const { q, k, v } = c.values;
    const reference = ([q, k, v]: Float64Array[]) => attention(c.heads, c.seen, { q: q!, k: k!, v: v! }).out;
    const expected = numericGradient(reference, [q, k, v], { cotangent: dout.values });
    const analytic = attentionGradient(c.heads, c.seen, { q, k, v, dout: dout.values });
    const actual = c.backward({ dout, ...c.forward() });
    (["dq", "dk", "dv"] as const).forEach((name, i) => {
      run.close(analytic[name], expected[i]!, { what: `reference ${name}`, factor: 0.01 });
      run.close(actual[name].read(), expected[i]!, { what: name, factor: 2 * longest(c), scale: gradientScale(expected[i]!) });
    });
  }
});

opTest("random tables of segments", (run) => {
  for (let i = 0; i < (run.small ? 3 : 20); i++) {
    const { segments, causal } = randomTable(run.random, run.small ? 9 : 90);
    const kvHeads = run.random.integer(1, 4),
      heads = kvHeads * run.random.integer(1, 5),
      headDim = 8 * run.random.integer(1, run.small ? 3 : 9);
    const options = {
      segments,
      causal,
      heads,
      kvHeads,
      headDim,
      gap: 4 * run.random.integer(0, 3),
      misalign: run.random.integer(0, 3),
      spare: run.random.integer(0, 3),
    };
    const what = JSON.stringify(options);
    const c = new AttentionCase(run, options);
    run.device.host.segmentsCheck(segmentTable(segments), segments.length, c.qTokens, c.kvTokens, causal ? 1 : 0);
    compareForward(c, what);
    compareBackward(c, what);
  }
});

/** Families and plain segments with gaps between their rows, keys in an order of their own. */
function randomTable(random: Random, longest: number): { segments: Segment[]; causal: boolean } {
  const causal = random.next() < 0.6, segments: Segment[] = [];
  let q = 0;
  const add = (parent: number, queries = true) => {
    const qLen = queries ? random.integer(0, longest) : 0,
      kvLen = causal ? qLen + (random.next() < 0.3 ? random.integer(0, longest) : 0) : random.integer(0, longest);
    q += random.integer(0, 3);
    segments.push({ qStart: q, qLen, kvStart: 0, kvLen: queries ? kvLen : random.integer(1, longest), parent, childBegin: 0, childEnd: 0 });
    q += qLen;
  };
  for (let f = random.integer(1, 4); f > 0; f--) {
    const parent = segments.length, children = random.integer(0, 5);
    add(-1, random.next() < 0.7);
    for (let c = 0; c < children; c++) add(parent);
    if (children > 0) Object.assign(segments[parent]!, { childBegin: parent + 1, childEnd: parent + 1 + children });
  }
  let kv = 0;
  for (const s of segments.toSorted(() => random.next() - 0.5)) {
    s.kvStart = kv;
    kv += s.kvLen + random.integer(0, 2);
  }
  return { segments, causal };
}

opTest("a shared prefix gives what copies of it give, gradients summed", (run) => {
  const [prefix, lengths, headDim] = run.small ? [7, [3, 5], 16] as const : [88, [64, 1, 33, 64], 64] as const;
  const sizes = { heads: 6, kvHeads: 2, headDim };
  const shared = new AttentionCase(run, { ...sizes, segments: prompt(prefix, ...lengths) });
  // The rows of the shared layout that each row of the copied layout repeats.
  const rows: number[] = [];
  let at = prefix;
  for (const n of lengths) {
    for (let i = 0; i < prefix; i++) rows.push(i);
    for (let i = 0; i < n; i++) rows.push(at + i);
    at += n;
  }
  const spread = (x: Float64Array, width: number) =>
    Float64Array.from({ length: rows.length * width }, (_, i) => x[rows[Math.floor(i / width)]! * width + i % width]!);
  const gather = (x: Float64Array, width: number) => {
    const sum = new Float64Array(at * width);
    x.forEach((value, i) => sum[rows[Math.floor(i / width)]! * width + i % width]! += value);
    return sum;
  };
  const qWidth = 6 * headDim, kvWidth = 2 * headDim;
  const { q, k, v } = shared.values;
  const copied = new AttentionCase(run, {
    ...sizes,
    segments: plain(lengths.map((n) => ({ qLen: prefix + n }))),
    values: { q: spread(q, qWidth), k: spread(k, kvWidth), v: spread(v, kvWidth) },
  });
  const a = shared.forward(), b = copied.forward();
  run.close(spread(a.out.read(), qWidth), b.out.read(), { what: "out", factor: 2 });
  run.close(spread(a.lse.read(), 6), b.lse.read(), { what: "lse", factor: 2 });
  // The loss counts a prompt's row once in the shared layout, so its copies share the gradient.
  const douts = run.random.normal(q.length);
  const dout = shared.queryRows(douts);
  const counts = gather(Float64Array.from(rows, () => 1), 1);
  const share = spread(dout.values, qWidth).map((x, i) => x / counts[rows[Math.floor(i / qWidth)]!]!);
  const da = shared.backward({ dout, ...a }), db = copied.backward({ dout: copied.queryRows(share), ...b });
  for (const [name, width] of [["dq", qWidth], ["dk", kvWidth], ["dv", kvWidth]] as const) {
    run.close(da[name].read(), gather(db[name].read(), width), { what: name, factor: 4 });
  }
});

opTest("accumulate adds to the gradients it names", (run) => {
  const c = new AttentionCase(run, { segments: prompt(6, 3, 2), heads: 4, kvHeads: 2, headDim: 16, spare: 2, gap: 8 });
  const forward = c.forward(), dout = c.queryRows(run.random.normal(c.q.values.length));
  const fresh = c.backward({ dout, ...forward });
  const before = {
    dq: run.random.normal(c.q.values.length),
    dk: run.random.normal(c.k.values.length),
    dv: run.random.normal(c.v.values.length),
  };
  for (let accumulate = 0; accumulate < 8; accumulate++) {
    const actual = c.backward({ dout, ...forward, accumulate, before });
    (["dq", "dk", "dv"] as const).forEach((name, i) => {
      const old = run.dtype === "f32" ? before[name].map(Math.fround) : before[name], add = fresh[name].read();
      const expected = add.map((x, j) => accumulate >> i & 1 ? x + old[j]! : x);
      run.close(actual[name].read(), expected, { what: `${name} with ${accumulate}`, factor: 2 });
    });
  }
  if (run.backend.tier === "cpu") assertThrows(() => c.backward({ dout, ...forward, accumulate: 8 }), RangeError);
});

opTest("rows without a segment and rows without a visible key give zeros", (run) => {
  // Queries 3 and 4 and keys 2 to 4 belong to none; segment 2 has no keys, nor has its parent.
  const segments: Segment[] = [
    { qStart: 0, qLen: 3, kvStart: 5, kvLen: 4, parent: -1, childBegin: 0, childEnd: 0 },
    { qStart: 0, qLen: 0, kvStart: 0, kvLen: 0, parent: -1, childBegin: 2, childEnd: 3 },
    { qStart: 5, qLen: 2, kvStart: 0, kvLen: 0, parent: 1, childBegin: 0, childEnd: 0 },
    { qStart: 7, qLen: 2, kvStart: 0, kvLen: 2, parent: -1, childBegin: 0, childEnd: 0 },
  ];
  const c = new AttentionCase(run, { segments, causal: false, heads: 2, kvHeads: 1, headDim: 16, spare: 1 });
  const { out, lse } = compareForward(c, "gaps");
  compareBackward(c, "gaps");
  const dout = c.queryRows(run.random.normal(c.q.values.length)), { dq, dk, dv } = c.backward({ dout, out, lse });
  for (const row of [3, 4, 5, 6, 9]) {
    assertEquals([...lse.read().subarray(2 * row, 2 * row + 2)], [-Infinity, -Infinity]);
    for (const x of [out, dq]) assertEquals(x.read().subarray(32 * row, 32 * row + 32).every((y) => y === 0), true, `query ${row}`);
  }
  for (const row of [2, 3, 4, 9]) {
    for (const x of [dk, dv]) assertEquals(x.read().subarray(16 * row, 16 * row + 16).every((y) => y === 0), true, `key ${row}`);
  }
});

opTest(
  "a prompt's keys get the gradients of all query heads of a group, also where a batch is too long for a block for each head",
  (run) => {
    // CUDA keeps what each head gives in 8 bytes x heads x keys x headDim, 256 MiB at most.
    const heads = { heads: 64, kvHeads: 1, headDim: 128 },
      kv = run.device.kind === "cpu" || run.backend.tier === "races" ? 3 : 2 ** 28 / (8 * 64 * 128);
    const c = new AttentionCase(run, { segments: family({ qLen: 0, kvLen: 5 }, [{ qLen: 2 }, { qLen: 1 }], { kv }), ...heads });
    compareForward(c, "long");
    compareBackward(c, "long");
  },
);

opTest("no segments, no tokens", (run) => {
  const empty = new AttentionCase(run, { segments: [], heads: 2, kvHeads: 1, headDim: 16, spare: 3 });
  const { out, lse } = empty.forward(), dout = empty.queryRows(run.random.normal(3 * 32));
  assertEquals([...out.read(), ...lse.read()], [...new Array(96).fill(0), ...new Array(6).fill(-Infinity)]);
  const { dq, dk, dv } = empty.backward({ dout, out, lse });
  assertEquals([...dq.read(), ...dk.read(), ...dv.read()], new Array(192).fill(0));
  const none = new AttentionCase(run, { segments: plain([{ qLen: 0 }]), heads: 2, kvHeads: 1, headDim: 16 });
  none.backward({ dout: none.queryRows([]), ...none.forward() });
});

opTest("attention gives equal bits for any threads and every time", (run) => {
  const segments = run.small
    ? prompt(5, 3, 4)
    : [...prompt(150, 40, 70), ...family({ kvLen: 30 }, [{ qLen: 20 }], { segment: 3, q: 260, kv: 260 })];
  const c = new AttentionCase(run, { segments, heads: 6, kvHeads: 2, headDim: 32, misalign: 1 });
  const dout = c.queryRows(run.random.normal(c.q.values.length));
  assertDeterministic(run, () => {
    const { out, lse } = c.forward(), { dq, dk, dv } = c.backward({ dout, out, lse });
    return bits(out, lse, dq, dk, dv);
  });
});

opTest("a row's bits do not depend on the other sequences", (run) => {
  const [prefix, response] = run.small ? [9, 5] : [97, 41];
  const sizes = { heads: 6, kvHeads: 2, headDim: 16 };
  const others = run.small ? [3, 7] : [5, 64, 130];
  const many = [...prompt(prefix, ...others, response), ...plain([{ qLen: 4 }])];
  const at = prefix + others.reduce((a, b) => a + b, 0);
  Object.assign(many.at(-1)!, { qStart: at + response, kvStart: at + response });
  const full = new AttentionCase(run, { ...sizes, segments: many });
  const pick = (x: Float64Array) => {
    const width = x.length / full.qTokens;
    return Float64Array.of(...x.subarray(0, prefix * width), ...x.subarray(at * width, (at + response) * width));
  };
  const alone = new AttentionCase(run, {
    ...sizes,
    segments: prompt(prefix, response),
    values: { q: pick(full.values.q), k: pick(full.values.k), v: pick(full.values.v) },
  });
  const douts = full.queryRows(run.random.normal(full.q.values.length)), invariant = run.device.batchInvariant;
  run.device.batchInvariant = true;
  try {
    const a = full.forward(), b = alone.forward();
    const da = full.backward({ dout: douts, ...a }), db = alone.backward({ dout: alone.queryRows(pick(douts.values)), ...b });
    for (const [name, x, y] of [["out", a.out, b.out], ["lse", a.lse, b.lse], ["dq", da.dq, db.dq]] as const) {
      assertEquals(pick(x.read()), y.read(), name);
    }
  } finally {
    run.device.batchInvariant = invariant;
  }
});

opTest("a NaN stays in the sequences that see it", (run) => {
  const c0 = { segments: [...prompt(6, 3, 4), ...plain([{ qLen: 5 }])], heads: 2, kvHeads: 1, headDim: 16 };
  Object.assign(c0.segments[3]!, { qStart: 13, kvStart: 13 });
  const clean = new AttentionCase(run, c0), forward = clean.forward(), dout = run.random.normal(clean.q.values.length);
  const cleanGradient = clean.backward({ dout: clean.queryRows(dout), ...forward });
  for (const which of ["q", "k", "v"] as const) {
    // The NaN is in rows 6 to 8, the first child. It shares only the prefix's dk and dv with others.
    const values = { ...clean.values, [which]: clean.values[which].slice() };
    values[which][6 * values[which].length / clean.qTokens + 3] = which === "v" ? Infinity : NaN;
    const c = new AttentionCase(run, { ...c0, values });
    const { out, lse } = c.forward(), g = c.backward({ dout: c.queryRows(dout), out, lse });
    const same = (x: Float64Array, y: Float64Array, from: number, to: number, what: string) => {
      const width = x.length / c.qTokens;
      assertEquals(x.slice(from * width, to * width), y.slice(from * width, to * width), `${which}: ${what}`);
    };
    for (const [from, to] of [[0, 6], [9, 18]] as const) {
      same(out.read(), forward.out.read(), from, to, "out");
      same(lse.read(), forward.lse.read(), from, to, "lse");
      same(g.dq.read(), cleanGradient.dq.read(), from, to, "dq");
      if (from > 0) same(g.dk.read(), cleanGradient.dk.read(), from, to, "dk");
    }
    assertEquals(out.read().subarray(6 * 32, 6 * 32 + 16).every(Number.isFinite), false, `${which} reaches its own row`);
  }
});

opTest("a NaN in a later token does not reach earlier rows", (run) => {
  for (const qLen of [5, 70]) {
    const c0 = { segments: plain([{ qLen }]), heads: 2, kvHeads: 1, headDim: 20 }, at = qLen - 2;
    const clean = new AttentionCase(run, c0), forward = clean.forward();
    const dout = run.random.normal(clean.q.values.length);
    for (const which of ["q", "k", "v", "dout"] as const) {
      const values = { ...clean.values, dout: Float64Array.from(dout) };
      values[which] = values[which].slice();
      values[which][at * values[which].length / qLen + 1] = NaN;
      const c = new AttentionCase(run, { ...c0, values }), { out, lse } = c.forward();
      const { dq, dk, dv } = c.backward({ dout: c.queryRows(values.dout), out, lse });
      assertEquals(out.read().slice(0, at * 40), forward.out.read().slice(0, at * 40), which);
      assertEquals(dq.read().subarray(0, at * 40).every(Number.isFinite), true, `${which}: dq before`);
      // The keys behind the bad row are seen by the last row alone: a bad query or gradient does not reach them.
      if (which === "q" || which === "dout") {
        for (const x of [dk, dv]) assertEquals(x.read().subarray((at + 1) * 20).every(Number.isFinite), true, `${which}: behind`);
      }
      assertEquals([dq, dk, dv].some((x) => x.read().some(Number.isNaN)), true, `${which} reaches something`);
    }
  }
}, { ...F32, except: { emu: "masked products run with weight 0", cuda: "masked products run with weight 0" } });

opTest("scores far from 0 neither overflow nor vanish", (run) => {
  const c0 = { segments: prompt(70, 5), heads: 1, kvHeads: 1, headDim: 16, scale: 1 };
  const q = run.random.normal(75 * 16, 12), k = run.random.normal(75 * 16, 12);
  const c = new AttentionCase(run, { ...c0, values: { q, k } }), { out, lse } = c.forward();
  const expected = attention(c.heads, c.seen, c.values);
  // Scores of about 600 carry errors of 600 x 2^-23 each into the exponent.
  run.close(lse.read(), expected.lse, { what: "lse", factor: 4 });
  run.close(out.read(), expected.out, { what: "out", factor: 400 });
}, F32);

opTest("segmentsCheck names the segment and its fault", (run) => {
  const good = (): Segment[] => [...prompt(4, 2, 3), { qStart: 9, qLen: 2, kvStart: 9, kvLen: 3, parent: -1, childBegin: 0, childEnd: 0 }];
  const check = (segments: Segment[], causal = 1, table = segmentTable(segments)) =>
    run.device.host.segmentsCheck(table, segments.length, 11, 12, causal);
  check(good());
  check([]);
  const bad = (change: (s: Segment[]) => void, words: RegExp, causal = 1) => {
    const segments = good();
    change(segments);
    const error = assertThrows(() => check(segments, causal), RangeError);
    assertEquals(words.test(error.message), true, error.message);
  };
  bad((s) => s[3]!.qLen = 3, /segment 3: queries \[9, 12\) lie outside \[0, 11\)/);
  bad((s) => s[1]!.qStart = -1, /segment 1: queries/);
  bad((s) => s[2]!.kvLen = -3, /segment 2: keys/);
  bad((s) => s[3]!.kvLen = 4, /segment 3: keys \[9, 13\) lie outside \[0, 12\)/);
  bad((s) => s[3]!.kvStart = 2 ** 31 - 1, /segment 3: keys/);
  bad((s) => s[3]!.parent = 4, /segment 3: parent 4/);
  bad((s) => s[3]!.parent = -2, /segment 3: parent -2/);
  bad((s) => s[3]!.parent = 0, /segment 3 is not among the children/);
  bad((s) => s[3]!.parent = 1, /segment 3: its parent 1 has a parent itself, 0/);
  bad((s) => s[3]!.parent = 3, /segment 3 is its own parent/);
  bad((s) => s[0]!.childEnd = 4, /segment 0 lists segment 3 as a child, whose parent is -1/);
  bad((s) => s[0]!.childEnd = 2, /segment 2 is not among the children \[1, 2\) of its parent 0/);
  bad((s) => s[0]!.childEnd = 5, /segment 0: children \[1, 5\) are not a range/);
  bad((s) => s[3]!.childBegin = -1, /segment 3: children/);
  bad((s) => Object.assign(s[3]!, { childBegin: 3, childEnd: 2 }), /segment 3: children/);
  bad((s) => s[2]!.qStart = 5, /segments 1 and 2 overlap: query 5/);
  bad((s) => s[3]!.kvStart = 8, /segments 2 and 3 overlap: key 8/);
  bad((s) => s[1]!.kvLen = 1, /segment 1 has 2 queries but 1 keys, and the mask is causal/);
  const segments = good(), table = segmentTable(segments);
  segments[1]!.kvLen = 1;
  check(segments, 0);
  table[7] = 1;
  assertThrows(() => check(segments, 1, table), RangeError, "segment 0: its last number is 1");
  assertThrows(() => run.device.host.segmentsCheck(null, 1, 1, 1, 0), RangeError, "NULL");
}, {
  ...F32,
  except: { emu: "a function of the CPU library", fake: "a function of the CPU library", cuda: "a function of the CPU library" },
});

opTest("attention refuses bad arguments and leaves its outputs alone", (run) => {
  const c = new AttentionCase(run, { segments: prompt(4, 2), heads: 4, kvHeads: 2, headDim: 16 });
  const { out, lse } = c.forward(), ops = run.device.ops, before = bits(out, lse);
  const call = (change: Partial<AttentionShape>, segments = c.table, dtype = run.dtypeCode) =>
    ops.attentionFwd(dtype, { ...c.shape, ...change }, out.address, lse.address, c.q.address, c.k.address, c.v.address, segments);
  call({});
  assertThrows(() => call({ heads: 3 }), RangeError, "kv_heads");
  assertThrows(() => call({ headDim: 18 }), KedgeError, "head_dim 18");
  assertThrows(() => call({ headDim: 132 }), KedgeError, "head_dim 132");
  assertThrows(() => call({ scale: NaN }), RangeError, "scale");
  assertThrows(() => call({ qTokens: -1 }), RangeError, "q_tokens -1");
  assertThrows(() => call({ qTokens: -(2 ** 40) }), RangeError, "q_tokens -1099511627776");
  assertThrows(() => call({ kvTokens: 2 ** 53 }), RangeError, "Cannot pass kvTokens: 9007199254740992 is no safe integer");
  assertThrows(() => call({ maxQ: NaN }), RangeError, "Cannot pass maxQ: NaN is no safe integer");
  assertThrows(() => call({ causal: 0.5 }), RangeError, "Cannot pass causal: 0.5 is no 32-bit integer");
  assertThrows(() => call({ qStride: 63 }), RangeError, "q_stride 63");
  assertThrows(() => call({ kStride: 31 }), RangeError, "k_stride 31");
  assertThrows(() => call({ qStride: -(2 ** 40) }), RangeError, "q_stride -1099511627776");
  assertThrows(() => call({ outStride: 63 }), RangeError, "out_stride 63");
  assertThrows(() => call({}, 0), RangeError, "segments is NULL");
  assertThrows(() => call({}, c.table, 2), KedgeError);
  assertThrows(() => call({ maxQ: 3 }), RangeError, "the bound given is 3");
  assertThrows(() => call({ qTokens: 5 }), RangeError, "segment 1");
  assertEquals(bits(out, lse), before);
}, { ...F32, except: { emu: "CUDA does not read the table on the host", cuda: "CUDA does not read the table on the host" } });
