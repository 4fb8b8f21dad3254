/**
 * Log-probabilities, entropies and their gradients on fixed logits: slime, tests/test_ppo_logprob_entropy.py, and verl,
 * tests/utils/test_torch_functional.py (both Apache-2.0). Inputs are theirs; the expectations are log_softmax in float64 to ten places.
 */
import { assert, assertEquals } from "@std/assert";
import type { Device } from "../../ffi/device.ts";
import { linearLogProb, logProb } from "../../tensor/ops/mod.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { assertClose, deviceTest } from "../tensor/device_test_case.ts";

type Rows = readonly (readonly number[])[];

interface Table {
  logits: Rows;
  targets: readonly number[];
  /** d loss / d logprob. */
  logprobWeights: readonly number[];
  /** d loss / d entropy. */
  entropyWeights: readonly number[];
}

const SINGLE: Table = {
  logits: [[1, 2, 3, 4], [4, 1, 0.5, 2], [-1, 3, 2, 0]],
  targets: [3, 0, 1],
  logprobWeights: [0.25, -0.5, 1.5],
  entropyWeights: [0.55, -0.2, 1.8],
};
const WIDE: Table = {
  logits: [[1, 2, 3, 4, 0.5, -1], [4, 1, 0.5, 2, 3, 0], [-1, 3, 2, 0, 1, 5], [0.2, -0.4, 1.7, -2, 3.3, 0]],
  targets: [5, 0, 3, 2],
  logprobWeights: [0.25, -0.5, 1.5, -0.75],
  entropyWeights: [0.55, -0.2, 1.8, 0.4],
};

interface Settings {
  temperature?: number;
  /** Whether each token of every row is suppressed. */
  suppress?: readonly boolean[];
  /** Rows at a time, through the projection by an identity matrix. */
  chunk?: number;
  /** Whether the entropy is in the loss; default true. */
  entropy?: boolean;
}

function compute(device: Device, table: Table, { temperature = 1, suppress, chunk, entropy = true }: Settings = {}) {
  using stack = new DisposableStack();
  const { logits, targets } = table, n = logits.length, vocab = logits[0]?.length ?? 0;
  const up = (x: readonly number[], shape = [x.length]) => stack.use(Tensor.from(device, x, { shape, dtype: "f32" }));
  const target = stack.use(Tensor.from(device, Int32Array.from(targets)));
  const marks = suppress && stack.use(Tensor.from(device, Uint8Array.from(suppress, Number)));
  const options = { target, temperature, ...(marks ? { suppress: marks } : {}) };
  const tape = stack.use(new Tape(device)), x = tape.input(up(logits.flat(), [n, vocab]));
  const identity = up(Array.from({ length: vocab * vocab }, (_, i) => Number(i % (vocab + 1) === 0)), [vocab, vocab]);
  const out = chunk === undefined ? logProb(x, options) : linearLogProb(x, tape.constant(identity), { ...options, chunk });
  out.logprob.keep();
  out.entropy.keep();
  tape.backward([
    { value: out.logprob, gradient: up(table.logprobWeights) },
    ...(entropy ? [{ value: out.entropy, gradient: up(table.entropyWeights) }] : []),
  ]);
  return { logprob: out.logprob.tensor.toFloats(), entropy: out.entropy.tensor.toFloats(), gradient: x.gradient!.toFloats() };
}

function compare(got: ArrayLike<number>, expected: Rows, what: string): void {
  assertClose(got, expected.flat(), { what, tolerance: 2e-6 });
}

/** Near 0, 1 - p and log p keep the error of p: the bound is absolute, in a unit such as the largest weight of a gradient. */
function within(got: ArrayLike<number>, expected: Rows, { what, unit, tolerance = 1e-6 }: {
  what: string;
  unit: number;
  tolerance?: number;
}): void {
  const flat = expected.flat();
  assertEquals(got.length, flat.length);
  for (let i = 0; i < flat.length; i++) {
    assert(Math.abs(got[i]! - flat[i]!) <= tolerance * unit, `${what}[${i}]: ${got[i]}, expected ${flat[i]}`);
  }
}

