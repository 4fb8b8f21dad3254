import { assert, assertEquals, assertThrows } from "@std/assert";
import { presetConfig, type PresetName, presetOf, presets } from "../../model/config/presets.ts";
import { FAMILIES, familyOf, familyOfFolder } from "../../model/families.ts";
import { parameterSpecs } from "../../model/parameters.ts";
import { withFolder } from "./little_tokenizer.ts";

const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };

Deno.test("each family and each preset has a name of its own, and a model knows its family by it", () => {
  const types = FAMILIES.map(({ modelType }) => modelType), names = FAMILIES.flatMap((family) => Object.keys(family.presets));
  assertEquals([new Set(types).size, new Set(names).size], [types.length, names.length]);
  assertEquals(names, Object.keys(presets));
  for (const family of FAMILIES) {
    for (const name of Object.keys(family.presets)) {
      assertEquals(familyOf(presetConfig(name as PresetName, { tokens, vocabSize: 95 })), family);
    }
  }
  assertEquals(presetOf("Qwen/Qwen2.5-VL-32B-Instruct"), "32b");
  assertThrows(() => familyOf({ modelType: "llama" }), RangeError, 'Cannot use a model of type "llama"');
});

Deno.test("of every family the parameters that the decoder, the loader and the engine name are there", () => {
  for (const { presets, spelling, modelType } of FAMILIES) {
    for (const name of Object.keys(presets)) {
      const config = presetConfig(name as PresetName, { tokens, vocabSize: 95 }), { layers, tied } = config.text;
      const specs = parameterSpecs(config), byName = new Map(specs.map((spec) => [spec.name, spec]));
      const last = ["norm1", "qkv.weight", "out.weight", "norm2", "gateUp.weight", "down.weight"].map((part) =>
        `layers.${layers - 1}.${part}`
      );
      const missing = ["embedding", "norm", ...tied ? [] : ["head"], ...last].filter((each) => !byName.has(each));
      assertEquals(missing, [], `${modelType} ${name}`);
      assertEquals(byName.get("embedding")!.parts.map(({ key }) => key), [spelling.embedding]);
      if (!tied) assertEquals(byName.get("head")!.parts.map(({ key }) => key), [spelling.head]);
      const keys = specs.flatMap(({ parts }) => parts.map(({ key }) => key));
      assertEquals(keys.map(spelling.canonical), keys, "the specs have the canonical spelling");
      for (const prefix of Object.values(spelling.blocks)) assert(keys.some((key) => key.startsWith(`${prefix}0.`)), prefix);
    }
  }
});

Deno.test("a folder's processor is of the family that its config.json names; without one, of the first", () => {
  for (const family of FAMILIES) {
    withFolder({ "config.json": { "model_type": family.modelType } }, (folder) => assertEquals(familyOfFolder(folder), family));
  }
  withFolder({ "tokenizer.json": {} }, (folder) => assertEquals(familyOfFolder(folder), FAMILIES[0]!));
});
