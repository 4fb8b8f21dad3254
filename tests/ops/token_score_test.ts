import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Address } from "../../ffi/address.ts";
import { ATRL_SCORES, type AtrlScore } from "../../rl/atrl/options.ts";
import { plainScore, type VisibleKeys } from "../../rl/credit/plain_score.ts";
import { assertDeterministic } from "./determinism.ts";
import { type OpRun, opTest } from "./harness.ts";
import { longest, type Packed, packed, permuted } from "./responses_case.ts";

const F32 = { dtypes: ["f32"] as const };
const LENGTHS = [0, 1, 2, 7, 33, 100];

interface Given extends Packed {
  entropy: Float32Array<ArrayBuffer>;
  visible: VisibleKeys[];
}

/** Responses with entropies, of which some are 0 or below it, and with prompts of which some have no picture. */
function some(run: OpRun, lengths: readonly number[], regions: number): Given {
  const given = packed(run, lengths, regions), { random } = run;
  return {
    ...given,
    entropy: Float32Array.from(given.connectivity, (_, t) => [0, -1e-7][t % 5] ?? 3 * random.next()),
    visible: lengths.map((_, i) => ({ visual: i % 4 === 3 ? 0 : random.integer(1, 300), other: random.integer(0, 90) })),
  };
}

interface Kind {
  score: AtrlScore;
  debias: "none" | "position";
}
const KINDS: Kind[] = ATRL_SCORES.flatMap((score) => (["none", "position"] as const).map((debias) => ({ score, debias })));

/** Runs the op; it gets no input that the kind does not read. */
function scores(run: OpRun, given: Given, { score, debias }: Kind): Float64Array {
  const { offsets, regions } = given,
    tokens = offsets.at(-1)!,
    out = run.output(tokens),
    up = (values: Float32Array) => run.input(values).address;
  // deno-fmt-ignore
  run.device.ops.tokenScore(
    out, score.startsWith("connectivity") ? up(given.connectivity) : 0, score.startsWith("peak") && regions > 0 ? up(given.profile) : 0,
    score.endsWith("entropy") ? up(given.entropy) : 0,
    debias === "position" ? run.integers(Int32Array.from(given.visible.flatMap(({ visual, other }) => [visual, other]))) : 0,
    run.integers(offsets), offsets.length - 1, tokens, longest(offsets), regions, ATRL_SCORES.indexOf(score),
  );
  return run.read(out, tokens);
}

/** The definition's scores of all responses, rounded to f32. */
function wanted({ offsets, regions, connectivity, profile, entropy, visible }: Given, kind: Kind): Float64Array {
  return Float64Array.from(visible.flatMap((keys, i) => {
    const [from, to] = [offsets[i]!, offsets[i + 1]!];
    const response = {
      connectivity: connectivity.subarray(from, to),
      profile: profile.subarray(from * regions, to * regions),
      regions,
      entropy: entropy.subarray(from, to),
      visible: keys,
    };
    return [...plainScore(response, kind)].map(Math.fround);
  }));
}

opTest("token scores equal the definition to the bit, for every kind and number of regions", (run) => {
  const lengths = run.small ? LENGTHS : [...LENGTHS, 1000];
  for (const regions of [0, 1, 64, 300]) {
    const given = some(run, lengths, regions);
    for (const kind of KINDS) {
      assertEquals(scores(run, given, kind), wanted(given, kind), `${kind.score}, ${kind.debias}, ${regions} regions`);
    }
  }
}, F32);

opTest("a scaled peak counts more where few tokens attend, and a dark region counts nothing", (run) => {
  const n = 20, kind = { score: "peak-scaled", debias: "none" } as const;
  // All attend to the first region, token 3 more than the others; token 7 as much more to the second, where nobody else attends; nobody attends to the third.
  const given = some(run, [n], 3);
  const row = (t: number) => [t === 3 ? 0.75 : 0.5, t === 7 ? 0.25 : 0, 0];
  given.profile = Float32Array.from(Array.from({ length: n }, (_, t) => row(t)).flat());
  const got = scores(run, given, kind);
  assertEquals(got, wanted(given, kind));
  assert(got[7]! > 2 * got[3]! && got.every((s, t) => t === 3 || t === 7 || s === 0));
}, F32);

opTest("token scores are deterministic, and those of a response do not depend on the others", (run) => {
  const kind = { score: "peak", debias: "none" } as const, given = some(run, LENGTHS, 64), all = scores(run, given, kind);
  assertDeterministic(run, () => new Uint8Array(scores(run, given, kind).buffer));
  const order = [5, 2, 0, 4, 1, 3], { offsets } = given, other = scores(run, { ...given, ...permuted(given, order) }, kind);
  assertEquals([...other], order.flatMap((i) => [...all.subarray(offsets[i], offsets[i + 1])]));
  assert(all.some((s) => s > 0) && all.every((s) => s >= 0));
}, F32);

opTest("a NaN in a profile gives its response NaN and no other; one in an entropy its token alone", (run) => {
  const given = some(run, [20, 20], 8);
  for (const score of ["peak-scaled", "peak"] as const) {
    const got = scores(run, { ...given, profile: given.profile.with(3 * 8 + 5, NaN) }, { score, debias: "none" });
    assert(got.subarray(0, 20).every(Number.isNaN), score);
    assertEquals(got.subarray(20), wanted(given, { score, debias: "none" }).subarray(20));
  }
  const base = wanted(given, { score: "peak-entropy", debias: "none" });
  const broken = { ...given, profile: given.profile.with(3 * 8 + 5, NaN), entropy: given.entropy.with(30, NaN) };
  const got = scores(run, broken, { score: "peak-entropy", debias: "none" });
  assertEquals(got, wanted(broken, { score: "peak-entropy", debias: "none" }));
  assert(got.subarray(0, 20).every(Number.isNaN));
  assertEquals(got.subarray(20), base.with(30, NaN).subarray(20));
}, F32);

opTest("token scores refuse a kind that there is not, and an input that the kind reads and that is missing", (run) => {
  const out = run.output(3), x = run.input([1, 2, 3]).address, offsets = run.integers(Int32Array.of(0, 3));
  const fails = (
    words: string,
    kind: number,
    given: { connectivity?: Address; profile?: Address; entropy?: Address; regions?: number },
  ) => {
    const { connectivity, profile, entropy, regions } = { connectivity: x, profile: x, entropy: x, regions: 1, ...given };
    const call = () => run.device.ops.tokenScore(out, connectivity, profile, entropy, 0, offsets, 1, 3, 3, regions, kind);
    assertThrows(call, RangeError, words);
  };
  fails("kind is 6", 6, {});
  fails("kind is -1", -1, {});
  fails("regions is -1", 1, { regions: -1 });
  for (const kind of [0, 3]) fails("connectivity", kind, { connectivity: 0 });
  for (const kind of [1, 4, 5]) fails("profile", kind, { profile: 0 });
  for (const kind of [2, 3, 4]) fails("entropy", kind, { entropy: 0 });
}, F32);
