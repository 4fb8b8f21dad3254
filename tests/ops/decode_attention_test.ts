import type { Address } from "../../ffi/address.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { KedgeError } from "../../ffi/errors.ts";
import type { DecodeShape } from "../../ffi/generated/bindings.ts";
import { AttentionCase, bits, family } from "./attention_case.ts";
import { attention, connectivity, type Group, type Heads, seenBySequences, type SeenKeys, skipWords } from "./attention_reference.ts";
import { assertDeterministic } from "./determinism.ts";
import { type OpRun, opTest } from "./harness.ts";
import { checksArrays, type Matrix, matrix } from "./matrix.ts";

const F32 = { dtypes: ["f32"] as const };

interface Sequence {
  ownStart: number;
  ownLen: number;
}

interface DecodeOptions extends Omit<Heads, "scale"> {
  groups: readonly Group[];
  sequences: readonly Sequence[];
  cacheTokens: number;
  regions?: number;
  /** Elements between rows beyond the width. */
  gap?: number;
  misalign?: number;
  values?: { q: Float64Array; k: Float64Array; v: Float64Array };
  region?: Int32Array<ArrayBuffer>;
  /** Keys of a page: the sequences' own keys are moved into pages in a random order. Default: they stay where they are. */
  page?: number;
}

/** A cache whose own keys were moved into pages, in a random order behind everything else. */
class Paged {
  readonly sequences: Sequence[] = [];
  readonly pages: Int32Array<ArrayBuffer>;
  /** By row of the cache with pages: the row that it was moved from; -1: none. */
  readonly from: Int32Array<ArrayBuffer>;

