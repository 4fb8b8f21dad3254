/** The policy loss, its metrics and the divergences against numbers in other trainers' public tests (Apache-2.0), named at each test. */
import { assert, assertEquals } from "@std/assert";
import type { Device } from "../../ffi/device.ts";
import { Coefficient } from "../../rl/divergences/coefficient.ts";
import { divergenceValues } from "../../rl/divergences/divergence.ts";
import { divergenceRewards } from "../../rl/divergences/term.ts";
import { aggregationWeights } from "../../rl/losses/aggregation.ts";
import { CorrectionMetrics, importanceWeights } from "../../rl/losses/correction.ts";
import { PolicyMetrics } from "../../rl/losses/metrics.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { assertClose, deviceTest } from "../tensor/device_test_case.ts";
import { type Numbers, offsetsOf, runLoss } from "./policy_case.ts";

/** `n` numbers from `from` to `to`, equally far apart. */
const linspace = (from: number, to: number, n: number): number[] => Array.from({ length: n }, (_, i) => from + (to - from) * i / (n - 1));

// verl, tests/trainer/ppo/test_loss_aggregation_on_cpu.py: a policy of one parameter, log r = theta * feature, old log-probs 0. The two numbers are
// the test's formulas in float64; it compares a cut batch with the whole one.
const THETA = 0.17, ROWS = 8, LOSS = 0.11273964822511957, SLOPE = 0.5522942810635055;
const FEATURES = linspace(-2, 2, ROWS * ROWS), FACTORS = linspace(0.3, 2, ROWS * ROWS);
const LENGTHS = [1, 8, 2, 7, 3, 6, 4, 5], SIGNS = [-1, 1, 1, -1, 1, -1, -1, 1];

/** Loss and d loss / d theta of rows [from, to), of a batch of 36 tokens. */
function oneParameter(device: Device, from: number, to: number): { loss: number; slope: number } {
  const cut = (x: readonly number[]) => x.slice(from * ROWS, to * ROWS), lengths = LENGTHS.slice(from, to).map(() => ROWS);
  const mask = LENGTHS.slice(from, to).flatMap((n) => Array.from({ length: ROWS }, (_, i) => Number(i < n)));
  const logprobs = cut(FEATURES).map((x) => THETA * x);
  const advantages = SIGNS.slice(from, to).flatMap((sign) => new Array<number>(ROWS).fill(sign));
  const weights = aggregationWeights({ kind: "token" }, { lengths, mask }, { tokens: 36, sequences: ROWS });
  const batch: Numbers = { lengths, logprobs, old: logprobs.map(() => 0), advantages, weights, correction: cut(FACTORS) };
  const loss = { kind: "ppo", clipRatioLow: 0.2, clipRatioHigh: 0.28, clipRatioDual: 10 } as const;
  const got = runLoss(device, batch, { loss }), features = cut(FEATURES);
  return { loss: got.loss, slope: got.gradient.reduce((sum, g, i) => sum + g * features[i]!, 0) };
}

for (const rows of [8, 4, 2, 1]) {
  deviceTest(`verl's clipped and weighted loss over 36 tokens, ${rows} rows at a time: loss ${LOSS}, slope ${SLOPE}`, (device) => {
    let loss = 0, slope = 0;
    for (let at = 0; at < ROWS; at += rows) {
      const part = oneParameter(device, at, at + rows);
      loss += part.loss;
      slope += part.slope;
    }
    assertClose([loss], [LOSS], { what: "loss", tolerance: 1e-6 });
    assertClose([slope], [SLOPE], { what: "slope", tolerance: 1e-6 });
  });
}

// OpenRLHF, tests/test_loss_aggregation.py. No ratio is clipped; the expectation is -mean(A e^d) over the 7 tokens that count.
deviceTest("OpenRLHF's 3 x 3 policy loss over 7 tokens, whole and by ranks", (device) => {
  const logprobs = [-0.2, -0.4, -0.1, -0.7, -0.3, -0.2, -0.6, -0.1, -0.5], d = [0.03, -0.04, 0.01, 0.02, 0.05, -0.03, 0.04, 0, -0.02];
  const advantages = [1, -0.5, 0, 0.3, -1.2, 0.5, 1.5, 0, -0.7], mask = [1, 1, 0, 1, 1, 1, 1, 0, 1];
  const part = (from: number, to: number) => {
    const cut = <T>(x: readonly T[]) => x.slice(3 * from, 3 * to), lengths = new Array<number>(to - from).fill(3);
    const weights = aggregationWeights({ kind: "token" }, { lengths, mask: cut(mask) }, { tokens: 7, sequences: 3 });
    const old = cut(logprobs).map((x, i) => x - cut(d)[i]!);
    const loss = { kind: "ppo", clipRatioLow: 0.2, clipRatioHigh: 0.2, clipRatioDual: null } as const;
    return runLoss(device, { lengths, logprobs: cut(logprobs), old, advantages: cut(advantages), weights }, { loss }).loss;
  };
  const expected = -mask.reduce((sum, m, i) => sum + m * advantages[i]! * Math.exp(d[i]!), 0) / 7;
  assertClose([part(0, 3), part(0, 2) + part(2, 3)], [expected, expected], { what: "losses", tolerance: 1e-6 });
});

