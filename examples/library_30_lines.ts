// deno-lint-ignore-file no-console -- a program
/**
 * The pieces of a step, in some thirty lines: answers to boards of coloured digits, rewards, advantages, AT-RL's weights, one update of the policy.
 *
 *   deno run -A examples/library_30_lines.ts
 *
 * @module
 */
import { BoardDataset, newBoardModel } from "@kedge/kedge/data";
import { Engine, PackedBatch, Processor, suppressionMask, VisionLanguageModel } from "@kedge/kedge/model";
import { gradeNumber } from "@kedge/kedge/rewards";
import { aggregationWeights, detectAtrl, estimateAdvantages, policyLoss, Responses } from "@kedge/kedge/rl";
import { AdamW, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";

const folder = `${Deno.makeTempDirSync()}/model`; // or a folder of the hub, and pictures of your own
newBoardModel(folder, { seed: 1 });
using device = openDevice("auto");
using model = VisionLanguageModel.load(folder, { device });
using engine = new Engine(model);
using optimizer = new AdamW(device, [{ parameters: Object.values(model.parameters) }], { maxNorm: 1 });
using suppress = suppressionMask(model); // what the engine never draws is not in the policy's distribution
const processor = Processor.fromFolder(folder), data = new BoardDataset({}, { seed: 1, split: "train" });

// Four boards, four answers to each; a right number counts 1, and brevity a little.
const rows = await Promise.all([0, 1, 2, 3].map((i) => data.sample(i)));
const prompts = await Promise.all(rows.map(({ messages }) => processor.prompt(messages)));
const answers = await engine.generate(prompts, { n: 4, maxTokens: 24, seed: 1, connectivity: true }), all = answers.flat();
const texts = all.map(({ tokens }) => processor.decode(tokens, { skipSpecialTokens: true })), of = all.map((_, i) => Math.floor(i / 4));
const rewards = texts.map((response, i) => gradeNumber({ response, truth: rows[of[i]!]!.truth }).score - response.length / 1000);

// Advantages, weighted by which tokens look at the board.
const lengths = all.map(({ tokens }) => tokens.length), regions = all[0]!.regions!.regions;
const packed = (numbers: (i: number) => ArrayLike<number>) => Tensor.from(device, all.flatMap((_, i) => Array.from(numbers(i))));
using responses = Responses.of(device, lengths);
using connectivity = packed((i) => all[i]!.connectivity!), flat = packed((i) => all[i]!.profile!), old = packed((i) => all[i]!.logprobs);
using profile = flat.reshape([responses.tokens, regions]);
using credit = detectAtrl(responses, { connectivity, profile, visual: of.map(() => true) });
using base = Tensor.from(device, Float32Array.from(estimateAdvantages({ kind: "grpo" }, { rewards, groups: of, lengths })));
using advantages = credit.advantages(base, { perToken: true });

// The update. Each prompt is computed once for its answers.
using batch = PackedBatch.pack(model, prompts.map((prompt, i) => ({ prompt, responses: answers[i]!.map(({ tokens }) => tokens) })));
using weights = Tensor.from(device, aggregationWeights({ kind: "token" }, { lengths }));
using tape = new Tape(device);
const { logprob } = model.logProbs(tape, batch, { suppress });
const gap = Math.max(...logprob.tensor.toFloats().map((x, i) => Math.abs(x - old.toFloats()[i]!)));
tape.backward(policyLoss(logprob, { old, advantages, weights, offsets: responses.table }, { loss: { kind: "ppo" } }));
optimizer.step({ lr: 1e-4 });

console.log(texts[0]);
console.log(Object.entries(credit.report()).map(([name, value]) => `${name} ${value.toFixed(3)}`).join("\n"));
console.log(
  `${responses.tokens} tokens, log-probs within ${gap.toExponential(1)} of the engine's, gradient norm ${
    optimizer.report()!.norm.toFixed(3)
  }`,
);
Deno.removeSync(folder.slice(0, -"/model".length), { recursive: true });
