import { assert, assertEquals, assertThrows } from "@std/assert";
import { ATRL_DEFAULTS, KERNEL_MODES } from "../../rl/atrl/options.ts";
import { anchors, clustersByDensity, densestPrefix, plainWeights, type WeightOptions } from "../../rl/credit/plain_weights.ts";
import { assertDeterministic } from "./determinism.ts";
import { type OpRun, opTest } from "./harness.ts";
import { checksArrays, joinBytes } from "./matrix.ts";
import { longest, offsetsOf } from "./responses_case.ts";

const F32 = { dtypes: ["f32"] as const };
const DEFAULTS: WeightOptions = { ...ATRL_DEFAULTS, own: 0, seed: 7 };

interface Given {
  lengths: readonly number[];
  connectivity: Float32Array<ArrayBuffer>;
  cluster: Int32Array<ArrayBuffer>;
  visual?: Uint8Array<ArrayBuffer>;
}

/** Connectivities with ties among them, and clusters of any sizes. */
function some(run: OpRun, lengths: readonly number[], clusterSize = 5): Given {
  const { random } = run;
  return {
    lengths,
    connectivity: Float32Array.from(
      lengths.flatMap((n) => Array.from({ length: n }, () => random.integer(0, 12) / 16 + (random.next() < 0.5 ? random.next() / 16 : 0))),
    ),
    cluster: Int32Array.from(
      lengths.flatMap((n) => Array.from({ length: n }, () => random.integer(0, Math.max(1, Math.floor(n / clusterSize))))),
    ),
  };
}

const key = (i: number) => ({ prompt: (BigInt(i) << 33n) + 5n, sample: 3 * i });

function weights(run: OpRun, given: Given, o: WeightOptions, options: { flags?: boolean; cluster?: boolean } = {}) {
  const offsets = offsetsOf(given.lengths), tokens = offsets.at(-1)!, n = given.lengths.length;
  const weight = run.output(tokens), flags = options.flags === false ? 0 : run.output(tokens, { dtype: "u8" });
  const keys = Uint32Array.from(given.lengths.flatMap((_, i) => {
    const { prompt, sample } = key(i);
    return [Number(prompt & 0xffffffffn), Number(prompt >> 32n), sample];
  }));
  // deno-fmt-ignore
  run.device.ops.tokenWeights(
    weight, flags, run.input(given.connectivity).address, options.cluster === false ? 0 : run.integers(given.cluster),
    given.visual ? run.integers(given.visual) : 0, run.integers(keys), run.integers(offsets), n, tokens, longest(offsets), (KERNEL_MODES as readonly string[]).indexOf(o.mode),
    o.anchorFraction, o.wMin, o.wMax, o.temperature, o.own, o.normalise === "mean-one" ? 1 : 0, o.seed,
  );
  return { weight: run.read(weight, tokens), flags: flags ? run.read(flags, tokens, "u8") : new Float64Array(tokens), offsets };
}

function check(run: OpRun, given: Given, o: WeightOptions, what: string): void {
  const { weight, flags, offsets } = weights(run, given, o);
  given.lengths.forEach((n, i) => {
    const [begin, end] = [offsets[i]!, offsets[i + 1]!];
    const connectivity = given.connectivity.subarray(begin, end), cluster = given.cluster.subarray(begin, end);
    const visual = given.visual?.[i] !== 0, wanted = plainWeights({ connectivity, cluster, visual, key: key(i) }, o);
    const close = { what: `${what}, ${o.mode}: response ${i} of ${n}`, scale: 1 };
    if (run.device.kind === "cpu") assertEquals(weight.subarray(begin, end), Float64Array.from(wanted, Math.fround), close.what);
    else run.close(weight.subarray(begin, end), wanted, close);
    const chosen = new Set(visual ? anchors(connectivity, o.anchorFraction) : []);
    const densest = visual && n > 0 ? densestPrefix(clustersByDensity(connectivity, cluster), chosen.size) : [];
    const inside = new Set(densest.flatMap(({ tokens }) => tokens));
    const bits = Array.from({ length: n }, (_, t) => (chosen.has(t) ? 1 : 0) | (inside.has(t) ? 2 : 0));
    assertEquals([...flags.subarray(begin, end)], bits, `${what}, ${o.mode}: flags of response ${i} of ${n}`);
  });
}

const LENGTHS = [0, 1, 2, 3, 4, 7, 20, 64, 100];