const EXPECTED = [
  {
    name: "3 x 4 logits",
    table: SINGLE,
    temperature: 1,
    logprob: [-0.4401896986, -0.1950071986, -0.3618490391],
    entropy: [0.947536964, 0.6275868716, 0.77306808],
    alone: [
      [-0.0080146508, -0.0217860797, -0.0592207045, 0.089021435],
      [-0.0885856326, 0.0204831152, 0.0124236374, 0.0556788799],
      [-0.0191321726, 0.4554187692, -0.3842799594, -0.0520066372],
    ],
    both: [
      [0.03593638, 0.0497558334, 0.0049648279, -0.0906570414],
      [-0.0173978356, -0.0005523913, -0.0028197698, 0.0207699967],
      [0.0632612395, -0.060043261, -0.1127718917, 0.1095539133],
    ],
  },
  {
    name: "3 x 4 logits",
    table: SINGLE,
    temperature: 0.65,
    logprob: [-0.2395761421, -0.0588214603, -0.2043560379],
    entropy: [0.647110826, 0.2589285903, 0.5215300492],
    alone: [
      [-0.002996015, -0.0139536987, -0.0649882285, 0.0819379422],
      [-0.0439422348, 0.0071791783, 0.0033266113, 0.0334364452],
      [-0.0039980275, 0.4265259522, -0.4039074336, -0.0186204912],
    ],
    both: [
      [0.0247389044, 0.0679915524, 0.0967050237, -0.1894354806],
      [0.014111928, -0.0055000475, -0.0035721262, -0.0050397543],
      [0.0240041833, -0.2894625425, 0.1880370993, 0.0774212599],
    ],
  },
  {
    name: "4 x 6 logits",
    table: WIDE,
    temperature: 1,
    logprob: [-5.4636944703, -0.4709499408, -5.1928119148, -1.8727288341],
    entropy: [1.0469199175, 1.0746687457, 0.6396469288, 0.8074150722],
    alone: [
      [-0.007828465, -0.0212799741, -0.0578449669, -0.1572389224, -0.004748204, 0.2489405325],
      [-0.1877955825, 0.0155437427, 0.0094277565, 0.0422522733, 0.1148535866, 0.0057182234],
      [-0.0030661064, -0.1674037354, -0.0615843926, 1.4916654588, -0.022655632, -1.2369555924],
      [0.0257219412, 0.0141165007, -0.6347222571, 0.0028500723, 0.5709743985, 0.0210593443],
    ],
    both: [
      [0.0337947319, 0.0450476626, -0.0048066844, -0.3589915523, 0.0257205655, 0.2592352767],
      [-0.1124021113, 0.0006448714, -0.001494417, 0.0186538514, 0.09664786, -0.0020500544],
      [0.0173658071, 0.1446030091, 0.1270977453, 1.5372037083, 0.0739434059, -1.9002136756],
      [0.0609138612, 0.037947516, -0.5692252085, 0.0100935331, 0.4081519168, 0.0521183815],
    ],
  },
] as const;

for (const { name, table, temperature, logprob, entropy, alone, both } of EXPECTED) {
  // slime computes in chunks of -1 (all), 1, 2 and 8 rows.
  for (const chunk of [undefined, 1, 2, 8]) {
    const how = chunk === undefined ? "at once" : `projected, ${chunk} rows at a time`;
    deviceTest(`slime's ${name} at temperature ${temperature}, ${how}: log-probs, entropies, gradients`, (device) => {
      const settings = { temperature, ...(chunk === undefined ? {} : { chunk }) };
      const got = compute(device, table, settings);
      compare(got.logprob, [logprob], "log-probs");
      compare(got.entropy, [entropy], "entropies");
      const unit = 1.8 / temperature;
      within(got.gradient, both, { what: "with the entropy", unit });
      within(compute(device, table, { ...settings, entropy: false }).gradient, alone, { what: "of the log-probs", unit });
    });
  }
}

