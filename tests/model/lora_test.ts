import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Device } from "../../ffi/device.ts";
import { openDevice } from "../../ffi/open.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { suppressionMask } from "../../model/engine/suppression.ts";
import { mergeAdapters } from "../../model/lora/merge.ts";
import { chooseModules, targetNames } from "../../model/lora/modules.ts";
import type { LoraOptions } from "../../model/lora/options.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import { Random } from "../../tensor/random.ts";
import { SafetensorsFile } from "../../tensor/safetensors.ts";
import { writeSafetensors } from "../../tensor/safetensors_writer.ts";
import { Tape } from "../../tensor/tape.ts";
import { assertSameBytes } from "../files.ts";
import { engineTest, littleEngine } from "./engine_fixture.ts";
import { assertNear } from "./golden.ts";
import { PeftGolden, peftNumbers, temporaryFolder } from "./peft_golden.ts";

const names = new PeftGolden("names"), { mixed } = names, { config } = mixed, { prompt, response } = mixed.cases[0]!;

openDevice("cpu")[Symbol.dispose](); // a library that a test loads would count as its leak

function chosen(options: Omit<LoraOptions, "rank" | "alpha"> & { freezeVision?: boolean }): string[] {
  return chooseModules(config, options).targets.map(({ module }) => module);
}

const LAYER = [
  "self_attn.q_proj",
  "self_attn.k_proj",
  "self_attn.v_proj",
  "self_attn.o_proj",
  "mlp.gate_proj",
  "mlp.up_proj",
  "mlp.down_proj",
];
const decoder = Array.from({ length: config.text.layers }, (_, i) => LAYER.map((name) => `model.language_model.layers.${i}.${name}`))
  .flat();

Deno.test("targets are the decoder's matrices, names or their ends, or a pattern of whole names, without what is excluded", () => {
  assertEquals(chosen({}), decoder);
  const some = chosen({
    targets: ["q_proj", "attn.proj", "model.language_model.layers.1.mlp.up_proj"],
    exclude: ["layers.0.self_attn.q_proj"],
  });
  const blocks = Array.from({ length: config.vision.depth }, (_, i) => `model.visual.blocks.${i}.attn.proj`);
  const q = decoder.filter((name) => name.endsWith("q_proj") && !name.includes("layers.0."));
  assertEquals(some.sort(), [...blocks, ...q, "model.language_model.layers.1.mlp.up_proj"].sort());
  assertEquals(chosen({ targets: ["up_proj"], freezeVision: true }), decoder.filter((name) => name.endsWith("up_proj")));
  const whole = chosen({ targets: ".*" });
  assert(decoder.every((name) => whole.includes(name)) && whole.includes("model.visual.patch_embed.proj"));
  assert(!whole.some((name) => /embed_tokens|lm_head|norm/.test(name)));
  assertEquals(chosen({ targets: ".*_proj", exclude: ".*visual.*|.*mlp.*" }), decoder.filter((name) => name.includes("self_attn")));
  assertEquals(chosen({ modulesToSave: ["self_attn"] }), decoder.filter((name) => name.includes("mlp")));
});

Deno.test("choices that match nothing or cannot be made are refused, with what is there", () => {
  const refused = (options: Parameters<typeof chosen>[0], words: string) => assertThrows(() => chosen(options), RangeError, words);
  refused({ targets: ["q_prj"] }, 'targets "q_prj" match no module; the decoder has q_proj');
  refused({ targets: ["embed_tokens"] }, "Name it in modulesToSave");
  refused({ targets: ["qkv"], freezeVision: true }, "leave no module");
  refused({ targets: "(" }, "no regular expression");
  refused({ modulesToSave: ["no_such"] }, 'modulesToSave "no_such" match no module');
  refused({ targets: ["o_proj"], modulesToSave: ["v_proj"] }, "are one matrix here");
  refused({ modulesToSave: ["embed_tokens"] }, "tie_word_embeddings");
  refused({ targets: ["o_proj"], modulesToSave: ["roj"] }, "is among the targets, too");
});

