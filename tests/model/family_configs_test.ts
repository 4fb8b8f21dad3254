import { assertEquals, assertThrows } from "@std/assert";
import { KedgeError } from "../../ffi/errors.ts";
import { configToJson, type Json, type ModelConfig, parseConfig } from "../../model/config/config.ts";
import { type PresetName, presetOf, presets } from "../../model/config/presets.ts";
import { familyOf } from "../../model/families.ts";

const MARKS = { "vision_start_token_id": 151652, "vision_end_token_id": 151653, "image_token_id": 151655, "video_token_id": 151656 };

/** The contents of Qwen2-VL's public config.json files, in their own layout. Keys that no model computes with are omitted. */
function qwen2(text: Json, width: number): Json {
  return {
    ...{ architectures: ["Qwen2VLForConditionalGeneration"], "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645 },
    ...{ ...MARKS, "vision_token_id": 151654, "hidden_act": "silu", "initializer_range": 0.02, "max_position_embeddings": 32768 },
    ...{ "model_type": "qwen2_vl", "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768, "use_sliding_window": false },
    ...{ "torch_dtype": "bfloat16", "use_cache": true, "rope_scaling": { "type": "mrope", "mrope_section": [16, 24, 24] } },
    ...text,
    "vision_config": {
      ...{ "depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16, "in_chans": 3, "hidden_size": width, "patch_size": 14 },
      ...{ "spatial_merge_size": 2, "spatial_patch_size": 14, "temporal_patch_size": 2 },
    },
  };
}

/** The same of Qwen3-VL's. */
function qwen3(text: Json, vision: Json): Json {
  return {
    ...{ architectures: ["Qwen3VLForConditionalGeneration"], ...MARKS, "model_type": "qwen3_vl" },
    "text_config": {
      ...{ "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643, "dtype": "bfloat16", "eos_token_id": 151645 },
      ...{ "head_dim": 128, "hidden_act": "silu", "initializer_range": 0.02, "max_position_embeddings": 262144, "rms_norm_eps": 1e-06 },
      ...{ "model_type": "qwen3_vl_text", "num_key_value_heads": 8, "rope_theta": 5000000, "use_cache": true, "vocab_size": 151936 },
      "rope_scaling": { "mrope_interleaved": true, "mrope_section": [24, 20, 20], "rope_type": "default" },
      ...text,
    },
    "tie_word_embeddings": text["tie_word_embeddings"] ?? false,
    "transformers_version": "4.57.0.dev0",
    "vision_config": {
      ...{ "hidden_act": "gelu_pytorch_tanh", "in_channels": 3, "initializer_range": 0.02, "model_type": "qwen3_vl", "num_heads": 16 },
      ...{ "num_position_embeddings": 2304, "out_hidden_size": text["hidden_size"], "patch_size": 16 },
      ...{ "spatial_merge_size": 2, "temporal_patch_size": 2 },
      ...vision,
    },
  };
}

const decoder = (hiddenSize: number, intermediateSize: number, layers: number, heads: number): Json => ({
  ...{ "hidden_size": hiddenSize, "intermediate_size": intermediateSize, "num_hidden_layers": layers, "num_attention_heads": heads },
});
const SMALL = { depth: 24, "hidden_size": 1024, "intermediate_size": 4096, "deepstack_visual_indexes": [5, 11, 17] };
const LARGE = { depth: 27, "hidden_size": 1152, "intermediate_size": 4304, "deepstack_visual_indexes": [8, 16, 24] };
const TIED = { "tie_word_embeddings": true };
const heads2 = (kvHeads: number, vocab: number) => ({ "num_key_value_heads": kvHeads, "vocab_size": vocab });

/** By preset. */
const HUB: Readonly<Partial<Record<PresetName, { json: Json; repo: string }>>> = {
  "qwen2-2b": {
    json: qwen2({ ...decoder(1536, 8960, 28, 12), ...heads2(2, 151936), ...TIED }, 1536),
    repo: "Qwen2-VL-2B-Instruct",
  },
  "qwen2-7b": {
    json: qwen2({ ...decoder(3584, 18944, 28, 28), ...heads2(4, 152064) }, 3584),
    repo: "Qwen2-VL-7B-Instruct",
  },
  "qwen2-72b": { json: qwen2({ ...decoder(8192, 29568, 80, 64), ...heads2(8, 152064) }, 8192), repo: "Qwen2-VL-72B" },
  "qwen3-2b": { json: qwen3({ ...decoder(2048, 6144, 28, 16), ...TIED }, SMALL), repo: "Qwen3-VL-2B-Instruct" },
  "qwen3-4b": { json: qwen3({ ...decoder(2560, 9728, 36, 32), ...TIED }, SMALL), repo: "Qwen3-VL-4B-Thinking" },
  "qwen3-8b": { json: qwen3(decoder(4096, 12288, 36, 32), LARGE), repo: "Qwen3-VL-8B-Instruct" },
  "qwen3-32b": { json: qwen3(decoder(5120, 25600, 64, 64), LARGE), repo: "Qwen3-VL-32B-Thinking" },
};

for (const [name, { json, repo }] of Object.entries(HUB)) {
  Deno.test(`the public config of ${repo} is the preset's`, () => {
    const config = parseConfig(json), preset = presets[name as PresetName];
    assertEquals(config.text, preset.text);
    assertEquals(config.vision, preset.vision);
    assertEquals([config.dtype, presetOf(`Qwen/${repo}`), familyOf(config).modelType], ["bf16", name, json["model_type"]]);
  });
}

Deno.test("a model of the hub that is quantised, mixed of experts or of another kind has no preset", () => {
  const others = [
    "Qwen3-VL-8B-Instruct-FP8",
    "Qwen3-VL-30B-A3B-Instruct",
    "Qwen3-VL-8B",
    "Qwen2-VL-7B-Instruct-AWQ",
    "Qwen2.5-VL-3B-Instruct-AWQ",
  ];
  for (const name of others) assertEquals(presetOf(`Qwen/${name}`), undefined, name);
});

const READ = "Kedge reads qwen2_5_vl (Qwen2.5-VL 3B, 7B, 32B and 72B), qwen2_vl (Qwen2-VL 2B, 7B and 72B) and qwen3_vl " +
  "(Qwen3-VL 2B, 4B, 8B and 32B, dense)";

Deno.test("a model of another type is refused in one sentence with the type and what is read", () => {
  for (const type of ["qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "qwen2_5_omni", "llama"]) {
    const json = { ...HUB["qwen3-8b"]!.json, "model_type": type, "quantization_config": {} };
    const { message } = assertThrows(() => parseConfig(json), KedgeError);
    assertEquals(message, `Cannot read config.json: model_type is "${type}", and ${READ}`);
  }
});

Deno.test("a quantised folder is refused in one sentence with the type, the method and what is read", () => {
  const json = { ...HUB["qwen2-2b"]!.json, "quantization_config": { bits: 4, "quant_method": "awq" } };
  const { message } = assertThrows(() => parseConfig(json), KedgeError);
  const words = 'quantization_config is there: this qwen2_vl is quantised ("awq"); take the folder that is not';
  assertEquals(message, `Cannot read config.json: ${words}: ${READ}, with weights of f32, bf16 or f16`);
});

/** Small configs, and the same in the layouts that transformers 5 saves. */
const small2 = (): Json => {
  const json = qwen2(
    { ...decoder(64, 160, 2, 4), ...heads2(2, 151936), "rope_scaling": { type: "mrope", "mrope_section": [2, 3, 3] } },
    64,
  );
  return { ...json, "vision_config": { ...json["vision_config"] as Json, depth: 2, "embed_dim": 32, "num_heads": 2 } };
};
function nested2(): Json {
  const { "vision_config": vision, "rope_scaling": rope, "rope_theta": theta, "torch_dtype": dtype, "model_type": type, ...text } =
    small2();
  const { ...marks } = MARKS;
  for (const key of Object.keys(MARKS)) delete text[key];
  return {
    ...{ "model_type": type, dtype, "tie_word_embeddings": false, ...marks },
    "text_config": { ...text, "model_type": "qwen2_vl_text", "rope_parameters": { ...rope as Json, "rope_theta": theta } },
    "vision_config": { ...vision as Json, "rope_parameters": { "rope_theta": 10000.0, "rope_type": "axial" } },
  };
}
const small3 = (): Json =>
  qwen3(
    { ...decoder(48, 160, 2, 4), "head_dim": 32, "num_key_value_heads": 2, "rope_scaling": { "mrope_section": [6, 5, 5] } },
    { depth: 3, "hidden_size": 32, "num_heads": 2, "intermediate_size": 40, "deepstack_visual_indexes": [2, 0] },
  );
const nested3 = (): Json => {
  const json = small3(), { "rope_scaling": rope, "rope_theta": theta, ...text } = json["text_config"] as Json;
  return { ...json, dtype: "bfloat16", "text_config": { ...text, "rope_parameters": { ...rope as Json, "rope_theta": theta } } };
};
const SMALLS = [small2, nested2, small3, nested3].map((json) => json());

Deno.test("both layouts of a family's config are read alike", () => {
  assertEquals(parseConfig(nested2()), parseConfig(small2()));
  assertEquals(parseConfig(nested3()), parseConfig(small3()));
});

Deno.test("absent keys take transformers' defaults", () => {
  const two = parseConfig({ "model_type": "qwen2_vl", "vision_config": { "hidden_size": 8192 } });
  assertEquals(two.text, { ...presets["qwen2-72b"].text, rmsNormEps: 1e-5 });
  assertEquals(two.vision, presets["qwen2-72b"].vision);
  const three = parseConfig({ "model_type": "qwen3_vl", "text_config": { "hidden_size": 3584 } });
  const { text } = presets["qwen3-8b"], others = { hiddenSize: 3584, intermediateSize: 22016, layers: 32, kvHeads: 32 };
  assertEquals(three.text, { ...text, ...others, ropeTheta: 5e5, maxPositions: 128000 });
  assertEquals(three.vision, { ...presets["qwen3-8b"].vision, outHiddenSize: 3584 });
});

Deno.test("a config goes to JSON and back, and an unchanged one gives its own file back", () => {
  for (const json of [...Object.values(HUB).map(({ json }) => json), ...SMALLS]) {
    const config = parseConfig(json);
    assertEquals(parseConfig(configToJson(config)), config);
    assertEquals(configToJson(config, { original: json }), json);
  }
});

const OTHER: ModelConfig = {
  modelType: "qwen2_vl",
  text: {
    ...{ hiddenSize: 96, intermediateSize: 7, layers: 5, heads: 12, kvHeads: 6, headDim: 8, vocabSize: 999, maxPositions: 77 },
    ...{ rmsNormEps: 1e-3, ropeTheta: 5e3, mropeSection: [1, 2, 1], tied: true },
  },
  vision: {
    ...{ depth: 4, hiddenSize: 48, intermediateSize: 96, heads: 4, channels: 1, patchSize: 7, temporalPatchSize: 1, mergeSize: 3 },
    outHiddenSize: 96,
  },
  tokens: { image: 1, video: 2, visionStart: 3, visionEnd: 4, eos: [5], bos: undefined, pad: 9 },
  dtype: "f16",
};
const OTHER3: ModelConfig = {
  ...OTHER,
  modelType: "qwen3_vl",
  text: { ...OTHER.text, headDim: 64, attentionBias: true },
  vision: { ...OTHER.vision, intermediateSize: 50, positionEmbeddings: 49, deepstackBlocks: [3, 1] },
};

Deno.test("every changed size is found again, in the original's layout", () => {
  for (const [i, original] of [...SMALLS, { "model_type": "qwen3_vl", "text_config": { "hidden_size": 3584 } }].entries()) {
    const other = i < 2 ? OTHER : OTHER3, json = configToJson(other, { original });
    assertEquals(parseConfig(json, { generation: { "eos_token_id": [5] } }), other);
    assertEquals(parseConfig(configToJson(other)), other);
    assertEquals("text_config" in json, "text_config" in original);
  }
});

Deno.test("a config is not written over that of another family", () => {
  const words = "Cannot write the config of a qwen2_vl over that of a qwen3_vl";
  assertThrows(() => configToJson(parseConfig(small2()), { original: small3() }), RangeError, words);
  assertThrows(() => configToJson(parseConfig(small2()), { original: { "model_type": "llama" } }), KedgeError, 'model_type is "llama"');
});

Deno.test("a tower of Qwen2-VL whose MLP is no multiple of its width cannot be written", () => {
  const config = { ...OTHER, vision: { ...OTHER.vision, intermediateSize: 100 } };
  assertThrows(() => configToJson(config), RangeError, "MLP of 100 is no multiple of its width 48");
});

/** A config with one key changed; `path` with dots. */
function changed(json: Json, path: string, value: unknown): Json {
  const copy = structuredClone(json), keys = path.split(".");
  let section = copy;
  for (const key of keys.slice(0, -1)) section = section[key] as Json;
  section[keys.at(-1)!] = value;
  return copy;
}

const WRONG: readonly (readonly [json: () => Json, path: string, value: unknown, fault: string])[] = [
  [small2, "head_dim", 32, "head_dim is 32: not hidden_size / num_attention_heads, which is 16"],
  [small2, "vision_config.hidden_act", "silu", 'vision_config.hidden_act is "silu": only "quick_gelu" is known'],
  [small2, "vision_config.embed_dim", 36, "vision_config.num_heads gives heads of 18 elements"],
  [small2, "vision_config.embed_dim", 33, "vision_config.num_heads is 2, which does not divide embed_dim 33"],
  [small2, "vision_config.hidden_size", 32, "vision_config.hidden_size is 32, but hidden_size is 64"],
  [small2, "vision_config.mlp_ratio", 2.5, "vision_config.mlp_ratio is 2.5, not a positive integer up to 64"],
  [small2, "rope_scaling.mrope_section", [2, 3, 4], "rope_scaling.mrope_section is [2,3,4], which sums to 9; half of a head is 8"],
  [small3, "text_config.head_dim", 130, "text_config.head_dim is 130; it must be a multiple of 4, at most 128"],
  [small3, "text_config.num_key_value_heads", 3, "text_config.num_key_value_heads is 3, which does not divide num_attention_heads 4"],
  [small3, "text_config.attention_bias", "yes", 'text_config.attention_bias is "yes", not true or false'],
  [small3, "text_config.rope_scaling.mrope_interleaved", false, "text_config.rope_scaling.mrope_interleaved is false: only interleaved"],
  [small3, "text_config.rope_scaling.rope_type", "yarn", 'text_config.rope_scaling.rope_type is "yarn"'],
  [small3, "vision_config.hidden_act", "gelu", 'vision_config.hidden_act is "gelu": only "gelu_pytorch_tanh" is known'],
  [small3, "vision_config.num_position_embeddings", 0, "vision_config.num_position_embeddings is 0, not a positive integer"],
  [small3, "vision_config.deepstack_visual_indexes", [1, 3], "vision_config.deepstack_visual_indexes holds 3, but depth is 3"],
  [small3, "vision_config.deepstack_visual_indexes", [1, 1], "vision_config.deepstack_visual_indexes is [1,1], with a block twice"],
  [small3, "vision_config.out_hidden_size", 32, "vision_config.out_hidden_size is 32, but text_config.hidden_size is 48"],
];

Deno.test("a config that does not fit together is refused with the key, one fault for one mistake", () => {
  for (const [json, path, value, words] of WRONG) {
    const error = assertThrows(() => parseConfig(changed(json(), path, value)), KedgeError), faults = error.details.faults as string[];
    assertEquals(faults.length, 1, `${path}: ${faults.join("; ")}`);
    assertEquals(faults[0]!.startsWith(words), true, faults[0]);
  }
});
