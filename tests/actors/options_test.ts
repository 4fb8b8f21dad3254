// Tests every algorithm option in a short run. The logged numbers are recomputed in float64 from rollouts.jsonl by the formulas.
import { assert, assertEquals } from "@std/assert";
import "sharp";
import type { Config } from "../../actors/config/schema.ts";
import { Lines } from "../../actors/run/lines.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { littleConfig, littleRun, logged, withRunDir } from "./little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

/** An answer in rollouts.jsonl. */
interface Answer {
  prompt: string;
  logprobs: number[];
  reference: number[] | undefined;
  entropies: number[];
  advantages: number[];
  weights: number[];
  reward: number;
  counts: boolean;
}

/** A line of rollouts.jsonl. */
interface Written {
  step: number;
  "prompt_id": string;
  logprobs: number[];
  "reference_logprobs"?: number[];
  entropies: number[];
  advantages: number[];
  weights: number[];
  reward: { overall: number };
  finish: string;
}

const sum = (x: readonly number[]) => x.reduce((a, b) => a + b, 0), mean = (x: readonly number[]) => sum(x) / x.length;
const std = (x: readonly number[]) => Math.sqrt(sum(x.map((v) => (v - mean(x)) ** 2)) / (x.length - 1));

function whitened(values: number[][]): number[][] {
  const all = values.flat(), scale = 1 / Math.sqrt(std(all) ** 2 + 1e-8);
  return values.map((own) => own.map((x) => (x - mean(all)) * scale));
}

/** Computes advantages by token before credit, by the formulas of the papers. */
function baseAdvantages(answers: readonly Answer[], config: Config): number[][] {
  const kind = config.algorithm.advEstimator.kind, lengths = answers.map(({ logprobs }) => logprobs.length);
  const kl = config.algorithm.kl;
  const token = answers.map(({ logprobs, reference }) =>
    logprobs.map((p, t) => reference && kl?.where === "reward" ? -kl.coefficient.coefficient * klValue(kl.kind, reference[t]! - p) : 0)
  );
  const total = answers.map(({ reward }, i) => reward + sum(token[i]!));
  const byToken = (f: (i: number, group: number[]) => number) =>
    answers.map(({ prompt, logprobs }, i) => {
      const group = answers.flatMap((other, j) => other.prompt === prompt ? [j] : []), rewards = group.map((j) => total[j]!);
      return logprobs.map(() => rewards.every((r) => r === rewards[0]) ? 0 : f(i, group));
    });
  const groupMean = (group: number[]) => mean(group.map((j) => total[j]!)),
    groupStd = (group: number[]) => std(group.map((j) => total[j]!));
  switch (kind) {
    case "grpo":
      return byToken((i, group) => (total[i]! - groupMean(group)) / (groupStd(group) + 1e-6));
    case "dr_grpo":
      return byToken((i, group) => total[i]! - groupMean(group));
    case "rloo":
      return byToken((i, group) => total[i]! - mean(group.filter((j) => j !== i).map((j) => total[j]!)));
    case "opo":
      return byToken((i, group) => total[i]! - sum(group.map((j) => lengths[j]! * total[j]!)) / sum(group.map((j) => lengths[j]!)));
    case "grpo_passk":
      return byToken((i, group) => {
        const rewards = group.map((j) => total[j]!), best = group[rewards.indexOf(Math.max(...rewards))];
        const second = Math.max(...group.filter((j) => j !== best).map((j) => total[j]!));
        return i === best ? (total[i]! - second) / (groupStd(group) + 1e-6) : 0;
      });
    case "gpg": {
      const alpha = answers.length / total.filter((r) => r !== 0).length;
      return byToken((i, group) => alpha * (total[i]! - groupMean(group)));
    }
    case "reinforce_plus_plus_baseline":
      return whitened(byToken((i, group) => total[i]! - groupMean(group)));
    case "reinforce_plus_plus":
      return whitened(answers.map(({ reward }, i) => token[i]!.map((_, t) => reward + sum(token[i]!.slice(t)))));
    case "gdpo": // a single part: the same as grpo, whitened
      return whitened(byToken((i, group) => (total[i]! - groupMean(group)) / (groupStd(group) + 1e-6)));
    default:
      throw new Error(`no formula for ${kind}`);
  }
}

/** The estimate for one token; x = log reference - log policy. */
function klValue(kind: string, x: number): number {
  const u = Math.exp(x);
  const values: Record<string, number> = {
    k1: -x,
    abs: Math.abs(x),
    k2: x * x / 2,
    k3: u - x - 1,
    "k1+": -x,
    "k3+": u - x - 1,
    "forward_kl": u * x - u + 1,
    "jensen_shannon": (u * x - (1 + u) * Math.log((1 + u) / 2)) / 2,
    "chi_square": (1 - u) ** 2 / u,
    "total_variation": Math.abs(1 - u) / 2,
    alpha: (Math.sqrt(u) - 1) / -0.25 + (u - 1) / 0.5, // order 1/2
  };
  assert(kind in values, kind);
  return values[kind]!;
}