  constructor(run: OpRun, { sequences, cacheTokens, page }: { sequences: readonly Sequence[]; cacheTokens: number; page: number }) {
    const counts = sequences.map(({ ownLen }) => Math.ceil(ownLen / page)), all = counts.reduce((a, b) => a + b, 0);
    const order = Array.from({ length: all }, (_, i) => i);
    for (let i = all - 1; i > 0; i--) {
      const j = run.random.integer(0, i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    this.pages = Int32Array.from(order, (i) => cacheTokens + 3 + i * page); // 3: a page may begin anywhere
    this.from = new Int32Array(cacheTokens + 3 + all * page).fill(-1);
    for (let i = 0; i < cacheTokens; i++) this.from[i] = i;
    let first = 0;
    for (const [s, { ownStart, ownLen }] of sequences.entries()) {
      for (let j = 0; j < ownLen; j++) {
        this.from[this.pages[first + Math.floor(j / page)]! + j % page] = ownStart + j;
        this.from[ownStart + j] = -1;
      }
      this.sequences.push({ ownStart: first, ownLen });
      first += counts[s]!;
    }
  }

  /** Rows [cache, width] where the cache with pages has them; NaN where nothing is. */
  rows(values: Float64Array, width: number): Float64Array {
    const out = new Float64Array(this.from.length * width).fill(NaN);
    for (const [to, from] of this.from.entries()) if (from >= 0) out.set(values.subarray(from * width, (from + 1) * width), to * width);
    return out;
  }
}

/** Lays out groups in a cache, by prefix length and the sequences' own lengths. Keys are in the order of the sequences, with gaps. */
function layout(
  spec: readonly (readonly [prefix: number, ...own: number[]])[],
): Pick<DecodeOptions, "groups" | "sequences" | "cacheTokens"> {
  const groups: Group[] = [], sequences: Sequence[] = [];
  let at = 1;
  for (const [prefixLen, ...own] of spec) {
    groups.push({ prefixStart: at, prefixLen, seqBegin: sequences.length, seqEnd: sequences.length + own.length });
    at += prefixLen + 2;
    for (const ownLen of own) {
      sequences.push({ ownStart: at, ownLen });
      at += ownLen + 1;
    }
  }
  return { groups, sequences, cacheTokens: at };
}

/** A decode step on the device. */
class DecodeCase {
  readonly heads: Heads;
  readonly n: number;
  readonly regions: number;
  readonly seen: SeenKeys;
  readonly region: Int32Array<ArrayBuffer>;
  readonly #q: Matrix;
  readonly #k: Matrix;
  readonly #v: Matrix;
  readonly #groups: Address;
  readonly #sequences: Address;
  readonly #region: Address;
  readonly #paged: Paged | undefined;
  readonly #pages: Address;
  readonly values: { q: Float64Array; k: Float64Array; v: Float64Array };

  constructor(readonly run: OpRun, readonly options: DecodeOptions) {
    const { heads, kvHeads, headDim, groups, sequences, cacheTokens, regions = 5, gap = 0, misalign = 0, values, page } = options;
    this.heads = { heads, kvHeads, headDim, scale: 1 / Math.sqrt(headDim) };
    this.n = sequences.length;
    this.regions = regions;
    this.seen = seenBySequences(groups, sequences);
    const rows = (count: number, width: number, given?: Float64Array) =>
      matrix(run, { rows: count, width, stride: width + gap, misalign, values: given ?? run.random.normal(count * width) });
    this.#q = rows(this.n, heads * headDim, values?.q);
    const paged = this.#paged = page === undefined ? undefined : new Paged(run, { sequences, cacheTokens, page });
    const width = kvHeads * headDim, cached = paged?.from.length ?? cacheTokens;
    const given = (which?: Float64Array) => which ?? run.random.normal(cacheTokens * width);
    const k = given(values?.k), v = given(values?.v);
    this.#k = rows(cached, width, paged?.rows(k, width) ?? k);
    this.#v = rows(cached, width, paged?.rows(v, width) ?? v);
    this.values = { q: this.#q.values, k: paged ? k : this.#k.values, v: paged ? v : this.#v.values };
    this.region = options.region ?? Int32Array.from({ length: cacheTokens }, (_, i) => i % 7 === 1 ? -2 : run.random.integer(-1, regions));
    this.#groups = run.integers(Int32Array.from(groups.flatMap((g) => [g.prefixStart, g.prefixLen, g.seqBegin, g.seqEnd])));
    this.#sequences = run.integers(Int32Array.from((paged?.sequences ?? sequences).flatMap((s) => [s.ownStart, s.ownLen])));
    this.#region = run.integers(paged ? paged.from.map((from) => from < 0 ? 99 : this.region[from]!) : this.region);
    this.#pages = paged ? run.integers(paged.pages) : 0;
  }

  /** Runs the step. `shape` and `addresses` replace some of the arguments. */
  step(
    options: {
      mass?: boolean;
      profile?: boolean;
      renorm?: number;
      skipped?: readonly number[];
      before?: number;
      shape?: Partial<DecodeShape>;
      addresses?: { q?: 0; region?: 0; groups?: 0; pages?: Address };
    } = {},
  ): { out: Matrix; mass: Matrix; profile: Matrix } {
    const { run, n, regions } = this, { groups, sequences, page = 0 } = this.options;
    const { before = 0, addresses = {} } = options;
    const out = matrix(run, { rows: n, width: this.heads.heads * this.heads.headDim, stride: this.#q.stride });
    const sums = (width: number) => matrix(run, { rows: n, width, dtype: "f32", values: new Array(n * width).fill(before) });
    const mass = sums(2), profile = sums(regions);
    const longest = (lengths: number[]) => Math.max(0, ...lengths);
    const shape: DecodeShape = {
      qStride: this.#q.stride,
      kStride: this.#k.stride,
      vStride: this.#v.stride,
      outStride: out.stride,
      nGroups: groups.length,
      n,
      maxPrefix: longest(groups.map((g) => g.prefixLen)),
      maxOwn: longest(sequences.map((s) => s.ownLen)),
      cacheTokens: this.#paged?.from.length ?? this.options.cacheTokens,
      page,
      nPages: this.#paged?.pages.length ?? 0,
      ...this.heads,
      ...options.shape,
    };
    run.device.ops.decodeAttention(
      run.dtypeCode,
      shape,
      out.address,
      options.mass === false ? 0 : mass.address,
      options.profile === false ? 0 : profile.address,
      addresses.q ?? this.#q.address,
      this.#k.address,
      this.#v.address,
      addresses.region ?? this.#region,
      regions,
      addresses.groups ?? this.#groups,
      this.#sequences,
      addresses.pages ?? this.#pages,
      options.renorm ?? 0,
      ...skipWords(options.skipped),
    );
    return { out, mass, profile };
  }

  /** The connectivity that the definition gives. */
  expected(renorm: 0 | 1, skipped?: readonly number[]): { mass: Float64Array; profile: Float64Array } {
    return connectivity(this.heads, this.seen, { ...this.values, region: this.region, regions: this.regions, renorm, skipped });
  }
}

function cases(run: OpRun): DecodeOptions[] {
  const one = { heads: 1, kvHeads: 1, headDim: 16 }, grouped = { heads: 6, kvHeads: 2, headDim: 16 };
  const list: DecodeOptions[] = [
    { ...layout([[0, 1]]), ...one },
    { ...layout([[3, 0]]), ...one, regions: 1 },
    { ...layout([[5, 1, 3, 0], [0, 2, 7], [2, 1]]), ...grouped, gap: 8, misalign: 3 },
    { ...layout([[7, 2, 2, 2, 2, 2]]), heads: 7, kvHeads: 1, headDim: 16 },
  ];
  if (run.small) return list;
  for (const headDim of run.backend.tier === "cpu" ? [4, 20, 32, 64, 80, 128] : [32, 64, 80, 128]) {
    list.push({ ...layout([[67, 3, 1, 0, 65], [0, 131]]), heads: 6, kvHeads: 2, headDim, gap: 4, misalign: 1 });
  }
  list.push(
    { ...layout([[351, 1, 64, 65, 128, 7, 200, 33, 9]]), heads: 6, kvHeads: 2, headDim: 64, regions: 64 },
    { ...layout([[19, ...Array.from({ length: 37 }, (_, i) => i)], [0, 5], [1031, 3]]), heads: 16, kvHeads: 2, headDim: 16 },
    { ...layout([[40, 9, 2]]), heads: 71, kvHeads: 1, headDim: 16 },
  );
  const last = list.at(-3)!, region = Int32Array.from({ length: last.cacheTokens }, (_, i) => i === 1 ? -2 : i < 350 ? i % 64 : -1);
  list.push({ ...last, region }); // the sequence's own keys have no region, as in the engine
  return list;
}

opTest("decode attention equals the reference", (run) => {
  cases(run).forEach((options, i) => {
    const c = new DecodeCase(run, options), factor = 1 + Math.sqrt(Math.max(...c.seen.map((keys) => keys.length))) / 8;
    run.close(c.step().out.read(), attention(c.heads, c.seen, c.values).out, { what: `case ${i}`, factor });
  });
});

opTest("decode attention's connectivity equals the definition, pooled and by row", (run) => {
  cases(run).forEach((options, i) => {
    const c = new DecodeCase(run, options);
    for (const renorm of [0, 1] as const) {
      const { mass, profile } = c.step({ renorm, before: 0.5 }), expected = c.expected(renorm);
      const add = (x: number) => x + 0.5;
      run.close(mass.read(), expected.mass.map(add), { what: `case ${i} mass, renorm ${renorm}` });
      run.close(profile.read(), expected.profile.map(add), { what: `case ${i} profile, renorm ${renorm}` });
      const alone = c.step({ renorm, profile: false, before: 0.5 });
      run.close(alone.mass.read(), expected.mass.map(add), { what: `case ${i} mass without a profile` });
    }
  });
});

opTest("decode attention's connectivity leaves out the heads that do not count", (run) => {
  cases(run).forEach((options, i) => {
    const c = new DecodeCase(run, options), all = [...Array(Math.min(64, c.heads.heads)).keys()];
    for (const skipped of [all.filter(() => run.random.next() < 0.5), all]) {
      for (const renorm of [0, 1] as const) {
        const { mass, profile } = c.step({ renorm, skipped }), expected = c.expected(renorm, skipped);
        run.close(mass.read(), expected.mass, { what: `case ${i} mass without ${skipped}, renorm ${renorm}` });
        run.close(profile.read(), expected.profile, { what: `case ${i} profile without ${skipped}, renorm ${renorm}` });
      }
    }
  });
});

opTest("connectivity does not change decode attention's output", (run) => {
  for (const options of cases(run)) {
    const c = new DecodeCase(run, options), { out, mass, profile } = c.step({ mass: false, profile: false, before: 3 });
    assertEquals(bits(out), bits(c.step().out));
    assertEquals(mass.read().every((x) => x === 3) && profile.read().every((x) => x === 3), true);
  }
});

opTest("decode attention by row keeps a tiny n from dividing by less than 0.01", (run) => {
  // The sink, key 1, takes nearly all: the rest sums to about e^-8.
  const options = layout([[4, 2]]), heads = { heads: 2, kvHeads: 1, headDim: 16 };
  const q = new Float64Array(32).fill(1), k = new Float64Array(options.cacheTokens * 16), v = run.random.normal(k.length);
  k.fill(2, 16, 32);
  const region = Int32Array.from({ length: options.cacheTokens }, (_, i) => i === 1 ? -2 : i === 2 ? 0 : -1);
  const c = new DecodeCase(run, { ...options, ...heads, regions: 1, region, values: { q, k, v } });
  const { mass, profile } = c.step({ renorm: 1 }), expected = c.expected(1);
  run.close(mass.read(), expected.mass, { what: "mass" });
  run.close(profile.read(), expected.profile, { what: "profile" });
  assertEquals(mass.read()[0]! < 0.1 && mass.read()[0]! > 0.01, true);
});

opTest("decode attention equals the last row of attention", (run) => {
  const [prefix, lengths] = run.small ? [7, [3, 4]] as const : [150, [64, 65, 1, 130]] as const;
  const sizes = { heads: 6, kvHeads: 2, headDim: run.small ? 16 : 64 };
  const full = new AttentionCase(run, { ...sizes, segments: family({ kvLen: prefix }, lengths.map((qLen) => ({ qLen }))) });
  const out = full.forward().out.read(), width = 6 * sizes.headDim;
  const ends = lengths.map((_, i) => prefix + lengths.slice(0, i + 1).reduce((a, b) => a + b, 0));
  const lastRows = (x: Float64Array) => Float64Array.of(...ends.flatMap((end) => [...x.subarray((end - 1) * width, end * width)]));
  const decode = new DecodeCase(run, {
    ...sizes,
    groups: [{ prefixStart: 0, prefixLen: prefix, seqBegin: 0, seqEnd: lengths.length }],
    sequences: lengths.map((ownLen, i) => ({ ownStart: ends[i]! - ownLen, ownLen })),
    cacheTokens: full.kvTokens,
    values: { ...full.values, q: lastRows(full.values.q) },
  });
  run.close(decode.step().out.read(), lastRows(out), { what: "out", factor: 4 });
});

opTest("decode attention gives equal bits wherever the own keys lie: behind one another or in pages", (run) => {
  const lengths = run.small ? [[5, 3, 70]] as const : [[67, 3, 64, 0, 65], [0, 131, 300], [9, 257]] as const;
  for (const page of [64, 128]) {
    const sizes = { ...layout(lengths), heads: 6, kvHeads: 2, headDim: run.small ? 16 : 32, gap: 8 };
    const c = new DecodeCase(run, sizes), plain = c.step({ before: 0.5 });
    const paged = new DecodeCase(run, { ...sizes, page, region: c.region, values: c.values }).step({ before: 0.5 });
    for (const what of ["out", "mass", "profile"] as const) assertEquals(bits(paged[what]), bits(plain[what]), `${what}, page ${page}`);
  }
});

opTest("decode attention refuses a bad page, or answers NaN for its sequence alone", (run) => {
  const sizes = { ...layout([[5, 3, 70], [0, 3]]), heads: 4, kvHeads: 2, headDim: 16 };
  const c = new DecodeCase(run, { ...sizes, page: 64 }), good = c.step().out.read();
  const rows = sizes.cacheTokens + 3 + 4 * 64;
  for (const bad of [-1, rows - 2, 2 ** 31 - 1]) {
    const pages = run.integers(Int32Array.of(sizes.cacheTokens + 3, sizes.cacheTokens + 67, bad, sizes.cacheTokens + 131));
    if (checksArrays(run)) assertThrows(() => c.step({ addresses: { pages } }), RangeError, "sequence 1: keys");
    else {
      const out = c.step({ addresses: { pages } }).out.read();
      assertEquals([out[64], out[2 * 64 - 1]], [NaN, NaN]);
      assertEquals([out[0], out[128]].some(Number.isNaN), false);
    }
  }
  for (const page of [32, 96, -64]) assertThrows(() => c.step({ shape: { page } }), RangeError, `page is ${page}`);
  assertThrows(() => c.step({ addresses: { pages: 0 } }), RangeError, "pages is NULL");
  if (checksArrays(run)) assertThrows(() => c.step({ shape: { nPages: 3 } }), RangeError, "lie outside the table's 3");
  assertEquals(good.some(Number.isNaN), false);
});

opTest("a decoding sequence's bits do not depend on its group or on other groups", (run) => {
  const spec = run.small ? [[5, 3, 4, 2], [0, 3]] as const : [[83, 30, 70, 1, 12, 66, 9, 31], [0, 20], [5, 3, 3]] as const;
  const sizes = { heads: 6, kvHeads: 2, headDim: 16, regions: 5 }, width = 96;
  const c = new DecodeCase(run, { ...layout(spec), ...sizes }), invariant = run.device.batchInvariant;
  run.device.batchInvariant = true;
  try {
    const all = c.step(), out = all.out.read(), mass = all.mass.read(), profile = all.profile.read();
    for (const group of c.options.groups) {
      for (let s = group.seqBegin; s < group.seqEnd; s++) {
        const alone = new DecodeCase(run, {
          ...sizes,
          groups: [{ ...group, seqBegin: 0, seqEnd: 1 }],
          sequences: [c.options.sequences[s]!],
          cacheTokens: c.options.cacheTokens,
          region: c.region,
          values: { ...c.values, q: c.values.q.slice(s * width, (s + 1) * width) },
        }).step();
        assertEquals(alone.out.read(), out.slice(s * width, (s + 1) * width), `sequence ${s}: out`);
        assertEquals(alone.mass.read(), mass.slice(2 * s, 2 * s + 2), `sequence ${s}: mass`);
        assertEquals(alone.profile.read(), profile.slice(5 * s, 5 * s + 5), `sequence ${s}: profile`);
      }
    }
  } finally {
    run.device.batchInvariant = invariant;
  }
});

opTest("decode attention gives equal bits for any threads and every time", (run) => {
  const c = new DecodeCase(run, {
    ...layout(run.small ? [[5, 3, 4]] : [[131, 3, 70, 9, 1, 64], [0, 33], [65, 2]]),
    heads: 6,
    kvHeads: 2,
    headDim: 32,
    misalign: 1,
  });
  assertDeterministic(run, () => {
    const { out, mass, profile } = c.step();
    return bits(out, mass, profile);
  });
});

opTest("a NaN in one decoding sequence stays there", (run) => {
  const options = { ...layout([[5, 3, 4], [0, 3]]), heads: 2, kvHeads: 1, headDim: 16 };
  const clean = new DecodeCase(run, options), region = clean.region, expected = clean.step();
  for (const which of ["q", "k", "v"] as const) {
    const values = { ...clean.values, [which]: clean.values[which].slice() };
    const row = which === "q" ? 1 : options.sequences[1]!.ownStart, width = which === "q" ? 32 : 16;
    values[which][row * width + 2] = NaN;
    const { out, mass } = new DecodeCase(run, { ...options, region, values }).step();
    for (const s of [0, 2]) {
      assertEquals(out.read().slice(32 * s, 32 * s + 32), expected.out.read().slice(32 * s, 32 * s + 32), which);
      assertEquals(mass.read().slice(2 * s, 2 * s + 2), expected.mass.read().slice(2 * s, 2 * s + 2), which);
    }
    assertEquals(out.read().subarray(32, 48).some(Number.isNaN), true, which);
  }
});

opTest("decode attention refuses bad arguments and writes nothing", (run) => {
  const good = { ...layout([[5, 3, 4], [0, 3]]), heads: 4, kvHeads: 2, headDim: 16 };
  const fails = (change: Partial<DecodeOptions>, words: string, step: Parameters<DecodeCase["step"]>[0] = {}) => {
    const c = new DecodeCase(run, { ...good, ...change });
    assertThrows(() => c.step(step), RangeError, words);
  };
  const group = (i: number, change: Partial<Group>) => ({ groups: good.groups.map((g, j) => i === j ? { ...g, ...change } : g) });
  const sequence = (i: number, change: Partial<Sequence>) => ({
    sequences: good.sequences.map((s, j) => i === j ? { ...s, ...change } : s),
  });
  fails(group(0, { prefixStart: -1 }), "group 0: keys");
  fails(group(0, { prefixLen: good.cacheTokens }), "group 0: keys");
  fails(group(1, { seqBegin: 1 }), "group 1 covers");
  fails(group(1, { seqEnd: 4 }), "group 1 covers");
  fails(group(1, { seqEnd: 2 }), "the groups cover 2 of 3");
  fails(sequence(2, { ownLen: good.cacheTokens }), "sequence 2: keys");
  fails(sequence(2, { ownLen: 0 }), "sequence 2 has no keys");
  fails({}, "the bound given is 4", { shape: { maxPrefix: 4 } });
  fails({}, "the bound given is 3", { shape: { maxOwn: 3 } });
  fails({}, "kv_heads", { shape: { kvHeads: 3 } });
  fails({}, "q_stride", { shape: { qStride: 63 } });
  fails({}, "v_stride", { shape: { vStride: 31 } });
  fails({}, "renorm", { renorm: 2 });
  fails({}, "scale", { shape: { scale: Infinity } });
  fails({}, "region is NULL", { addresses: { region: 0 } });
  fails({}, "groups is NULL", { addresses: { groups: 0 } });
  fails({}, "q is NULL", { addresses: { q: 0 } });
  const at = good.groups[0]!.prefixStart + 2;
  for (const value of [-3, 5]) {
    const region = new Int32Array(good.cacheTokens);
    region[at] = value;
    fails({ region }, `region[${at}] is ${value}`);
  }
  const c = new DecodeCase(run, good);
  assertThrows(() => c.step({ shape: { headDim: 6 } }), KedgeError, "head_dim 6");
  // Keys that no sequence sees may hold anything.
  const region = c.region.slice();
  region[0] = 99;
  new DecodeCase(run, { ...good, region }).step();
  new DecodeCase(run, { ...layout([]), heads: 4, kvHeads: 2, headDim: 16 }).step();
}, { ...F32, except: { emu: "CUDA does not read the tables on the host", cuda: "CUDA does not read the tables on the host" } });
