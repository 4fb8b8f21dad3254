import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { derived } from "../actors/config/derived.ts";
import { loadConfig } from "../actors/config/load.ts";
import type { Config } from "../actors/config/schema.ts";
import { configToJson, readConfig } from "../model/config/config.ts";
import { presetConfig } from "../model/config/presets.ts";
import { planReward } from "../verify/registry.ts";
import { runChild } from "./child.ts";
import { ROOT } from "./root.ts";

const RECIPES = ["geometry3k_grpo", "geometry3k_dapo", "geometry3k_gspo_atrl", "mathvision_grpo_atrl"] as const;
/** Recipes of LoRA: the preset of the model, and the bytes of the GPU that it is for. */
const LORA = { "board_lora": undefined, "geometry3k_lora_3b": ["3b", 24e9], "geometry3k_lora_7b": ["7b", 48e9] } as const;
const TOKENS = { image: 151655, video: 151656, visionStart: 151652, visionEnd: 151653, eos: [151645], bos: 151643, pad: 151643 };

const file = (name: string) => `${ROOT}/examples/${name}.jsonc`;
const load = (name: string, sets: string[] = []) => loadConfig({ file: file(name), sets });

/** Calls a function with a folder that contains only the config.json of Qwen2.5-VL-7B. */
async function withModel(body: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    Deno.writeTextFileSync(
      `${folder}/config.json`,
      JSON.stringify(configToJson(presetConfig("7b", { tokens: TOKENS, vocabSize: 151665 }))),
    );
    await body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("every recipe in examples/ is tested here", () => {
  const there = Array.from(Deno.readDirSync(`${ROOT}/examples`), ({ name }) => name).filter((name) => name.endsWith(".jsonc"));
  assertEquals(there.sort(), [...RECIPES, ...Object.keys(LORA)].map((name) => `${name}.jsonc`).sort());
});

for (const name of RECIPES) {
  Deno.test(`recipe ${name}: a dry run of \`deno task train\` says what it comes to, without the model`, async () => {
    await withModel(async (folder) => {
      const args = ["--config", `examples/${name}.jsonc`, "--dry-run"];
      const permissions = ["--allow-read", "--allow-run=deno", "--allow-env=PATH,HOME,DENO_DIR,HF_HUB_CACHE"];
      const env = { HF_HUB_CACHE: folder };
      const { code, stdout, stderr } = await runChild("cli/train.ts", { permissions, args, env });
      assertEquals([code, stderr], [0, ""]);
      assertStringIncludes(stdout, "samples a step = 512 prompts x 5 answers = 2560\n");
      assertStringIncludes(stdout, "optimizer steps a rollout = 512 prompts / 128 x 1 epochs = 4, each of 128 x 5 = 640 samples\n");
      const { config } = load(name, [`model.path=${folder}`]), { lines, numbers } = derived(config, readConfig(folder));
      const note = "note: the sizes of Qwen/Qwen2.5-VL-7B-Instruct come from a built-in list; the model is fetched when the run begins";
      assert(stdout.endsWith(`${[...lines, note].join("\n")}\n`), stdout);
      assertEquals([numbers.samples, numbers.updates, numbers.updateSamples, numbers.parameters], [2560, 4, 640, 8_292_166_656]);
      assert(numbers.groupTokens <= config.batch.microTokens, "a prompt and its answers are one micro-batch");
      // 8.29e9 parameters: 2 bytes each of weights, 4 of gradients, 4 of two bf16 moments, 4 of masters, and 2 of the reference.
      const bytes = (config.algorithm.kl === null ? 14 : 16) * numbers.parameters!, { memory } = numbers;
      assertEquals(memory!.total, bytes + memory!.activations);
      assertEquals(memory!.gpus.map(({ memory, fits }) => [memory, fits]), [[24, false], [48, false], [80, false], [141, true]]);
      assert(config.rollout.memoryBytes! < memory!.gpus.at(-1)!.rollout, "keys and values fit beside the optimizer");
      assertStringIncludes(stdout, "\non a GPU of 141 GB (H200), of which 131.1 GiB are planned for: fits, ");
    });
  });
}

for (const [name, fits] of Object.entries(LORA)) {
  Deno.test(`recipe ${name}: it trains adapters of a frozen base, in the memory that it is for`, () => {
    const { config } = load(name);
    assert(config.model.lora !== null && config.sft === null);
    if (!fits) return;
    const [preset, limit] = fits, model = presetConfig(preset, { tokens: TOKENS, vocabSize: 151665 });
    const { numbers: { parameters, trained, groupTokens, memory } } = derived(config, model);
    assert(groupTokens <= config.batch.microTokens, "a prompt and its answers are one micro-batch");
    assert(trained! < parameters! / 100 && memory!.reference === 0, `${trained} of ${parameters} are trained`);
    const held = 2 * parameters! + (2 + 8 + 4) * trained!;
    assertEquals(memory!.total, held + Math.max(memory!.cache, 4 * trained! + memory!.activations));
    assert(memory!.total < 0.9 * limit, `${memory!.total} bytes of ${limit}`);
    assert(memory!.gpus.find(({ memory }) => memory * 1e9 === limit)!.fits, "the GPU that it is for is among those that it fits on");
  });
}

/** Checks the values that the recipes share with EasyR1's. */
function common({ data, rollout, algorithm, optim, batch, reward, val, model }: Config): void {
  assertEquals([data.rolloutBatchSize, data.maxPromptLength, data.maxResponseLength], [512, 2048, 2048]);
  assertEquals([data.minPixels, data.maxPixels, data.overlongPrompts], [262144, 4194304, "drop"]);
  assertEquals([rollout.n, rollout.temperature, rollout.topP, rollout.topK, rollout.minP], [5, 1, 1, 0, 0]);
  assertEquals([optim.lr, optim.weightDecay, optim.schedule, optim.warmupSteps, optim.maxGradNorm], [1e-6, 0.01, "constant", 0, 1]);
  assertEquals([batch.globalBatchSize, batch.ppoEpochs, model.freezeVision], [128, 1, false]);
  assertEquals([algorithm.advEstimator, algorithm.oldLogprobs, algorithm.entropyCoefficient], [
    { kind: "grpo", epsilon: 1e-6 },
    "recompute",
    0,
  ]);
  assertEquals([val.n, val.temperature, val.topP, val.greedy], [1, 0.6, 0.95, false]);
  const parts = planReward(reward, "file:///").parts!.map(({ name, weight }) => [name, weight]);
  assertEquals(parts, [["accuracy", 0.9], ["format", 0.1]]);
}

Deno.test("recipes have EasyR1's numbers", () => {
  const [grpo, dapo, gspo, vision] = RECIPES.map((name) => load(name).config) as [Config, Config, Config, Config];
  for (const config of [grpo, dapo, gspo, vision]) common(config);
  const kl = { kind: "k3", where: "loss", coefficient: { kind: "fixed", coefficient: 0.01 } } as const;
  const ppo = { kind: "ppo", clipRatioLow: 0.2, clipRatioHigh: 0.3, clipRatioDual: 3 } as const;
  for (const { algorithm } of [grpo, vision]) assertEquals([algorithm.loss, algorithm.lossAvgMode, algorithm.kl], [ppo, "token", kl]);
  assertEquals([grpo.trainer.totalEpochs, grpo.trainer.maxSteps], [15, 60]);
  assertEquals([dapo.algorithm.loss, dapo.algorithm.kl], [{ ...ppo, clipRatioHigh: 0.28 }, null]);
  assertEquals(dapo.algorithm.onlineFiltering, { filterLow: 0.01, filterHigh: 0.99, maxTries: 20 });
  const gspoLoss = { kind: "gspo_token", clipRatioLow: 3e-4, clipRatioHigh: 4e-4, clipRatioDual: 3 } as const;
  assertEquals([gspo.algorithm.loss, gspo.algorithm.lossAvgMode, gspo.algorithm.kl], [gspoLoss, "seq", null]);
  assertEquals([grpo, dapo, gspo, vision].map(({ algorithm }) => algorithm.credit), ["none", "none", "atrl", "atrl"]);
  assertEquals([gspo.atrl.mode, vision.atrl.mode], ["soft", "soft"]);
});

Deno.test("recipes name data sets of the hub by their ids, and files by their place", () => {
  const [grpo, dapo, gspo, vision] = RECIPES.map((name) => load(name).config.data) as [
    Config["data"],
    Config["data"],
    Config["data"],
    Config["data"],
  ];
  for (const data of [grpo, dapo, gspo]) {
    assertEquals([data.trainFiles, data.valFiles], ["hiyouga/geometry3k@train", "hiyouga/geometry3k@test"]);
  }
  assertEquals(vision.trainFiles, `${ROOT}/MATH-Vision/train.jsonl`);
});