deviceTest("OpenRLHF's two gaps: .1 from the policy to the old one, -1 from that to the rollout", (device) => {
  using metrics = new PolicyMetrics(device);
  using corrections = new CorrectionMetrics(device);
  const logprobs = [-0.2, -0.4], old = [-0.3, -0.1], weights = [0.5, 0.5];
  {
    using stack = new DisposableStack();
    const up = (x: readonly number[]) => stack.use(Tensor.from(device, x, { dtype: "f32" }));
    const offsets = stack.use(Tensor.from(device, offsetsOf([2])));
    const batch = { old: up(old), rollout: up([-1.3, -1.1]), weights: up(weights), offsets };
    const factors = stack.use(importanceWeights(batch, { kind: "truncate", low: 0.1, high: 10 }, corrections));
    const correction = factors.toFloats();
    assertClose(correction, [Math.E, Math.E], { what: "factors", tolerance: 1e-6 });
    runLoss(device, { lengths: [2], logprobs, old, advantages: [1, 1], weights, correction }, { loss: { kind: "ppo" }, metrics });
  }
  assertClose([metrics.read()!["actor/ppo_kl"]], [0.1], { what: "ppo_kl", tolerance: 1e-6 });
  assertClose([corrections.read()!["actor/rollout_kl"]], [-1], { what: "rollout_kl", tolerance: 1e-6 });
});

deviceTest("OpenRLHF's far token: the gap that is reported is -100, where the ratio is bounded", (device) => {
  using metrics = new PolicyMetrics(device);
  runLoss(device, { lengths: [1], logprobs: [100], old: [0], advantages: [1], weights: [1] }, { loss: { kind: "ppo" }, metrics });
  const report = metrics.read()!;
  assertEquals(report["actor/ppo_kl"], -100);
  assertClose([report["actor/ratio_max"]], [Math.exp(20)], { what: "ratio", tolerance: 1e-5 });
});

// TRL, tests/test_grpo_trainer.py: at ratio 1 and temperature 1 the token loss of sapo is 4 sigmoid(0) = 2.
deviceTest("TRL's sapo at ratio 1: the loss is -2 A", (device) => {
  for (const advantage of [1, 0.5]) {
    const batch = { lengths: [4], logprobs: [-1, -2, -3, -4], old: [-1, -2, -3, -4], weights: [0.25, 0.25, 0.25, 0.25] };
    const loss = { kind: "sapo", tauPositive: 1, tauNegative: 1 } as const;
    for (const sign of [1, -1]) {
      const got = runLoss(device, { ...batch, advantages: batch.old.map(() => sign * advantage) }, { loss });
      assertClose([got.loss], [-2 * sign * advantage], { what: "loss", tolerance: 1e-6 });
    }
  }
});

// verl, tests/utils/test_torch_functional.py.
deviceTest("verl's masked means: 2.5 whether or not what is masked is NaN, NaN where what counts is", (device) => {
  const mean = (values: readonly number[], mask: readonly number[]) => {
    const weights = aggregationWeights({ kind: "token" }, { lengths: [4], mask });
    const batch = { lengths: [4], logprobs: values, old: values, advantages: values.map(() => -1), weights };
    return runLoss(device, batch, { loss: { kind: "reinforce" } });
  };
  assertEquals(mean([1, 2, 3, 4], [1, 0, 0, 1]).loss, 2.5);
  const hidden = mean([1, 2, NaN, 4], [1, 0, 0, 1]);
  assertEquals(hidden.loss, 2.5);
  assertEquals([...hidden.gradient], [0.5, 0, 0, 0.5]);
  assertEquals(mean([1, 2, NaN, 4], [1, 0, 1, 0]).loss, NaN);
});

function k1(device: Device, logprobs: readonly number[], reference: readonly number[], weights: readonly number[]): Float32Array {
  using stack = new DisposableStack();
  const up = (x: readonly number[]) => stack.use(Tensor.from(device, x, { dtype: "f32" }));
  return stack.use(divergenceValues(up(logprobs), { reference: up(reference), weights: up(weights) }, { kind: "k1" })).toFloats();
}

// slime, tests/test_ppo_kl_metric.py.
deviceTest("slime's k1 of .5, .7, .9 against .4, .5, .6 is .1, .2, .3", (device) => {
  assertClose(k1(device, [0.5, 0.7, 0.9], [0.4, 0.5, 0.6], [1, 1, 1]), [0.1, 0.2, 0.3], { what: "k1", tolerance: 1e-6 });
});

// verl, tests/trainer/ppo/test_kl_reward_on_cpu.py.
deviceTest("verl's NaN log-probs behind the end leave no trace in the reward", (device) => {
  const rewards = divergenceRewards(k1(device, [0, NaN], [0, NaN], [1, 0]), 0.1);
  assertEquals(Array.from(rewards, (r) => r + 0), [0, 0]);
});

// verl, tests/trainer/ppo/test_adaptive_kl_checkpoint_on_cpu.py; every error but none lies beyond the bounds of +-.2.
Deno.test("verl's four observations of an adaptive coefficient, with and without a stop after two", () => {
  const config = { kind: "adaptive", coefficient: 0.1, target: 1, horizon: 10_000 } as const;
  const seen = [[1.7, 128], [0.2, 64], [1.4, 256], [0.5, 32]] as const;
  const run = (beta: Coefficient, from: number, to: number) => {
    for (const [kl, samples] of seen.slice(from, to)) beta.update(kl, samples);
    return beta.value;
  };
  const whole = run(new Coefficient(config), 0, 4), half = run(new Coefficient(config), 0, 2);
  const expected = 0.1 * (1 + 0.2 * 0.0128) * (1 - 0.2 * 0.0064) * (1 + 0.2 * 0.0256) * (1 - 0.2 * 0.0032);
  assert(Math.abs(whole - expected) <= 1e-15, `${whole}, expected ${expected}`);
  assertEquals(run(new Coefficient(config, { value: half }), 2, 4), whole);
});