Deno.test("the file's target_modules name exactly the chosen modules, among all that PEFT compares with", () => {
  const said = (options: Parameters<typeof chosen>[0]) =>
    targetNames(config, chooseModules(config, options).targets, options.modulesToSave);
  assertEquals(said({ targets: ["q_proj", "v_proj"] }), ["q_proj", "v_proj"]);
  assertEquals(said({}), ".*language_model\\.layers\\..*\\.(down_proj|gate_proj|k_proj|o_proj|q_proj|up_proj|v_proj)");
  // "2" alone would also match block 2 of the vision tower, which PEFT cannot adapt.
  assertEquals(said({ targets: ["merger.mlp.2"] }), ["mlp.2"]);
  assertEquals(said({ targets: ["layers.1.mlp.up_proj", "o_proj"] }), ["layers.1.mlp.up_proj", "o_proj"]);
});

Deno.test("new adapters follow the seed, change nothing, and have A in +-1 / sqrt(in)", () => {
  using device = openDevice("cpu");
  const made = (seed: number) => {
    using model = VisionLanguageModel.load(mixed.folder, { device, lora: { rank: 4, alpha: 8, targets: ".*", seed } });
    return {
      numbers: peftNumbers(model, ({ tensor }) => tensor),
      logits: logitsOf(model),
      base: model.withoutAdapters(() => logitsOf(model)),
    };
  };
  const [one, again, other] = [made(1), made(1), made(2)];
  assertEquals(one.numbers, again.numbers);
  assertEquals(one.logits, one.base);
  for (const [name, values] of one.numbers) {
    if (name.includes("lora_B")) assert(values.every((x) => x === 0));
    else {
      assert(values.some((x, i) => x !== other.numbers.get(name)![i]), name);
      const bound = 1 / Math.sqrt(values.length / 4), square = values.reduce((sum, x) => sum + x * x, 0) / values.length;
      assert(values.every((x) => Math.abs(x) <= bound) && Math.abs(square / (bound * bound / 3) - 1) < 0.35, `${name}: ${square}`);
    }
  }
});

function logitsOf(model: VisionLanguageModel): Float32Array<ArrayBuffer> {
  using batch = PackedBatch.pack(model, [{ prompt, responses: [response] }], { closing: true });
  using tape = new Tape(model.device, { record: false });
  return model.logits(tape, model.hidden(tape, batch)).tensor.toFloats();
}

for (const dtype of ["f32", "bf16"] as const) {
  const title = `log-probs while sampling are those of the training forward, before and after the adapters change, on a base of ${dtype}`;
  engineTest(title, ({ device }) => assertSamplesAsItTrains(device, dtype), { dtypes: ["f32"], cpuOnly: dtype === "bf16" });
}

async function assertSamplesAsItTrains(device: Device, dtype: "f32" | "bf16"): Promise<void> {
  using model = names.model(device, dtype);
  using engine = littleEngine(model);
  using suppress = suppressionMask(model);
  for (const change of [0, 0.02]) {
    const random = new Random(3);
    for (const { parameter: { tensor } } of model.trained()) {
      const noise = random.normal(tensor.size, change);
      tensor.write(tensor.toFloats().map((x, i) => x + noise[i]!));
    }
    // deno-lint-ignore no-await-in-loop -- one after the other
    const [answers] = await engine.generate([prompt], { n: 3, maxTokens: 10, seed: 5 });
    using batch = PackedBatch.pack(model, [{ prompt, responses: answers!.map(({ tokens }) => tokens) }]);
    using tape = new Tape(device, { record: false });
    const { logprob } = model.logProbs(tape, batch, { suppress });
    assertNear(answers!.flatMap(({ logprobs }) => [...logprobs]), logprob.tensor.toFloats(), { what: "log-probs", tolerance: 1e-5 });
    // deno-lint-ignore no-await-in-loop -- as above
    const [alone] = await engine.generate([prompt], { n: 1, maxTokens: 10, seed: 5 });
    assertEquals(
      [alone![0]!.tokens, alone![0]!.logprobs],
      [answers![0]!.tokens, answers![0]!.logprobs],
      "the bits of an answer depend on nothing beside it",
    );
  }
}

