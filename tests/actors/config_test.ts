import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { RULES } from "../../actors/config/checks.ts";
import { configJsonSchema, type JsonSchema, paths } from "../../actors/config/json_schema.ts";
import { derived } from "../../actors/config/derived.ts";
import { loadConfig } from "../../actors/config/load.ts";
import { EASYR1, SYNONYMS } from "../../actors/config/other_names.ts";
import { atrlChanges, checkResume, MAY_CHANGE } from "../../actors/config/resume.ts";
import { atrlOf, type Config, type ConfigInput, configSchema, connectivityOf } from "../../actors/config/schema.ts";
import { TrainingRun } from "../../actors/training_run.ts";
import { UsageError } from "../../cli/command.ts";
import { train } from "../../cli/train.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { parameterSpecs } from "../../model/parameters.ts";
import { presetConfig, type PresetName } from "../../model/config/presets.ts";
import { ATRL_DEFAULTS, ATRL_PUBLISHED, atrlOptions } from "../../rl/atrl/options.ts";

const FILES: ConfigInput = { model: { path: "m" }, data: { task: "files", trainFiles: "a.jsonl" } };
const TOKENS = { image: 300, video: 301, visionStart: 302, visionEnd: 303, eos: [304], bos: 304, pad: 304 };
const preset = (name: PresetName) => presetConfig(name, { tokens: TOKENS, vocabSize: 305 });