// By row, what slime keeps; it never drops the target. Its entropy stays that of all tokens, Kedge's is that of the distribution that is left, so that
// only log-probs are compared.
const KEPT = [
  {
    table: SINGLE,
    temperature: 1,
    rows: [[1, 2], [1, 3], [0, 1]],
    logprob: [-0.4076059644, -0.1698460196, -0.0181499279],
    gradient: [
      [0, -0.0225076433, -0.0611821178, 0.0836897611],
      [-0.0781026328, 0.0210050331, 0, 0.0570975997],
      [-0.0269793149, 0.0269793149, 0, 0],
    ],
  },
  {
    table: SINGLE,
    temperature: 0.65,
    rows: [[1, 2], [1, 3], [0, 1]],
    logprob: [-0.2317560053, -0.0544874875, -0.0021230366],
    gradient: [
      [0, -0.0140632463, -0.0654984377, 0.079561684],
      [-0.0407920325, 0.0072103602, 0, 0.0335816723],
      [-0.0048941182, 0.0048941182, 0, 0],
    ],
  },
  {
    table: WIDE,
    temperature: 1,
    rows: [[1, 3], [1, 4], [0, 2, 5], [1, 3]],
    logprob: [-5.1328452337, -0.3490122168, -5.0573286243, -0.1373067175],
    gradient: [
      [0, -0.0296249136, 0, -0.2189001488, 0, 0.2485250624],
      [-0.1473077437, 0.0175595135, 0, 0, 0.1297482302, 0],
      [-0.0035109679, 0, -0.070519676, 1.4904561997, 0, -1.4164255558],
      [0, 0.0800592102, -0.096222886, 0.0161636758, 0, 0],
    ],
  },
] as const;

deviceTest("slime's top-p masks on 3 x 4 and 4 x 6 logits: log-probs and their gradients", (device) => {
  for (const { table, temperature, rows, logprob, gradient } of KEPT) {
    for (const [r, kept] of rows.entries()) {
      const target = table.targets[r]!,
        row = {
          logits: [table.logits[r]!],
          targets: [target],
          logprobWeights: [table.logprobWeights[r]!],
          entropyWeights: [0],
        };
      const suppress = table.logits[r]!.map((_, v) => v !== target && !(kept as readonly number[]).includes(v));
      const got = compute(device, row, { temperature, suppress, entropy: false });
      within(got.logprob, [[logprob[r]!]], { what: `log-prob of row ${r}`, unit: 1 });
      within(got.gradient, [gradient[r]!], { what: `row ${r}`, unit: Math.abs(row.logprobWeights[0]!) / temperature });
    }
  }
});

deviceTest("slime's empty input: no rows in, none out", (device) => {
  using logits = Tensor.empty(device, [0, 4]);
  using target = Tensor.from(device, new Int32Array(0));
  using tape = new Tape(device);
  const { logprob, entropy } = logProb(tape.input(logits), { target });
  compare(logprob.tensor.toFloats(), [], "log-probs");
  compare(entropy.tensor.toFloats(), [], "entropies");
});

deviceTest("verl's logits of +-1000: distributions as of logits near 0", (device) => {
  const table = { logits: [[1000, 1001, 999], [-1000, -999, -998]], targets: [0, 2], logprobWeights: [1, 1], entropyWeights: [0, 0] };
  const got = compute(device, table);
  compare(got.logprob, [[-1.4076059644, -0.4076059644]], "log-probs");
  compare(got.entropy, [[0.8323955818, 0.8323955818]], "entropies");
  // The backward reads the logarithm of the sum, f32: half a step at 1000 is 3.1e-5.
  const gradient = [[0.7552715289, -0.6652409558, -0.0900305732], [-0.0900305732, -0.2447284711, 0.3347590442]];
  within(got.gradient, gradient, { what: "gradient", unit: 1, tolerance: 3.2e-5 });
});
