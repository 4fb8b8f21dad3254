// From the engine's connectivity to the gradient of an update: rollout, credit, policy loss, backward.
import { assert, assertEquals } from "@std/assert";
import type { Completion } from "../../model/engine/completion.ts";
import { suppressionMask } from "../../model/engine/suppression.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import type { Prompt } from "../../model/prompt.ts";
import type { VisionLanguageModel } from "../../model/model.ts";
import { estimateAdvantages } from "../../rl/advantages/estimator.ts";
import { type AtrlCredit, detectAtrl } from "../../rl/atrl/detect.ts";
import { ATRL_MODES, type AtrlMode } from "../../rl/atrl/options.ts";
import { Responses } from "../../rl/credit/responses.ts";
import { aggregationWeights } from "../../rl/losses/aggregation.ts";
import { policyLoss } from "../../rl/losses/policy_loss.ts";
import type { Random } from "../../tensor/random.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { engineTest, littleEngine, littleModel, picturePrompt, textPrompt } from "../model/engine_fixture.ts";

const SAMPLES = 3;

/** A rollout and the advantages of a base algorithm. */
interface Batch {
  prompts: Prompt[];
  completions: Completion[][];
  /** The advantage of each token. */
  advantages: Float32Array<ArrayBuffer>;
}

async function rollout(model: VisionLanguageModel, random: Random, prompts: Prompt[]): Promise<Batch> {
  using engine = littleEngine(model);
  const completions = await engine.generate(prompts, { n: SAMPLES, maxTokens: 24, stop: [], connectivity: true });
  const lengths = completions.flat().map(({ tokens }) => tokens.length);
  const rewards = lengths.map(() => random.next()), groups = prompts.flatMap((_, i) => new Array<number>(SAMPLES).fill(i));
  const scalars = estimateAdvantages({ kind: "grpo" }, { rewards, groups, lengths });
  return { prompts, completions, advantages: Float32Array.from(scalars) };
}

/** AT-RL's advantages, by token, and its weights. Profiles of prompts with fewer regions end in zeros. */
function credited(
  model: VisionLanguageModel,
  { completions, advantages }: Batch,
  mode: AtrlMode,
): { advantages: Float32Array; weights: Float32Array; responses: number[] } {
  const { device } = model, flat = completions.flat();
  using responses = Responses.of(device, flat.map(({ tokens }) => tokens.length));
  const width = Math.max(1, ...flat.map(({ regions }) => regions!.regions)), profiles = new Float32Array(responses.tokens * width);
  for (const [i, { tokens, profile, regions: own }] of flat.entries()) {
    for (let t = 0; t < tokens.length; t++) {
      profiles.set(profile!.subarray(t * own!.regions, (t + 1) * own!.regions), (responses.offsets[i]! + t) * width);
    }
  }
  using connectivity = Tensor.from(device, Float32Array.from(flat.flatMap(({ connectivity }) => [...connectivity!])));
  using profile = Tensor.from(device, profiles, { shape: [responses.tokens, width] });
  using base = Tensor.from(device, advantages);
  const visual = flat.map(({ regions }) => regions!.regions > 0),
    keys = flat.map((_, i) => ({ prompt: Math.floor(i / SAMPLES), sample: i % SAMPLES })),
    classes = Uint8Array.from({ length: responses.tokens }, (_, t) => t % 4);
  using credit: AtrlCredit = detectAtrl(responses, { connectivity, profile, visual, keys, classes }, { mode });
  using out = credit.advantages(base, { perToken: true });
  return { advantages: out.toFloats(), weights: credit.weights.toFloats(), responses: [...responses.offsets] };
}

/** The gradient of all parameters under the policy loss with these advantages. */
function gradient(model: VisionLanguageModel, { prompts, completions }: Batch, advantages: Float32Array): number[] {
  const { device } = model, flat = completions.flat(), lengths = flat.map(({ tokens }) => tokens.length);
  using stack = new DisposableStack();
  const up = (numbers: Float32Array | Int32Array) => stack.use(Tensor.from(device, numbers.slice()));
  const batch = stack.use(
    PackedBatch.pack(model, prompts.map((prompt, i) => ({ prompt, responses: completions[i]!.map(({ tokens }) => tokens) }))),
  );
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, i) => offsets[i + 1] = offsets[i]! + length);
  const tape = stack.use(new Tape(device)), suppress = stack.use(suppressionMask(model));
  const { logprob } = model.logProbs(tape, batch, { suppress });
  const loss = policyLoss(logprob, {
    old: up(Float32Array.from(flat.flatMap(({ logprobs }) => [...logprobs]))),
    advantages: up(advantages),
    weights: up(aggregationWeights({ kind: "token" }, { lengths })),
    offsets: up(offsets),
  }, { loss: { kind: "ppo" } });
  tape.backward(loss);
  return Object.values(model.parameters).flatMap((parameter) => {
    const own = parameter.grad ? [...parameter.grad.toFloats()] : [];
    parameter.zeroGrad();
    return own;
  });
}

engineTest(
  "AT-RL with mode off gives the base algorithm's gradient exactly, with another mode a gradient of its own",
  async ({ device, random }) => {
    using model = littleModel(device, random);
    const prompts = [
      picturePrompt(random, { grids: [[16, 18]] }),
      textPrompt(random, 9),
      picturePrompt(random, { grids: [[4, 4], [6, 2]] }),
    ];
    const batch = await rollout(model, random, prompts);
    const base = gradient(model, batch, batch.advantages);
    assert(base.some((g) => g !== 0) && base.every(Number.isFinite));
    for (const mode of ATRL_MODES) {
      const { advantages, weights, responses } = credited(model, batch, mode), own = gradient(model, batch, advantages);
      if (mode === "off") {
        assertEquals(advantages, batch.advantages);
        assertEquals(own, base);
        continue;
      }
      assert(own.every(Number.isFinite), mode);
      assert(own.some((g, i) => g !== base[i]), `${mode} changes nothing`);
      assertEquals(advantages, batch.advantages.map((a, t) => Math.fround(a * weights[t]!)), mode);
      const [begin, end] = [responses[SAMPLES], responses[2 * SAMPLES]];
      assertEquals(weights.subarray(begin, end).every((w) => w === 1), true, `${mode}: the prompt without a picture`);
    }
  },
  { cpuOnly: true },
);

engineTest("AT-RL on prompts without pictures gives the base algorithm's gradient exactly in every mode", async ({ device, random }) => {
  using model = littleModel(device, random);
  const batch = await rollout(model, random, [textPrompt(random, 12), textPrompt(random, 5)]);
  const base = gradient(model, batch, batch.advantages);
  assert(base.some((g) => g !== 0));
  for (const mode of ATRL_MODES) assertEquals(gradient(model, batch, credited(model, batch, mode).advantages), base, mode);
}, { cpuOnly: true });
