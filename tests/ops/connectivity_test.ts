import { assertEquals, assertThrows } from "@std/assert";
import { AttentionCase, bits, type CaseOptions, family, plain } from "./attention_case.ts";
import { connectivity, skipWords } from "./attention_reference.ts";
import { assertDeterministic } from "./determinism.ts";
import { type OpRun, opTest } from "./harness.ts";
import { type Matrix, matrix } from "./matrix.ts";

const F32 = { dtypes: ["f32"] as const };
const prompt = (prefix: number, ...children: number[]) => family({ kvLen: prefix }, children.map((qLen) => ({ qLen })));

interface Given {
  region: Int32Array<ArrayBuffer>;
  rowOut: Int32Array<ArrayBuffer>;
  regions: number;
  rowsOut: number;
}

/** Regions of all kinds, and output rows for about two in three queries, in an order of their own. */
function given(c: AttentionCase, regions: number): Given {
  const { random } = c.run;
  const region = Int32Array.from({ length: c.kvTokens }, (_, i) => i % 5 === 0 ? -2 : random.integer(-1, regions));
  const chosen = Array.from({ length: c.qTokens }, (_, i) => i).filter(() => random.next() < 0.67).toSorted(() => random.next() - 0.5);
  const rowOut = new Int32Array(c.qTokens).fill(-1);
  chosen.forEach((token, i) => rowOut[token] = i + 1);
  return { region, rowOut, regions, rowsOut: chosen.length + 2 };
}

/** Runs the op on sums that start at `before`. */
function measure(
  c: AttentionCase,
  { region, rowOut, regions, rowsOut }: Given,
  options: { renorm?: 0 | 1 | 2; before?: number; profile?: boolean; lse?: Matrix; times?: number; skipped?: readonly number[] } = {},
): { mass: Matrix; profile: Matrix } {
  const { run, q, k } = c, { before = 0, lse = c.forward().lse, skipped } = options, outputs = options.renorm === 2 ? c.heads.heads : 1;
  const rows = rowsOut * outputs;
  const sums = (width: number) => matrix(run, { rows, width, dtype: "f32", values: new Array(rows * width).fill(before) });
  const mass = sums(2), profile = sums(regions), regionAt = run.integers(region), rowAt = run.integers(rowOut);
  const profileAt = options.profile === false ? 0 : profile.address;
  for (let i = options.times ?? 1; i > 0; i--) {
    // deno-fmt-ignore
    run.device.ops.connectivity(
      run.dtypeCode, c.shape, mass.address, profileAt, q.address, k.address, lse.address, regionAt, rowAt, regions, rowsOut, c.table,
      options.renorm ?? 0, ...skipWords(skipped),
    );
  }
  return { mass, profile };
}

/** Returns the defined values in the output's rows. */
function expected(
  c: AttentionCase,
  { region, rowOut, regions, rowsOut }: Given,
  options: { renorm: 0 | 1 | 2; before: number; times?: number; skipped?: readonly number[] },
) {
  const { times = 1, before, renorm, skipped } = options, outputs = renorm === 2 ? c.heads.heads : 1;
  const all = connectivity(c.heads, c.seen, { ...c.values, region, regions, renorm, skipped });
  const mass = new Float64Array(2 * rowsOut * outputs).fill(before), profile = new Float64Array(rowsOut * outputs * regions).fill(before);
  rowOut.forEach((row, token) => {
    if (row < 0 || !c.segments.some((s) => token >= s.qStart && token < s.qStart + s.qLen)) return;
    const add = (to: Float64Array, from: Float64Array, width: number) => {
      for (let i = 0; i < width; i++) to[width * row + i]! += times * from[width * token + i]!;
    };
    add(mass, all.mass, 2 * outputs);
    add(profile, all.profile, regions * outputs);
  });
  return { mass, profile };
}