opTest("token weights equal the definition in every mode", (run) => {
  const lengths = run.small ? LENGTHS : [...LENGTHS, 333, 1000];
  for (const clusterSize of [1, 5, 40]) {
    const given = some(run, lengths, clusterSize);
    for (const mode of KERNEL_MODES) {
      for (const anchorFraction of [1, 150, 500, 1000]) {
        const seed = run.random.integer(0, 2 ** 31);
        check(run, given, { ...DEFAULTS, mode, anchorFraction, seed }, `size ${clusterSize}, ${anchorFraction}`);
      }
    }
    check(run, given, { ...DEFAULTS, normalise: "none", wMin: 0, wMax: 3, temperature: 2 }, "not normalised");
  }
  for (const own of [1e-3, 0.5, 1]) {
    for (const anchorFraction of [1, 150, 1000]) {
      for (const clusterSize of [5, 40]) check(run, some(run, lengths, clusterSize), { ...DEFAULTS, anchorFraction, own }, `own ${own}`);
    }
    check(run, some(run, lengths), { ...DEFAULTS, own, normalise: "none", wMin: 0, wMax: 3, temperature: 2 }, `own ${own}, not normalised`);
  }
  // Every token is a cluster of one.
  const alone = some(run, lengths);
  alone.cluster = Int32Array.from(lengths.flatMap((n) => Array.from({ length: n }, (_, t) => t)));
  for (const mode of KERNEL_MODES) check(run, alone, { ...DEFAULTS, mode }, "alone");
}, F32);

opTest("the weight is 1 everywhere where there is nothing to tell tokens apart", (run) => {
  const lengths = [12, 12, 12, 12, 12], halves = Array.from({ length: 12 }, (_, t) => t % 2);
  const given: Given = {
    lengths,
    connectivity: Float32Array.from([
      ...[...run.random.normal(12)].map((x) => 0.5 + Math.abs(x)), // no visual token
      ...new Array<number>(12).fill(0.3).map((c, t) => c * (1 + 3e-7 * (t % 3))), // constant
      ...new Array<number>(12).fill(0), // mean 0
      ...Array.from({ length: 12 }, (_, t) => 0.1 + t / 16), // one cluster
      ...Array.from({ length: 12 }, (_, t) => t % 4 < 2 ? 0.25 : 0.5), // equal densities
    ]),
    cluster: Int32Array.from([...halves, ...halves, ...halves, ...new Array<number>(12).fill(0), ...halves]),
    visual: Uint8Array.of(0, 1, 1, 1, 1),
  };
  for (const normalise of ["mean-one", "none"] as const) {
    assertEquals([...weights(run, given, { ...DEFAULTS, normalise }).weight], new Array(60).fill(1), `normalise ${normalise}`);
    check(run, given, { ...DEFAULTS, normalise }, "nothing to tell");
  }
  // A response without visual tokens is left as it is in every mode.
  for (const mode of KERNEL_MODES) {
    assertEquals([...weights(run, given, { ...DEFAULTS, mode }).weight.subarray(0, 12)], new Array(12).fill(1), mode);
  }
}, F32);

opTest("a token's own connectivity tells tokens apart where clusters do not, and by itself is a cluster of one", (run) => {
  const given = some(run, LENGTHS), one: Given = { ...given, cluster: given.cluster.map(() => 0) };
  const alone = { ...given, cluster: Int32Array.from(LENGTHS.flatMap((n) => Array.from({ length: n }, (_, t) => t))) };
  const of = (given: Given, own: number) => weights(run, given, { ...DEFAULTS, own }).weight;
  const last = of(one, 0.5).subarray(-100);
  assert(last.some((w) => w !== last[0]), "one cluster, own connectivity");
  run.close(of(one, 1), of(alone, 0), { what: "own 1 in one cluster", scale: 1 });
  run.close(of(given, 1), of(alone, 0), { what: "own 1 in clusters", scale: 1 });
  // With equal connectivity there is nothing to tell apart, whatever its share.
  const equal = { ...given, connectivity: given.connectivity.map(() => 0.25) };
  for (const own of [0.3, 1]) assertEquals(of(equal, own), new Float64Array(of(equal, own).length).fill(1));
}, F32);

opTest("the mean weight is 1 in every mode, and hard leaves ceil(0.15 T) tokens", (run) => {
  const given = some(run, LENGTHS);
  for (const mode of KERNEL_MODES) {
    const { weight, flags, offsets } = weights(run, given, { ...DEFAULTS, mode });
    LENGTHS.forEach((n, i) => {
      const own = [...weight.subarray(offsets[i], offsets[i + 1])], anchors = Math.ceil(150 * n / 1000);
      const mean = own.reduce((a, b) => a + b, 0) / n;
      if (n > 0) assert(Math.abs(mean - 1) <= 1e-6, `${mode}: the mean weight of ${n} tokens is ${mean}`);
      if (mode === "hard" || mode === "random") assertEquals(own.filter((w) => w > 0).length, anchors);
      assertEquals([...flags.subarray(offsets[i], offsets[i + 1])].filter((f) => f & 1).length, anchors);
    });
  }
}, F32);