Deno.test("saved adapters load with the same bits; merged, the base has their logits", () => {
  using device = openDevice("cpu");
  using model = names.model(device);
  const folder = temporaryFolder();
  model.save(`${folder}/a`);
  {
    using again = VisionLanguageModel.load(`${folder}/a`, { device });
    assertEquals(again.adapters!.all().length, model.adapters!.all().length);
    again.save(`${folder}/b`);
  }
  const bytes = (name: string) => Deno.readFileSync(`${folder}/${name}`);
  assertSameBytes(bytes("b/adapter_model.safetensors"), bytes("a/adapter_model.safetensors"), "adapters");
  assertSameBytes(bytes("b/adapter_config.json"), bytes("a/adapter_config.json"), "config");
  const said = JSON.parse(Deno.readTextFileSync(`${folder}/a/adapter_config.json`));
  assertEquals([said.r, said.rank_pattern, said.alpha_pattern], [
    3,
    { "model\\.language_model\\.layers\\.0\\.self_attn\\.v_proj": 2 },
    { "model\\.language_model\\.layers\\.0\\.self_attn\\.v_proj": 7 },
  ]);
  mergeAdapters(`${folder}/a`, { out: `${folder}/merged`, device });
  using merged = VisionLanguageModel.load(`${folder}/merged`, { device });
  assertEquals(merged.adapters, undefined);
  assertNear(logitsOf(merged), logitsOf(model), { what: "merged logits", tolerance: 1e-5 });
});

Deno.test("adapters load under the names of transformers 4, too; those of the output matrix are refused", () => {
  using device = openDevice("cpu");
  const folder = temporaryFolder();
  const renamed = (rename: (name: string) => string) => {
    using file = SafetensorsFile.open(`${names.folder}/adapter_model.safetensors`);
    const entries = [...file.tensors].map(([name, { shape, dtype }]) => ({ name: rename(name), dtype, shape, data: file.read(name) }));
    writeSafetensors(`${folder}/adapter_model.safetensors`, entries);
    Deno.copyFileSync(`${names.folder}/adapter_config.json`, `${folder}/adapter_config.json`);
  };
  renamed((name) =>
    name.replace("model.model.visual.", "model.visual.").replace("model.language_model.", "model.").replace("lora_A.", "lora_A.default.")
  );
  {
    using older = VisionLanguageModel.load(folder, { device, base: { folder: names.base } });
    using model = names.model(device);
    assertEquals(logitsOf(older), logitsOf(model));
  }
  const [q, head] = ["model.language_model.layers.0.self_attn.q_proj", "lm_head"];
  renamed((name) => name.replace(q, head));
  assertThrows(() => VisionLanguageModel.load(folder, { device, base: { folder: names.base } }), KedgeError, "lm_head");
});

Deno.test("adapters of another base, or with features that compute something else, are refused", () => {
  using device = openDevice("cpu");
  const folder = temporaryFolder();
  {
    using model = names.model(device);
    model.save(`${folder}/a`);
    using other = VisionLanguageModel.initialise(config, { device, seed: 4 });
    other.save(`${folder}/base`, { from: mixed.folder });
  }
  const load = (path: string, base?: string) => VisionLanguageModel.load(path, { device, ...(base && { base: { folder: base } }) });
  const refused = (run: () => unknown, words: string) => assertThrows(run, KedgeError, words);
  refused(() => load(`${folder}/a`, `${folder}/base`), "is not the one that it was trained on");
  refused(() => load(names.folder), "its base model mixed is no folder here");
  const change = (key: string, value: unknown) => {
    const path = `${folder}/a/adapter_config.json`, json = JSON.parse(Deno.readTextFileSync(path));
    Deno.writeTextFileSync(path, JSON.stringify({ ...json, [key]: value }));
    return json[key];
  };
  for (
    const [key, value, words] of [
      ["peft_type", "IA3", "peft_type"],
      ["use_dora", true, "use_dora"],
      ["bias", "all", "bias"],
      ["init_lora_weights", "pissa", "init_lora_weights"],
      ["lora_alpha", "many", "lora_alpha"],
    ] as const
  ) {
    const before = change(key, value);
    refused(() => load(`${folder}/a`), words);
    change(key, before);
  }
  load(`${folder}/a`)[Symbol.dispose]();
});