/** Computes the loss of the first update after a rollout, where every ratio is 1. */
function lossOf(answers: readonly Answer[], config: Config): number {
  const { loss, lossAvgMode, entropyCoefficient, kl } = config.algorithm;
  const token = (answer: Answer) =>
    answer.logprobs.map((p, t) => {
      const a = answer.advantages[t]!;
      let value = -a;
      if (loss.kind === "cispo" || loss.kind === "reinforce") value = -a * p;
      if (loss.kind === "sapo") value = -a * 2 / (a >= 0 ? 1 : 1.05);
      value -= entropyCoefficient * answer.entropies[t]!;
      if (kl?.where === "loss") value += kl.coefficient.coefficient * klValue(kl.kind, answer.reference![t]! - p);
      return value;
    });
  const counted = answers.filter(({ counts }) => counts).map(token);
  if (lossAvgMode === "token") return mean(counted.flat());
  return mean(counted.map((own) => lossAvgMode === "seq" ? mean(own) : sum(own) / config.data.maxResponseLength));
}

const kl = (kind: string, where = "loss") => `algorithm.kl=${JSON.stringify({ kind, where, coefficient: 0.1 })}`;
const estimator = (name: string) => `algorithm.advEstimator=${name}`,
  loss = (name: string) => `algorithm.loss=${JSON.stringify({ kind: name })}`;
const mode = (name: string) => `algorithm.lossAvgMode=${name}`;

// Runs that together use each option of each kind.
const RUNS: Readonly<Record<string, readonly string[]>> = {
  "grpo, ppo": ["atrl.mode=soft"],
  "dr_grpo, seq_sum_norm": [estimator("dr_grpo"), mode("seq_sum_norm"), "atrl.mode=hard"],
  "rloo, gspo_token, seq": [estimator("rloo"), loss("gspo_token"), mode("seq"), "atrl.mode=low"],
  "opo, gspo, off": [estimator("opo"), loss("gspo"), mode("seq"), "atrl.mode=off"],
  "passk, cispo": [estimator("grpo_passk"), loss("cispo"), "atrl.mode=random"],
  vppo: ["algorithm.credit=vppo"],
  "gpg, reinforce": [estimator("gpg"), loss("reinforce"), "algorithm.credit=none"],
  "reinforce++, sapo, k1 in the reward": [estimator("reinforce_plus_plus"), loss("sapo"), kl("k1", "reward")],
  "reinforce++ baseline, k2": [estimator("reinforce_plus_plus_baseline"), kl("k2")],
  "gdpo, abs": [estimator("gdpo"), kl("abs"), "atrl.method=none"],
  "entropy, k3": ["algorithm.entropyCoefficient=0.01", kl("k3"), "algorithm.oldLogprobs=recompute", "atrl.normalise=none"],
  "recompute, correction, k1+": ["algorithm.oldLogprobs=recompute", 'algorithm.correction={"kind":"truncate"}', kl("k1+")],
  "mask correction, k3+, masked": [
    "algorithm.oldLogprobs=recompute",
    'algorithm.correction={"kind":"mask","level":"sequence"}',
    kl("k3+"),
    "algorithm.maskTruncated=true",
  ],
  "overlong, forward_kl": ['algorithm.overlong={"buffer":6,"factor":0.5}', kl("forward_kl")],
  "Jensen-Shannon": [kl("jensen_shannon"), "atrl.row=self", "atrl.sinkRenorm=row"],
  "chi-square": [kl("chi_square"), "atrl.layers=last-half", "batch.microTokens=64"],
  "total variation": [kl("total_variation"), "model.checkpointing=blocks"],
  alpha: [kl("alpha"), "model.checkpointing=full"],
};

// The gate runs every third; --slow runs all.
for (const [name, sets] of Object.entries(RUNS).filter((_, i) => i % 3 === 0 || Deno.args.includes("--slow"))) {
  Deno.test(`logged numbers are those of the formulas: ${name}`, async () => {
    await withRunDir(async (folder) => {
      const config = littleConfig(folder, [
        ...sets,
        "trainer.maxSteps=2",
        "trainer.saveFreq=0",
        "logging.rolloutSamples=1000",
        "val.limit=1",
      ]);
      await littleRun(config);
      const lines = new Lines(`${folder}/board/rollouts.jsonl`).read() as unknown as Written[];
      const metrics = logged(`${folder}/board`).filter((line) => "reward/overall" in line);
      assertEquals(metrics.length, 2);
      for (const { step, ...line } of metrics) {
        const { overlong, maskTruncated } = config.algorithm, limit = config.data.maxResponseLength;
        const answers = lines.filter((one) => one.step === step).map((one): Answer => {
          const logprobs: number[] = one["logprobs"],
            over = overlong ? Math.min(Math.max(0, logprobs.length - (limit - overlong.buffer)) / overlong.buffer, 1) : 0;
          return {
            prompt: one["prompt_id"],
            logprobs,
            reference: one["reference_logprobs"],
            entropies: one["entropies"],
            advantages: one["advantages"],
            weights: one["weights"],
            reward: one["reward"].overall - over * (overlong?.factor ?? 0),
            counts: !maskTruncated || one["finish"] === "stop",
          };
        });
        assertEquals(answers.length, 12);
        const base = baseAdvantages(answers, config);
        for (const [i, { advantages, weights }] of answers.entries()) {
          for (const [t, a] of advantages.entries()) {
            const expected = weights[t]! * base[i]![t]!;
            assert(Math.abs(a - expected) <= 2e-6 + 1e-5 * Math.abs(expected), `step ${step}, answer ${i}, token ${t}: ${a}, ${expected}`);
          }
        }
        if (answers.every(({ counts }) => !counts)) continue; // nothing to be averaged
        const expected = lossOf(answers, config), found = (line as Record<string, number>)["actor/loss"]!;
        assert(Math.abs(found - expected) <= 1e-5 + 1e-5 * Math.abs(expected), `step ${step}: loss ${found}, ${expected}`);
      }
    });
  });
}