function cases(run: OpRun): (CaseOptions & { regions: number })[] {
  const grouped = { heads: 6, kvHeads: 2, headDim: 16 };
  const list = [
    { segments: plain([{ qLen: 1 }]), heads: 1, kvHeads: 1, headDim: 16, regions: 1 },
    { segments: prompt(5, 3, 1, 7), ...grouped, regions: 3, gap: 8, misalign: 3 },
    { segments: plain([{ qLen: 4, kvLen: 9 }, { qLen: 3 }]), heads: 7, kvHeads: 1, headDim: 16, regions: 2, causal: false },
    { segments: family({ qLen: 0, kvLen: 6 }, [{ qLen: 2 }, { qLen: 3, kvLen: 5 }]), ...grouped, regions: 4, spare: 2 },
  ];
  if (run.small) return list;
  for (const headDim of run.backend.tier === "cpu" ? [4, 20, 32, 64, 80, 128] : [32, 64, 80, 128]) {
    list.push({ segments: prompt(67, 19, 70, 3), heads: 6, kvHeads: 2, headDim, regions: 7, gap: 4, misalign: 1 });
  }
  list.push(
    { segments: prompt(350, 64, 129), heads: 6, kvHeads: 2, headDim: 32, regions: 64 },
    { segments: prompt(40, 9), heads: 71, kvHeads: 1, headDim: 16, regions: 5 },
  );
  return list;
}

opTest("connectivity equals the definition, pooled and by row, added over layers", (run) => {
  cases(run).forEach((options, i) => {
    const c = new AttentionCase(run, options), g = given(c, options.regions);
    for (const renorm of [0, 1] as const) {
      const state = { renorm, before: 0.5, times: 2 }, actual = measure(c, g, state), wanted = expected(c, g, state);
      run.close(actual.mass.read(), wanted.mass, { what: `case ${i} mass, renorm ${renorm}` });
      run.close(actual.profile.read(), wanted.profile, { what: `case ${i} profile, renorm ${renorm}` });
      run.close(measure(c, g, { ...state, profile: false }).mass.read(), wanted.mass, { what: `case ${i} without a profile` });
    }
  });
});

opTest("connectivity leaves out the heads that do not count, and gives the sums of each head", (run) => {
  cases(run).forEach((options, i) => {
    const c = new AttentionCase(run, options), g = given(c, options.regions), { heads } = c.heads, all = [...Array(heads).keys()];
    const groupSize = heads / c.heads.kvHeads, some = all.filter((head) => head < 64 && run.random.next() < 0.5);
    const choices = {
      none: [],
      some,
      all: all.filter((head) => head < 64),
      "a key head": all.slice(0, groupSize).filter((head) => head < 64),
    };
    for (const [name, skipped] of Object.entries(choices)) {
      for (const renorm of [0, 1, 2] as const) {
        const state = { renorm, before: 0.5, times: 2, skipped }, actual = measure(c, g, state), wanted = expected(c, g, state);
        const what = `case ${i}, ${name} skipped, renorm ${renorm}:`;
        run.close(actual.mass.read(), wanted.mass, { what: `${what} mass` });
        run.close(actual.profile.read(), wanted.profile, { what: `${what} profile` });
        run.close(measure(c, g, { ...state, profile: false }).mass.read(), wanted.mass, { what: `${what} mass without a profile` });
      }
    }
  });
});

opTest("connectivity by row keeps a tiny n from dividing by less than 0.01", (run) => {
  // The sink, key 0, takes nearly all.
  const q = new Float64Array(3 * 16).fill(1), k = new Float64Array(3 * 16);
  k.fill(2, 0, 16);
  const c = new AttentionCase(run, { segments: plain([{ qLen: 3 }]), heads: 1, kvHeads: 1, headDim: 16, values: { q, k } });
  const g = { region: Int32Array.of(-2, 0, 1), rowOut: Int32Array.of(0, 1, 2), regions: 2, rowsOut: 3 };
  const { mass, profile } = measure(c, g, { renorm: 1 }), wanted = expected(c, g, { renorm: 1, before: 0 });
  run.close(mass.read(), wanted.mass, { what: "mass" });
  run.close(profile.read(), wanted.profile, { what: "profile" });
  assertEquals([...mass.read().subarray(0, 2)], [0, 1]);
  assertEquals(mass.read()[4]! > 0.01 && mass.read()[4]! < 0.1, true);
});

