import { assertEquals, assertThrows } from "@std/assert";
import { KedgeError } from "../../ffi/errors.ts";
import { configToJson, type Json, type ModelConfig, parseConfig, readConfig } from "../../model/config/config.ts";
import { presets } from "../../model/config/presets.ts";
import { ROOT } from "../root.ts";

const SHARED = `${ROOT}/../shared`;
const shared = exists(`${SHARED}/golden/qwen2_5_vl`);
const needsShared = { ignore: !shared };
const reason = shared ? "" : " (skipped: ../shared is not here)";

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

const read = (path: string) => JSON.parse(Deno.readTextFileSync(path)) as Json;

/** The contents of the four public config.json files, in their own layout. Keys that no model computes with are omitted. */
function hub(text: Json, vision: Json): Json {
  return {
    architectures: ["Qwen2_5_VLForConditionalGeneration"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
    "vision_token_id": 151654,
    "image_token_id": 151655,
    "video_token_id": 151656,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 128000,
    "model_type": "qwen2_5_vl",
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": false,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.41.2",
    "use_cache": true,
    "use_sliding_window": false,
    "rope_scaling": { "type": "mrope", "mrope_section": [16, 24, 24] },
    ...text,
    "vision_config": {
      "depth": 32,
      "hidden_act": "silu",
      "hidden_size": 1280,
      "num_heads": 16,
      "in_chans": 3,
      "patch_size": 14,
      "spatial_merge_size": 2,
      "spatial_patch_size": 14,
      "window_size": 112,
      "fullatt_block_indexes": [7, 15, 23, 31],
      "tokens_per_second": 2,
      "temporal_patch_size": 2,
      ...vision,
    },
  };
}

const HUB = {
  "3b": hub({
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "max_window_layers": 70,
    "num_attention_heads": 16,
    "num_hidden_layers": 36,
    "num_key_value_heads": 2,
    "tie_word_embeddings": true,
    "vocab_size": 151936,
  }, { "intermediate_size": 3420, "out_hidden_size": 2048 }),
  "7b": hub({
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "max_window_layers": 28,
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
  }, { "intermediate_size": 3420, "out_hidden_size": 3584 }),
  // Saved by a later version: another spelling of the rotary type, and both names of the channels.
  "32b": hub({
    "hidden_size": 5120,
    "intermediate_size": 27648,
    "max_window_layers": 64,
    "num_attention_heads": 40,
    "num_hidden_layers": 64,
    "num_key_value_heads": 8,
    "rope_scaling": { "mrope_section": [16, 24, 24], "rope_type": "default", "type": "default" },
    "transformers_version": "4.49.0",
    "vocab_size": 152064,
  }, { "intermediate_size": 3456, "out_hidden_size": 5120, "in_channels": 3, "model_type": "qwen2_5_vl" }),
  "72b": hub({
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "max_window_layers": 80,
    "num_attention_heads": 64,
    "num_hidden_layers": 80,
    "num_key_value_heads": 8,
    "vocab_size": 152064,
  }, { "intermediate_size": 3456, "out_hidden_size": 8192 }),
} as const;

/** A small config in the flat layout. */
const flat = (): Json => ({
  ...HUB["3b"],
  "hidden_size": 64,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "num_hidden_layers": 2,
  "rope_scaling": { type: "mrope", "mrope_section": [2, 3, 3] },
  "vision_config": {
    ...HUB["3b"]["vision_config"] as Json,
    depth: 3,
    "hidden_size": 32,
    "num_heads": 2,
    "out_hidden_size": 64,
    "fullatt_block_indexes": [1],
  },
});

/** The same in the nested layout. */
function nested(): Json {
  const { "vision_config": vision, "image_token_id": image, "video_token_id": video, ...rest } = flat();
  const { "rope_scaling": rope, "rope_theta": theta, "torch_dtype": dtype, "tie_word_embeddings": tied, "model_type": type, ...text } =
    rest;
  return {
    "model_type": type,
    dtype,
    "tie_word_embeddings": tied,
    "image_token_id": image,
    "video_token_id": video,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
    "text_config": { ...text, "model_type": "qwen2_5_vl_text", "rope_parameters": { ...rope as Json, "rope_theta": theta } },
    "vision_config": vision,
  };
}

function faultsOf(json: unknown): readonly string[] {
  const error = assertThrows(() => parseConfig(json, { path: "here/config.json" }), KedgeError, "here/config.json");
  assertEquals(error.code, "BadCheckpoint");
  const faults = error.details.faults as string[];
  for (const fault of faults) assertEquals(error.message.includes(fault), true, `"${fault}" is not in "${error.message}"`);
  return faults;
}

/** A config with one key changed; `path` with dots. */
function changed(json: Json, path: string, value: unknown): Json {
  const copy = structuredClone(json), keys = path.split(".");
  let section = copy;
  for (const key of keys.slice(0, -1)) section = section[key] as Json;
  section[keys.at(-1)!] = value;
  return copy;
}

for (const [name, json] of Object.entries(HUB)) {
  Deno.test(`the public config of Qwen2.5-VL-${name.toUpperCase()}-Instruct is the preset's`, () => {
    const config = parseConfig(json), preset = presets[name as keyof typeof HUB];
    assertEquals(config.text, preset.text);
    assertEquals(config.vision, preset.vision);
    assertEquals(config.dtype, "bf16");
    const tokens = { image: 151655, video: 151656, visionStart: 151652, visionEnd: 151653, eos: [151645], bos: 151643, pad: undefined };
    assertEquals(config.tokens, tokens);
  });
}

Deno.test({
  ...needsShared,
  name: `the preset small has the sizes of bench/small${reason}`,
  fn: () => {
    const { text, vision } = parseConfig(read(`${SHARED}/bench/small/config.json`));
    assertEquals({ ...text, vocabSize: 0 }, presets.small.text);
    assertEquals(vision, presets.small.vision);
  },
});

Deno.test({
  ...needsShared,
  name: `the golden configs, nested and flat, are the same model but for the tied matrix${reason}`,
  fn: () => {
    const [tied, untied] = ["tied", "untied"].map((name) => readConfig(`${SHARED}/golden/qwen2_5_vl/${name}`)) as [
      ModelConfig,
      ModelConfig,
    ];
    assertEquals([tied.text.tied, untied.text.tied], [true, false]);
    assertEquals({ ...tied, text: { ...tied.text, tied: false } }, untied);
    assertEquals(tied.text.mropeSection, [2, 3, 3]);
    assertEquals([tied.vision.windowSize, tied.vision.fullAttentionBlocks], [56, [1]]);
    assertEquals(tied.tokens, { image: 300, video: 301, visionStart: 302, visionEnd: 303, eos: [304], bos: 304, pad: 305 });
  },
});

Deno.test("both layouts of a config are read alike", () => assertEquals(parseConfig(nested()), parseConfig(flat())));

Deno.test("absent keys take transformers' defaults, and null counts as absent", () => {
  const least = { "model_type": "qwen2_5_vl", "hidden_size": 3584, "num_attention_heads": 28, "num_key_value_heads": 4 };
  const config = parseConfig({ ...least, "rms_norm_eps": null, "rope_scaling": null, "vision_config": { "hidden_size": 1280 } });
  assertEquals(config.text, {
    ...presets["72b"].text,
    hiddenSize: 3584,
    heads: 28,
    kvHeads: 4,
    rmsNormEps: 1e-5,
    maxPositions: 32768,
  });
  assertEquals(config.vision, { ...presets["7b"].vision, tokensPerSecond: 4 });
  assertEquals(config.dtype, "f32");
  assertEquals(parseConfig({ ...least, "num_key_value_heads": null, "vision_config": { "hidden_size": 1280 } }).text.kvHeads, 28);
});

Deno.test("if a file has the decoder's keys twice, text_config counts", () => {
  assertEquals(parseConfig({ ...flat(), ...nested(), "hidden_size": 9999, "vocab_size": 7 }).text.hiddenSize, 64);
});

Deno.test("tie_word_embeddings counts at the top and in text_config, and is false by default", () => {
  const tied = (top: unknown, text: unknown) => {
    const json = changed(changed(nested(), "tie_word_embeddings", top), "text_config.tie_word_embeddings", text);
    return parseConfig(json).text.tied;
  };
  assertEquals([tied(undefined, undefined), tied(true, undefined), tied(false, true), tied(true, false)], [false, true, true, true]);
});

Deno.test("dtype is read under both of its names, with and without torch's prefix", () => {
  const dtype = (json: Json) => parseConfig({ ...flat(), "torch_dtype": undefined, ...json }).dtype;
  assertEquals([dtype({ "torch_dtype": "float16" }), dtype({ dtype: "torch.bfloat16" }), dtype({ dtype: "auto" })], ["f16", "bf16", "f32"]);
});

const WRONG: readonly (readonly [key: string, value: unknown, fault: string])[] = [
  ["hidden_size", 66, "num_attention_heads is 4, which does not divide hidden_size 66"],
  ["hidden_size", "64", 'hidden_size is "64", not a positive integer'],
  ["hidden_size", 72, "num_attention_heads gives heads of 18 elements"],
  ["hidden_size", 1024, "num_attention_heads gives heads of 256 elements"],
  ["num_key_value_heads", 3, "num_key_value_heads is 3, which does not divide num_attention_heads 4"],
  ["num_hidden_layers", 0, "num_hidden_layers is 0, not a positive integer"],
  ["num_hidden_layers", 1e9, "num_hidden_layers is 1000000000, not a positive integer up to 1024"],
  ["num_hidden_layers", -1, "num_hidden_layers is -1, not a positive integer"],
  ["num_hidden_layers", NaN, "num_hidden_layers is null, not a positive integer"],
  ["hidden_size", 1e18, "hidden_size is 1000000000000000000, not a positive integer up to 131072"],
  ["intermediate_size", 2 ** 21, "intermediate_size is 2097152, not a positive integer up to 1048576"],
  ["num_attention_heads", 1e6, "num_attention_heads is 1000000, not a positive integer up to 4096"],
  ["vocab_size", 2 ** 31 - 1, "vocab_size is 2147483647, not a positive integer up to 4194304"],
  ["max_position_embeddings", 2 ** 31 - 1, "max_position_embeddings is 2147483647, not a positive integer up to 4194304"],
  ["rms_norm_eps", "1e999", 'rms_norm_eps is "1e999", not a positive number'],
  ["vision_config.depth", 1e9, "vision_config.depth is 1000000000, not a positive integer up to 1024"],
  ["vision_config.patch_size", [1e9, 1e9], "vision_config.patch_size is [1000000000,1000000000], not a positive integer up to 256"],
  ["vision_config.spatial_merge_size", 1e6, "vision_config.spatial_merge_size is 1000000, not a positive integer up to 64"],
  ["vision_config.window_size", 28e6, "vision_config.window_size is 28000000, not a positive integer up to 65536"],
  ["eos_token_id", 1e18, "eos_token_id is 1000000000000000000, not a token id"],
  ["head_dim", 32, "head_dim is 32: not hidden_size / num_attention_heads, which is 16"],
  ["hidden_act", "gelu", 'hidden_act is "gelu"'],
  ["use_sliding_window", true, "use_sliding_window is true"],
  ["layer_types", ["full_attention", "sliding_attention"], 'layer_types holds "sliding_attention"'],
  ["layer_types", ["full_attention"], "layer_types has 1 entries for 2 layers"],
  ["rms_norm_eps", -1, "rms_norm_eps is -1, not a positive number"],
  ["rope_scaling.mrope_section", [2, 3, 4], "rope_scaling.mrope_section is [2,3,4], which sums to 9; half of a head is 8"],
  ["rope_scaling.mrope_section", [8, 8], "rope_scaling.mrope_section is [8,8], not a list of three counts"],
  ["rope_scaling.type", "yarn", 'rope_scaling.rope_type is "yarn"'],
  ["rope_scaling", "mrope", 'rope_scaling is "mrope", not an object'],
  ["tie_word_embeddings", "yes", 'tie_word_embeddings is "yes", not true or false'],
  ["torch_dtype", "int8", 'torch_dtype is "int8"'],
  ["image_token_id", 151936, "image_token_id is 151936, but vocab_size is 151936"],
  ["image_token_id", -1, "image_token_id is -1, not a token id"],
  ["video_token_id", 151655, "video_token_id is 151655, and so is image_token_id"],
  ["eos_token_id", [151645, 200000], "eos_token_id is 200000, but vocab_size is 151936"],
  ["quantization_config", { bits: 4 }, "quantization_config is there"],
  ["vision_config", [], "vision_config is [], not an object"],
  ["vision_config.num_heads", 5, "vision_config.num_heads is 5, which does not divide hidden_size 32"],
  ["vision_config.num_heads", 16, "vision_config.num_heads gives heads of 2 elements"],
  ["vision_config.window_size", 100, "vision_config.window_size is 100, no multiple of patch_size * spatial_merge_size, which is 28"],
  ["vision_config.out_hidden_size", 32, "vision_config.out_hidden_size is 32, but hidden_size is 64"],
  ["vision_config.fullatt_block_indexes", [1, 3], "vision_config.fullatt_block_indexes holds 3, but depth is 3"],
  ["vision_config.fullatt_block_indexes", [1, 1], "vision_config.fullatt_block_indexes is [1,1], with a block twice"],
  ["vision_config.hidden_act", "quick_gelu", 'vision_config.hidden_act is "quick_gelu"'],
  ["vision_config.in_channels", 1, "vision_config.in_chans is 3: in_channels is 1"],
  ["vision_config.patch_size", [14, 16], "vision_config.patch_size is [14,16]"],
  ["vision_config.rope_parameters", { "rope_theta": 5000 }, "vision_config.rope_parameters.rope_theta is 5000"],
];

Deno.test("a config that does not fit together is refused with the key, one fault for one mistake", () => {
  for (const [key, value, words] of WRONG) {
    const faults = faultsOf(changed(flat(), key, value));
    assertEquals(faults.some((fault) => fault.includes(words)), true, `${key}: ${faults.join("; ")}`);
    // It does not fit to several others then.
    if (key !== "hidden_size") assertEquals(faults.length, 1, `${key}: ${faults.join("; ")}`);
  }
});

Deno.test("in the nested layout a fault names text_config", () => {
  assertEquals(
    faultsOf(changed(nested(), "text_config.num_key_value_heads", 3))[0]!.startsWith("text_config.num_key_value_heads is 3"),
    true,
  );
});

Deno.test("all faults come in one error", () => {
  let json = flat();
  const keys = ["num_key_value_heads", "rms_norm_eps", "vision_config.window_size", "vision_config.out_hidden_size", "image_token_id"];
  for (const key of keys) json = changed(json, key, WRONG.find(([name]) => name === key)![1]);
  const faults = faultsOf(json);
  for (const key of keys) assertEquals(faults.some((fault) => fault.startsWith(key)), true, `${key} of ${faults.join("; ")}`);
});

Deno.test("another kind of model is refused by its model_type, and so is a value that is not an object", () => {
  for (const type of ["qwen3_vl_moe", "qwen3_5", "qwen2_5_omni", "qwen2_5_vl_text", undefined, 7]) {
    assertEquals(faultsOf({ ...flat(), "model_type": type }).length, 1);
    assertThrows(() => parseConfig({ ...flat(), "model_type": type }), KedgeError, "model_type is");
  }
  for (const json of [null, [], "config", 3]) faultsOf(json);
});

Deno.test("eos ids: generation_config's number or list takes precedence over the config's", () => {
  const eos = (generation?: Json, own: unknown = 151645) => parseConfig({ ...flat(), "eos_token_id": own }, { generation }).tokens.eos;
  assertEquals(eos(), [151645]);
  assertEquals(eos({}), [151645]);
  assertEquals(eos({ "eos_token_id": null }), [151645]);
  assertEquals(eos({ "eos_token_id": 7 }), [7]);
  assertEquals(eos({ "eos_token_id": [151645, 151643, 151645] }), [151645, 151643]);
  assertEquals(eos(undefined, null), []);
  assertThrows(() => eos({ "eos_token_id": "7" }), KedgeError, 'generation_config.json eos_token_id is "7"');
});

Deno.test("a folder without a readable config.json is refused with the file's name", () => {
  const folder = Deno.makeTempDirSync();
  try {
    assertThrows(() => readConfig(folder), KedgeError, `${folder}/config.json: there is no such file`);
    Deno.writeTextFileSync(`${folder}/config.json`, "{");
    assertThrows(() => readConfig(folder), KedgeError, `${folder}/config.json`);
    Deno.writeTextFileSync(`${folder}/config.json`, JSON.stringify(flat()));
    Deno.writeTextFileSync(`${folder}/generation_config.json`, "[]");
    assertThrows(() => readConfig(folder), KedgeError, `${folder}/generation_config.json`);
    Deno.writeTextFileSync(`${folder}/generation_config.json`, '{"eos_token_id": [5, 6]}');
    assertEquals(readConfig(folder).tokens.eos, [5, 6]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("a config goes to JSON and back, in the flat layout", () => {
  for (const json of [...Object.values(HUB), flat(), nested()]) {
    const config = parseConfig(json);
    assertEquals(parseConfig(configToJson(config)), config);
    assertEquals("text_config" in configToJson(config), false);
  }
  const odd = { ...parseConfig(flat()), tokens: { ...parseConfig(flat()).tokens, bos: undefined, pad: 7, eos: [] } };
  assertEquals(parseConfig(configToJson(odd)), odd);
});

Deno.test("an unchanged config gives its own file back, unknown keys and all", () => {
  for (const json of [...Object.values(HUB), flat(), nested(), { ...flat(), ...nested(), mine: { a: [1] } }]) {
    assertEquals(configToJson(parseConfig(json), { original: json }), json);
  }
  const without = changed(flat(), "eos_token_id", undefined), generation = { "eos_token_id": [5, 6] };
  assertEquals(configToJson(parseConfig(without, { generation }), { original: without }), without);
});

Deno.test("every changed size is found again, in the original's layout", () => {
  const other: ModelConfig = {
    modelType: "qwen2_5_vl",
    text: {
      hiddenSize: 96,
      intermediateSize: 7,
      layers: 5,
      heads: 12,
      kvHeads: 6,
      headDim: 8,
      vocabSize: 999,
      maxPositions: 77,
      rmsNormEps: 1e-3,
      ropeTheta: 5e3,
      mropeSection: [1, 2, 1],
      tied: false,
    },
    vision: {
      depth: 4,
      hiddenSize: 48,
      intermediateSize: 9,
      heads: 4,
      channels: 1,
      patchSize: 7,
      temporalPatchSize: 1,
      mergeSize: 3,
      windowSize: 42,
      fullAttentionBlocks: [0, 3],
      outHiddenSize: 96,
      tokensPerSecond: 8,
    },
    tokens: { image: 1, video: 2, visionStart: 3, visionEnd: 4, eos: [5], bos: undefined, pad: 9 },
    dtype: "f16",
  };
  const least = { "model_type": "qwen2_5_vl", "hidden_size": 3584, "num_attention_heads": 28, "num_key_value_heads": 4 };
  const originals = [flat(), nested(), { ...flat(), ...nested() }, { ...least, "vision_config": { "hidden_size": 1280 } }];
  for (
    const original of [...originals, { ...nested(), "text_config": { ...nested()["text_config"] as Json, "tie_word_embeddings": true } }]
  ) {
    const json = configToJson(other, { original });
    assertEquals(parseConfig(json, { generation: { "eos_token_id": [5] } }), other);
    assertEquals("text_config" in json, "text_config" in original);
  }
});