function withFile(text: string, run: (file: string, folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    Deno.writeTextFileSync(`${folder}/config.jsonc`, text);
    run(`${folder}/config.jsonc`, folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function refused(input: ConfigInput, ...parts: string[]): void {
  const result = configSchema.safeParse(input);
  assert(!result.success, `${JSON.stringify(input)} was taken`);
  const text = result.error!.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ");
  for (const part of parts) assertStringIncludes(text, part);
}

Deno.test("a completed configuration parses to itself, with its keys in order", () => {
  for (
    const input of [
      {},
      FILES,
      { algorithm: { advEstimator: "gpg", kl: { coefficient: 0.1 }, correction: { kind: "mask" }, oldLogprobs: "recompute" } },
    ] satisfies ConfigInput[]
  ) {
    const once = configSchema.parse(input);
    assertEquals(JSON.stringify(configSchema.parse(once)), JSON.stringify(once));
  }
});

Deno.test("short forms are expanded", () => {
  const { algorithm } = configSchema.parse({ algorithm: { advEstimator: "grpo", kl: { coefficient: 0.1 }, onlineFiltering: {} } });
  assertEquals(algorithm.advEstimator, { kind: "grpo", epsilon: 1e-6 });
  assertEquals(algorithm.kl, { kind: "k3", where: "loss", coefficient: { kind: "fixed", coefficient: 0.1 } });
  assertEquals(algorithm.onlineFiltering, { filterLow: 0.01, filterHigh: 0.99, maxTries: 20 });
});

Deno.test("the board task has a warm start by default, and files have none", () => {
  assertEquals(configSchema.parse({}).sft?.steps, 600);
  assertEquals(configSchema.parse({ sft: null }).sft, null);
  assertEquals(configSchema.parse(FILES).sft, null);
});

Deno.test("AT-RL's options are passed to rl/, and the others to the measurement of connectivity", () => {
  const config = configSchema.parse({});
  assertEquals(atrlOptions(atrlOf(config)), { ...ATRL_DEFAULTS });
  assertEquals(Object.keys(config.atrl).sort(), [...Object.keys(atrlOf(config)), ...Object.keys(connectivityOf(config))].sort());
});

const EASYR1_ROWS: ConfigInput = { ...FILES, data: { ...FILES.data, format: "easyr1" }, sft: {} };
/** Configurations that break one rule of actors/config/checks.ts each, in the order of the rules, with parts of the error message. */
const BROKEN: readonly (readonly [ConfigInput, ...parts: string[]])[] = [
  [{ data: { task: "files", trainFiles: "a.jsonl" } }, "model.path: ", "set model.path"],
  [{ model: { lora: { dropout: 0.05 } } }, "model.lora.dropout: ", "Set it to 0"],
  [{ model: { lora: { targets: "(q_proj" } } }, "model.lora.targets: ", "give a list"],
  [{ model: { path: "m" }, data: { task: "files" } }, "data.trainFiles: ", "set data.trainFiles"],
  [{ data: { trainFiles: ["a"] } }, "data.trainFiles: ", 'choose "files"'],
  [{ data: { board: { sides: 3 } } }, "data.board: ", "sides"],
  [{ data: { board: { filler: 20 } } }, "data.maxResponseLength: ", "set it to 52 or more"],
  [{ data: { minPixels: 2000, maxPixels: 1000 } }, "data.minPixels: ", "above data.maxPixels 1000"],
  [{ grader: { workers: 0 }, reward: "./mine.ts" }, "grader.workers: ", "set at least 1"],
  [{ algorithm: { loss: { kind: "gspo" } } }, "algorithm.credit: ", "gspo_token"],
  [{ rollout: { n: 1 } }, "algorithm.advEstimator: ", '"remax"'],
  [{ algorithm: { advEstimator: "remax", onlineFiltering: {} }, rollout: { n: 1 } }, "algorithm.onlineFiltering: ", "rollout.n 2"],
  [{ algorithm: { onlineFiltering: { filterLow: 0.9, filterHigh: 0.1 } } }, "algorithm.onlineFiltering: ", "filterLow 0.9"],
  [{ algorithm: { loss: { kind: "cispo", clipRatioCap: 2, clipRatioLow: 0.1 } as never } }, "algorithm.loss: ", "clipRatioCap"],
  [{ algorithm: { correction: { kind: "truncate" } } }, "algorithm.correction: ", '"recompute"'],
  [{ algorithm: { oldLogprobs: "recompute", correction: { kind: "mask", low: 3, high: 2 } } }, "algorithm.correction: ", "low 3"],
  [{ algorithm: { kl: { kind: "k3", coefficient: 1, alpha: 0.5 } } }, "algorithm.kl: ", "alpha"],
  [{ algorithm: { kl: { kind: "full", coefficient: 1, importance: true } } }, "algorithm.kl: ", "importance"],
  [{ algorithm: { kl: { kind: "full", where: "reward", coefficient: 1 } } }, "algorithm.kl: ", 'where "loss"', '"k1"'],
  [{ algorithm: { overlong: { buffer: 49 } } }, "algorithm.overlong.buffer: "],
  [{ atrl: { wMin: 2 } }, "atrl: ", "wMax"],
  [{ ...FILES, atrl: { mode: "oracle" } }, "atrl.mode: ", "set data.classes"],
  [{ optim: { schedule: "cosine", warmupSteps: 61 } }, "optim.warmupSteps: "],
  [{ sft: { steps: 10, warmupSteps: 11 } }, "sft.warmupSteps: "],
  [EASYR1_ROWS, "sft: ", "data.demonstrationKey"],
  [{ batch: { globalBatchSize: 6 } }, "batch.globalBatchSize: ", "choose 4"],
  [{ val: { n: 4 } }, "val.n: "],
];

Deno.test("each rule between keys is refused by --dry-run and by training alike, with the key and what to choose", async () => {
  assertEquals(BROKEN.length, RULES.length, "a rule without a configuration that breaks it");
  const folder = Deno.makeTempDirSync();
  for (const [i, [input, ...parts]] of BROKEN.entries()) {
    assertEquals(`${RULES[i]![0]}: `, parts[0]);
    refused(input, ...parts);
    const file = `${folder}/${i}.json`;
    Deno.writeTextFileSync(file, JSON.stringify({ ...input, runDir: folder }));
    // deno-lint-ignore no-await-in-loop -- one after the other
    const dry = await assertRejects(() => train(["--config", file, "--dry-run"]), UsageError);
    // deno-lint-ignore no-await-in-loop -- as above
    const wet = await assertRejects(() => TrainingRun.open({ file }), RangeError);
    assertEquals(dry.message, wet.message);
    for (const part of parts) assertStringIncludes(dry.message, part);
  }
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("what the rules permit is accepted", () => {
  configSchema.parse({ algorithm: { loss: { kind: "gspo" } }, atrl: { mode: "off" } });
  configSchema.parse({ algorithm: { loss: { kind: "gspo" }, credit: "none" } });
  configSchema.parse({ rollout: { n: 1 }, algorithm: { advEstimator: "remax" } });
  configSchema.parse({ batch: { globalBatchSize: 8 }, val: { n: 4, greedy: false } });
  configSchema.parse({ ...FILES, sft: {} }); // rows of other formats may contain their demonstrations
});

Deno.test("unknown keys are refused with the nearest name, at any depth", () => {
  for (
    const [text, message] of [
      [`{"data": {"rolloutBatchsize": 8}}`, 'config.jsonc: unknown key "data.rolloutBatchsize"; did you mean "rolloutBatchSize"?'],
      [`{"data": {"rollout_batch_size": 8}}`, 'did you mean "rolloutBatchSize"?'],
      [`{"trainr": {}}`, 'unknown key "trainr"; did you mean "trainer"?'],
      [`{"algorithm": {"kl": {"coefficient": 1, "clamped": 3}}}`, 'unknown key "algorithm.kl.clamped"; did you mean "clamp"?'],
      [`{"algorithm": {"kl": {"coefficient": {"kind": "fixed", "coeficient": 1}}}}`, 'did you mean "coefficient"?'],
      [`{"algorithm": {"advEstimator": {"kind": "grpo", "epsilom": 1}}}`, 'did you mean "epsilon"?'],
      [`{"algorithm": {"clipRatioLow": 0.1}}`, 'did you mean "algorithm.loss.clipRatioLow"?'],
      [`{"rollout": {"n": "x"}}`, "rollout.n: "],
      [`[]`, "expected object"],
    ] as const
  ) withFile(text, (file) => assertThrows(() => loadConfig({ file }), RangeError, message));
});

Deno.test("a fault of syntax has its line and column", () => {
  withFile(
    '{\n  // a comment\n  "name": "a"\n  "seed": 1\n}',
    (file) => assertThrows(() => loadConfig({ file }), RangeError, `${file}:4:3: comma expected`),
  );
  assertThrows(() => loadConfig({ file: "/no/such/config.jsonc" }), KedgeError, "/no/such/config.jsonc");
});

Deno.test("paths in a file are relative to it, and paths from --set are not", () => {
  const text =
    `{"model": {"path": "model"}, /* rows */ "data": {"task": "files", "trainFiles": ["a.jsonl", "/b.jsonl"], "imageDir": "../x",},}`;
  withFile(text, (file, folder) => {
    const { config, base } = loadConfig({ file, sets: ["data.valFiles=c.jsonl"] });
    assertEquals(config.model.path, `${folder}/model`);
    assertEquals(config.data.trainFiles, [`${folder}/a.jsonl`, "/b.jsonl"]);
    assertEquals(config.data.imageDir, `${folder.slice(0, folder.lastIndexOf("/"))}/x`);
    assertEquals([config.data.valFiles, base], ["c.jsonl", `file://${file}`]);
  });
});

Deno.test("the value of --set is JSON or a text, and replaces the file's", () => {
  withFile(`{"rollout": {"n": 4, "topK": 7}}`, (file) => {
    const { config } = loadConfig({
      file,
      sets: ["rollout.n=16", "name=a-1", "sft=null", "algorithm.loss.kind=sapo", "data.board.side=4"],
    });
    assertEquals([config.rollout.n, config.rollout.topK, config.name, config.sft], [16, 7, "a-1", null]);
    assertEquals([config.algorithm.loss.kind, config.data.board], ["sapo", { side: 4 }]);
  });
});

Deno.test("an unknown path is refused; for EasyR1's names the error gives Kedge's", () => {
  for (
    const [set, message] of [
      ["data.rollout_batch_size=4", 'unknown key "data.rollout_batch_size"; did you mean "data.rolloutBatchSize"?'],
      ["worker.rollout.n=4", 'did you mean "rollout.n"?'],
      ["worker.actor.optim.lr=1e-6", 'did you mean "optim.lr"?'],
      ["worker.actor.clip_ratio_low=0.2", 'did you mean "algorithm.loss.clipRatioLow"?'],
      ["algorithm.online_filtering=null", 'did you mean "algorithm.onlineFiltering"?'],
      ["seed.x=1", 'unknown key "seed.x"'],
      ["seed", "it takes a.b=value"],
    ] as const
  ) assertThrows(() => loadConfig({ sets: [set] }), RangeError, message);
});

Deno.test("a run is resumed only if no other key than those that may change differs", () => {
  const old = configSchema.parse({ algorithm: { kl: { coefficient: 0.1 } } });
  checkResume(
    old,
    configSchema.parse({
      ...{ threads: 2, trainer: { maxSteps: 80 }, optim: { lr: 1 }, atrl: { mode: "off" }, logging: { report: false } },
      algorithm: { kl: { coefficient: { kind: "adaptive", coefficient: 0.2, target: 1, horizon: 10 } } },
    }),
  );
  const error = assertThrows(
    () => checkResume(old, configSchema.parse({ rollout: { n: 4 }, optim: { beta1: 0.5, lr: 1 }, seed: 1 })),
    KedgeError,
    "rollout.n was 8, now 4",
  );
  assertEquals(error.code, "BadCheckpoint");
  const paths = (error.details.differences as { path: string }[]).map(({ path }) => path);
  assertEquals(paths.sort(), ["algorithm.kl", "optim.beta1", "rollout.n", "seed"]);
});

Deno.test("a resumed run says which options of AT-RL are others, whether they were set or are other defaults", () => {
  const now = configSchema.parse({}), published = configSchema.parse({ atrl: ATRL_PUBLISHED });
  checkResume(published, now);
  const words = 'atrl.score was "connectivity", now "peak"; atrl.own was 0, now 0.75';
  assertEquals(atrlChanges(published, now), `Goes on with other options of AT-RL: ${words}`);
  const { score: _, ...older } = published.atrl;
  assertStringIncludes(atrlChanges({ ...published, atrl: older as typeof published.atrl }, now)!, 'atrl.score was not there, now "peak"');
  assertEquals(atrlChanges(now, configSchema.parse({ optim: { lr: 1 } })), undefined);
});

Deno.test("every key that may change exists", () => {
  const whole = configSchema.parse({ algorithm: { kl: { coefficient: 0.1 } } });
  for (const path of MAY_CHANGE) {
    let at: unknown = whole;
    for (const key of path.split(".")) at = (at as Record<string, unknown>)[key];
    assert(at !== undefined, path);
  }
});

Deno.test("derived numbers and their arithmetic", () => {
  const config = configSchema.parse({ batch: { globalBatchSize: 4, ppoEpochs: 2 }, data: { maxPromptLength: 100 } });
  const { lines, numbers } = derived(config, undefined);
  assertEquals([numbers.samples, numbers.updates, numbers.updateSamples, numbers.groupTokens], [128, 8, 32, 484]);
  assertEquals([numbers.stepTokens, numbers.microBatches, numbers.runUpdates, numbers.memory], [7744, 1, 480, undefined]);
  assertStringIncludes(lines.join("\n"), "16 prompts / 4 x 2 epochs = 8");
});

Deno.test("the memory estimate counts trained weights, master copies and the reference", () => {
  const config = configSchema.parse({ model: { freezeVision: true }, algorithm: { kl: { coefficient: 0.1 } }, optim: { moments: "bf16" } });
  const { numbers: { parameters, trained, memory: m } } = derived(config, preset("3b"));
  const all = parameterSpecs(preset("3b")).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  assertEquals(parameters, all);
  assert(trained! < all);
  assertEquals([m!.weights, m!.gradients, m!.moments, m!.masters, m!.reference], [
    2 * all,
    4 * trained!,
    4 * trained!,
    4 * trained!,
    2 * all,
  ]);
  assertEquals(m!.total, m!.weights + m!.moments + m!.masters + m!.reference + Math.max(m!.cache, m!.gradients + m!.activations));
  const kept = (checkpointing: Config["model"]["checkpointing"]) =>
    derived(configSchema.parse({ model: { checkpointing } }), preset("3b")).numbers.memory!.activations;
  assert(kept("off") > kept("blocks") && kept("blocks") > kept("full"));
  assertEquals(kept("auto"), kept("blocks"));
  const frozen = derived(configSchema.parse({ model: { freezeVision: true } }), preset("3b")).numbers.memory!.activations;
  assert(frozen < kept("blocks"), "the activations of a trained vision tower count");
  assertEquals(derived(configSchema.parse({ rollout: { memoryBytes: 1000 } }), preset("tiny")).numbers.memory!.cache, 1000);
});

Deno.test("7B with bf16 moments fits a GPU of 141 GB by default, where what has room is kept; and 3B with f32 moments one of 80 GB", () => {
  const shape = { data: { maxPromptLength: 1100, maxResponseLength: 512, maxPixels: 1000 * 28 ** 2 }, batch: { microTokens: 8192 } };
  const on = (name: "3b" | "7b", moments: string, memory: number) => {
    const { numbers, lines } = derived(configSchema.parse({ ...shape, optim: { moments } }), preset(name));
    const gpu = numbers.memory!.gpus.find((each) => each.memory === memory)!;
    assert(lines.some((line) => line.startsWith(`on a GPU of ${memory} GB`) && line.includes(gpu.fits ? ": fits, " : ": does not fit, ")));
    return gpu;
  };
  const large = on("7b", "bf16", 141), { text, vision } = large.checkpointing as { text: number; vision: number };
  assert(large.fits && large.needed <= 0.93 * 141 * 2 ** 30);
  assert(text > 0 && text < 28 && vision === 0, `${text} blocks are kept`);
  assertEquals(on("7b", "f32", 141).fits, false);
  assertEquals(on("3b", "f32", 141).checkpointing, { text: 36, vision: 32 });
  assertEquals(on("3b", "f32", 80).fits, true);
  // The gradients are not there while answers are sampled.
  const { weights, moments, masters } = derived(configSchema.parse({ ...shape, optim: { moments: "bf16" } }), preset("7b")).numbers.memory!;
  assertEquals(large.rollout, Math.floor(0.93 * 141 * 2 ** 30) - weights - moments - masters);
  assertEquals(derived(configSchema.parse({ device: "cpu" }), preset("tiny")).numbers.memory!.gpus, []);
});

Deno.test("on a CPU the memory estimate counts frozen matrices in bf16, and what is trained in f32", () => {
  const model = preset("3b"), specs = parameterSpecs(model);
  const matrices = (vision: boolean | undefined) =>
    specs.reduce(
      (sum, { shape, ...spec }) => sum + (shape.length > 1 && (vision ?? spec.vision) === spec.vision ? shape[0]! * shape[1]! : 0),
      0,
    );
  const all = specs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const weights = (options: Record<string, unknown>, algorithm = {}) => {
    const { lines, numbers } = derived(configSchema.parse({ device: "cpu", model: options, algorithm }), model);
    return [numbers.memory!.weights, numbers.memory!.reference, lines.find((line) => line.startsWith("weights = "))] as const;
  };
  assertEquals(weights({})[0], 4 * all);
  assertEquals(weights({ dtype: "bf16" })[0], 4 * all);
  assertEquals(weights({ freezeVision: true })[0], 4 * all - 2 * matrices(true));
  const lora = weights({ lora: {} });
  assertEquals(lora[0], 4 * all - 2 * matrices(undefined));
  assertStringIncludes(lora[2]!, `weights = ${matrices(undefined)} frozen x 2 B (bf16) + `);
  assertEquals(weights({ lora: {}, dtype: "f32" })[0], 4 * all);
  const kl = { kl: { coefficient: 0.1 } };
  assertEquals([weights({}, kl)[1], weights({ dtype: "bf16" }, kl)[1]], [4 * all, 4 * all - 2 * matrices(undefined)]);
});

Deno.test("every key is described", () => {
  const walk = (schema: JsonSchema, path: string) => {
    for (const [key, own] of Object.entries(schema.properties ?? {})) {
      if (key !== "kind" && !path.startsWith("reward")) assert(own.description !== undefined, `${path}.${key}`);
      walk(own, path === "" ? key : `${path}.${key}`);
    }
    for (const own of [...schema.anyOf ?? [], ...schema.oneOf ?? []]) walk(own, path);
  };
  walk(configJsonSchema(), "");
});

Deno.test("for another trainer's key or a similar name, the error gives Kedge's key", () => {
  const cases: [path: string, meant: string][] = [
    ["optim.learningRate", "optim.lr"],
    ["optim.learning_rate", "optim.lr"],
    ["sft.learningRate", "sft.lr"],
    ["learning_rate", "optim.lr"],
    ["algorithm.advantage", "algorithm.advEstimator"],
    ["algorithm.advantage_estimator", "algorithm.advEstimator"],
    ["num_generations", "rollout.n"],
    ["rollout.group_size", "rollout.n"],
    ["beta", "algorithm.kl.coefficient"],
    ["algorithm.epsilon_high", "algorithm.loss.clipRatioHigh"],
    ["max_completion_length", "data.maxResponseLength"],
    ["data.train_batch_size", "data.rolloutBatchSize"],
    ["actor_rollout_ref.actor.ppo_mini_batch_size", "batch.globalBatchSize"],
    ["trainer.test_freq", "trainer.valFreq"],
    ["trainer.total_training_steps", "trainer.maxSteps"],
    ["model_name_or_path", "model.path"],
    ["output_dir", "runDir"],
    ["reward_funcs", "reward"],
    ["optimizer.lr", "optim.lr"],
    ["training.maxSteps", "trainer.maxSteps"],
    ["worker.actor.model.freeze_vision_tower", "model.freezeVision"],
    ["temperature", "rollout.temperature"],
    ["maxResponseLenght", "data.maxResponseLength"],
    ["rollout.temprature", "rollout.temperature"],
    ["data.learning_rat", "optim.lr"],
  ];
  for (const [path, meant] of cases) {
    assertThrows(() => loadConfig({ sets: [`${path}=1`] }), RangeError, `did you mean "${meant}"?`);
    withFile(path.split(".").reduceRight((inner, key) => `{"${key}": ${inner}}`, "1"), (file) => {
      const { message } = assertThrows(() => loadConfig({ file }), RangeError);
      assertEquals(message.includes(`"${meant}"`) || message.includes(`did you mean "${meant.split(".").at(-1)}"?`), true, message);
    });
  }
});

Deno.test("the names of other trainers map to existing keys", () => {
  const known = paths([configJsonSchema()]);
  assertEquals([...Object.keys(SYNONYMS), ...Object.keys(EASYR1)].filter((key) => !known.includes(key)), []);
});