opTest("random weights hang on seed, prompt and sample alone", (run) => {
  const given = some(run, [50, 50]), o = { ...DEFAULTS, mode: "random" as const };
  const { weight } = weights(run, given, o), again = weights(run, some(run, [50, 50]), o).weight;
  assertEquals(again, weight);
  assert(weight.subarray(0, 50).some((w, t) => w !== weight[50 + t]), "two samples differ");
  assert(weights(run, given, { ...o, seed: 8 }).weight.some((w, t) => w !== weight[t]), "two seeds differ");
}, F32);

opTest("token weights without clusters or flags are the same where neither is needed", (run) => {
  const given = some(run, LENGTHS);
  for (const mode of ["off", "hard", "low", "random"] as const) {
    const o = { ...DEFAULTS, mode };
    assertEquals(weights(run, given, o, { flags: false, cluster: false }).weight, weights(run, given, o).weight, mode);
  }
  assertEquals(weights(run, given, DEFAULTS, { flags: false }).weight, weights(run, given, DEFAULTS).weight);
}, F32);

opTest("token weights do not depend on the scale of the connectivity, and are deterministic", (run) => {
  const given = some(run, LENGTHS);
  for (const mode of KERNEL_MODES) {
    const o = { ...DEFAULTS, mode }, { weight, flags } = weights(run, given, o);
    const scaled = weights(run, { ...given, connectivity: given.connectivity.map((c) => c / 1024) }, o);
    assertEquals(scaled.weight, weight);
    assertEquals(scaled.flags, flags);
  }
  assertDeterministic(run, () => {
    const { weight, flags } = weights(run, given, DEFAULTS);
    return joinBytes(new Uint8Array(weight.buffer), new Uint8Array(flags.buffer));
  });
}, F32);

opTest("a NaN connectivity gives its response NaN and no other", (run) => {
  const given = some(run, [20, 20]), base = weights(run, given, DEFAULTS).weight;
  given.connectivity[3] = NaN;
  const { weight } = weights(run, given, DEFAULTS);
  const own = { connectivity: given.connectivity.subarray(0, 20), cluster: given.cluster.subarray(0, 20), visual: true, key: key(0) };
  assert(weights(run, given, { ...DEFAULTS, own: 0.5 }).weight.subarray(0, 20).every(Number.isNaN));
  assert(plainWeights(own, DEFAULTS).every(Number.isNaN));
  assert(weight.subarray(0, 20).every(Number.isNaN));
  assertEquals(weight.subarray(20), base.subarray(20));
}, F32);

opTest("token weights refuse what is out of range", (run) => {
  const given = some(run, [20]);
  for (
    const bad of [
      { anchorFraction: 0 },
      { anchorFraction: 1001 },
      { temperature: 0 },
      { wMin: -1 },
      { wMin: 0, wMax: 0 },
      { wMax: NaN },
      { own: -0.1 },
      { own: 1.1 },
      { own: NaN },
    ]
  ) {
    assertThrows(() => weights(run, given, { ...DEFAULTS, ...bad }), RangeError);
  }
  assertThrows(() => weights(run, given, DEFAULTS, { cluster: false }), RangeError, "cluster");
  for (const bad of [-1, 20]) {
    const broken = { ...given, cluster: given.cluster.with(4, bad) };
    if (checksArrays(run)) assertThrows(() => weights(run, broken, DEFAULTS), RangeError, "cluster[4]");
    else assert(weights(run, broken, DEFAULTS).weight.every(Number.isNaN));
  }
}, F32);

opTest("token advantages are weight times advantage, and 0 outside the mask", (run) => {
  const lengths = [3, 0, 5, 300], offsets = offsetsOf(lengths), tokens = 308, { random } = run;
  const weight = run.input(random.normal(tokens)), mask = Uint8Array.from({ length: tokens }, () => random.integer(0, 2));
  const outside = Float64Array.from(random.normal(tokens), (x, t) => mask[t] ? x : NaN);
  for (const perToken of [0, 1]) {
    const advantage = run.input(perToken ? outside : random.normal(4)), out = run.output(tokens);
    const of = (t: number) => advantage.values[perToken ? t : lengths.findIndex((_, i) => t < offsets[i + 1]!)]!;
    const at = [weight.address, advantage.address] as const, shape = [run.integers(offsets), 4, tokens, 300, perToken] as const;
    run.device.ops.tokenAdvantage(out, ...at, run.integers(mask), ...shape);
    const wanted = weight.values.map((w, t) => mask[t] ? Math.fround(w * of(t)) : 0);
    assertEquals(run.read(out, tokens), wanted);
    run.device.ops.tokenAdvantage(out, ...at, 0, ...shape);
    assertEquals(run.read(out, tokens), weight.values.map((w, t) => Math.fround(w * of(t))));
  }
}, F32);