opTest("connectivity of a decode step equals that of the whole pass", (run) => {
  const [prefix, lengths] = run.small ? [7, [3, 4]] as const : [90, [64, 65, 1, 30]] as const;
  const sizes = { heads: 6, kvHeads: 2, headDim: run.small ? 16 : 64 }, width = 6 * sizes.headDim, regions = 4;
  const c = new AttentionCase(run, { ...sizes, segments: family({ kvLen: prefix }, lengths.map((qLen) => ({ qLen }))) });
  const ends = lengths.map((_, i) => prefix + lengths.slice(0, i + 1).reduce((a, b) => a + b, 0)), n = lengths.length;
  const region = Int32Array.from({ length: c.kvTokens }, (_, i) => i < 1 ? -2 : i < prefix - 2 ? run.random.integer(-1, regions) : -1);
  const rowOut = new Int32Array(c.qTokens).fill(-1);
  ends.forEach((end, i) => rowOut[end - 1] = i);
  const q = matrix(run, { rows: n, width, values: ends.flatMap((end) => [...c.values.q.subarray((end - 1) * width, end * width)]) });
  const groups = run.integers(Int32Array.of(0, prefix, 0, n));
  const sequences = run.integers(Int32Array.from(lengths.flatMap((length, i) => [ends[i]! - length, length])));
  for (const [renorm, skipped] of [[0, []], [1, []], [0, [1, 3, 4]], [1, [0, 5]]] as const) {
    const whole = measure(c, { region, rowOut, regions, rowsOut: n }, { renorm, skipped });
    const sums = (columns: number) => matrix(run, { rows: n, width: columns, dtype: "f32", values: new Array(n * columns).fill(0) });
    const out = matrix(run, { rows: n, width }), mass = sums(2), profile = sums(regions);
    const shape = {
      qStride: width,
      kStride: c.k.stride,
      vStride: c.v.stride,
      outStride: width,
      nGroups: 1,
      n,
      maxPrefix: prefix,
      maxOwn: Math.max(...lengths),
      cacheTokens: c.kvTokens,
      page: 0,
      nPages: 0,
      ...c.heads,
    };
    // deno-fmt-ignore
    run.device.ops.decodeAttention(
      run.dtypeCode, shape, out.address, mass.address, profile.address, q.address, c.k.address, c.v.address, run.integers(region), regions,
      groups, sequences, 0, renorm, ...skipWords(skipped),
    );
    run.close(mass.read(), whole.mass.read(), { what: `mass, renorm ${renorm}, without ${skipped}` });
    run.close(profile.read(), whole.profile.read(), { what: `profile, renorm ${renorm}` });
  }
});

opTest("connectivity gives equal bits for any threads and every time, and for a row whatever else is there", (run) => {
  const c = new AttentionCase(run, {
    segments: run.small ? prompt(5, 3, 4) : prompt(131, 40, 70),
    heads: 6,
    kvHeads: 2,
    headDim: 32,
    misalign: 1,
  });
  const g = given(c, 5), { lse } = c.forward(), first = measure(c, g, { lse });
  assertDeterministic(run, () => {
    const { mass, profile } = measure(c, g, { lse });
    return bits(mass, profile);
  });
  const token = g.rowOut.findLastIndex((row) => row >= 0), rowOut = new Int32Array(c.qTokens).fill(-1), row = g.rowOut[token]!;
  rowOut[token] = 0;
  const invariant = run.device.batchInvariant;
  run.device.batchInvariant = true;
  try {
    const alone = measure(c, { ...g, rowOut, rowsOut: 1 }, { lse });
    assertEquals(alone.mass.read(), first.mass.read().slice(2 * row, 2 * row + 2));
    assertEquals(alone.profile.read(), first.profile.read().slice(5 * row, 5 * row + 5));
  } finally {
    run.device.batchInvariant = invariant;
  }
});

opTest("connectivity refuses bad indices and writes nothing", (run) => {
  const c = new AttentionCase(run, { segments: prompt(4, 2), heads: 2, kvHeads: 1, headDim: 16 }), { lse } = c.forward();
  const good: Given = { region: Int32Array.of(-2, -1, 0, 1, 2, -1), rowOut: Int32Array.of(-1, -1, -1, 0, 2, 1), regions: 3, rowsOut: 3 };
  measure(c, good, { lse });
  const fails = (change: Partial<Given>, words: string) =>
    assertThrows(() => measure(c, { ...good, ...change }, { lse }), RangeError, words);
  fails({ region: Int32Array.of(-2, -1, 0, 3, 2, -1) }, "region[3] is 3");
  fails({ region: Int32Array.of(-2, -1, 0, 1, 2, -3) }, "region[5] is -3");
  fails({ rowOut: Int32Array.of(-1, -1, -1, 0, 3, 1) }, "row_out[4] is 3");
  fails({ rowOut: Int32Array.of(-1, -2, -1, 0, 2, 1) }, "row_out[1] is -2");
  fails({ rowOut: Int32Array.of(-1, 1, -1, 0, 2, 1) }, "row_out[1] and row_out[5] are both 1");
}, { ...F32, except: { emu: "CUDA does not read the tables on the host", cuda: "CUDA does not read the tables on the host" } });
