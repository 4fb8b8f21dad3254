import { assertEquals, assertThrows } from "@std/assert";
import { FAMILIES } from "../../model/families.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { ChatTemplate, defaultChatTemplate } from "../../model/processor/chat_template.ts";
import { openModelFolder } from "../../model/folder/checkpoint.ts";
import { readConfig } from "../../model/config/config.ts";
import { initialiseParameters } from "../../model/folder/initialise.ts";
import { newModelFolder } from "../../model/folder/new_model_folder.ts";
import { parameterSpecs } from "../../model/parameters.ts";
import { presetConfig, type PresetName, presets } from "../../model/config/presets.ts";
import { ImageProcessor } from "../../model/processor/image_processor.ts";
import { Tokenizer } from "../../model/processor/tokenizer.ts";
import { runChild } from "../child.ts";
import { ROOT } from "../root.ts";
import { assertSameBytes, exists } from "../files.ts";
import { littleTokenizer, withFolder } from "./little_tokenizer.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads counts as its leak

const QWEN = `${ROOT}/../shared/golden/qwen25_tokenizer`;
const shared = exists(QWEN);
const SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"];
const tokenizer = (names = SPECIAL) => littleTokenizer([], names.map((content, i) => ({ id: 256 + i, content, special: true })));
const PERMISSIONS = ["--allow-read", "--allow-write=/tmp"];

const run = (...args: string[]) => runChild("cli/init_model.ts", { permissions: PERMISSIONS, args });

/** As `withFolder`, for a body that waits. */
async function withFolderAsync(files: Readonly<Record<string, unknown>>, body: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    for (const [name, content] of Object.entries(files)) Deno.writeTextFileSync(`${folder}/${name}`, JSON.stringify(content));
    await body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const json = (path: string) => JSON.parse(Deno.readTextFileSync(path));

Deno.test("init-model makes a folder that loads, with the preset's sizes and the tokenizer's ids", () =>
  withFolderAsync({ "tokenizer.json": tokenizer() }, async (folder) => {
    const out = `${folder}/out`;
    const { code, stdout, stderr } = await run(
      "--preset",
      "tiny",
      "--tokenizer",
      folder,
      "--out",
      out,
      "--seed",
      "5",
      "--scheme",
      "fan-in",
    );
    assertEquals([code, stderr], [0, ""]);
    const config = readConfig(out);
    const tokens = { image: 261, video: 262, visionStart: 259, visionEnd: 260, eos: [258, 256], bos: 256, pad: 256 };
    assertEquals(config, presetConfig("tiny", { tokens, vocabSize: 263 }));
    const count = parameterSpecs(config).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0);
    assertEquals(stdout.includes(`${count.toLocaleString("en")} parameters in f32, vocabulary 263, seed 5`), true, stdout);
    assertEquals(Tokenizer.fromFolder(out).namedTokens.get("eos_token"), "<|im_end|>");
    assertEquals(ChatTemplate.fromFolder(out).source, defaultChatTemplate.trim());
    assertEquals(json(`${out}/preprocessor_config.json`).max_pixels, 12845056);
    using device = CpuDevice.open();
    const { parameters } = openModelFolder(out, { device });
    const expected = initialiseParameters(device, config, { seed: 5, scheme: "fan-in" });
    for (const [name, { tensor }] of Object.entries(expected)) assertSameBytes(parameters[name]!.tensor.toBytes(), tensor.toBytes(), name);
    for (const parameter of [...Object.values(parameters), ...Object.values(expected)]) parameter[Symbol.dispose]();
  }));

Deno.test("init-model explains mistakes, and leaves no files", () =>
  withFolderAsync({ "tokenizer.json": tokenizer(SPECIAL.slice(1, 5)) }, async (folder) => {
    const lacking = await run("--preset", "tiny", "--tokenizer", folder, "--out", `${folder}/out`);
    assertEquals([lacking.code, lacking.stderr.includes("no special token <|image_pad|>, <|video_pad|>;")], [1, true], lacking.stderr);
    const ends = await Promise.all([
      run(),
      run("--preset", "8b", "--tokenizer", folder, "--out", `${folder}/out`),
      run("--preset", "tiny", "--tokenizer", folder, "--out", `${folder}/out`, "--seed=-1"),
      run("--preset", "tiny", "--tokenizer", folder, "--out", `${folder}/out`, "--seed", "-1"),
      run("--preset", "tiny", "--tokenizer", folder, "--out", `${folder}/out`, "--dtype", "f16"),
      run("--preset", "tiny", "--tokenizer", `${folder}/none`, "--out", `${folder}/out`),
      run("--size", "9"),
    ]);
    const words = [
      "missing --preset NAME and --tokenizer DIR and --out DIR",
      "--preset",
      '--seed is "-1", but must be a whole number of at least 0',
      '--seed needs a value; write one that begins with "-" as --seed=-1',
      "--dtype",
      "none",
      '"--size',
    ];
    ends.forEach(({ code, stderr }, i) => assertEquals([code, stderr.includes(words[i]!)], [2, true], stderr));
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["tokenizer.json"]);
    const help = await run("--help");
    assertEquals([help.code, help.stdout.includes("--scheme NAME")], [0, true]);
  }));

Deno.test("files of the tokenizer's folder are copied, and its config is not", () => {
  const own = {
    "tokenizer.json": tokenizer(),
    "tokenizer_config.json": { "eos_token": "<|endoftext|>", "chat_template": "{{ messages }}" },
    "preprocessor_config.json": { "max_pixels": 7 },
    "config.json": { "model_type": "qwen2_5_vl", "hidden_size": 3 },
    "generation_config.json": { temperature: 9 },
  };
  withFolder(own, (folder) => {
    newModelFolder(`${folder}/out`, { preset: "tiny", tokenizer: folder });
    for (const name of ["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"] as const) {
      assertEquals(json(`${folder}/out/${name}`), own[name], name);
    }
    assertEquals(exists(`${folder}/out/chat_template.jinja`), false);
    assertEquals(readConfig(`${folder}/out`).text.hiddenSize, 96);
    assertEquals(json(`${folder}/out/generation_config.json`).temperature, undefined);
  });
});

Deno.test("a new folder of each family has the processor's files of that family, whatever the tokenizer's folder is of", () => {
  const videoType = { "qwen2_5_vl": undefined, "qwen2_vl": undefined, "qwen3_vl": "Qwen3VLVideoProcessor" };
  for (const { modelType, presets, processor } of FAMILIES) {
    const preset = Object.keys(presets).find((name) => name.endsWith("tiny")) as PresetName;
    const other = modelType === "qwen2_5_vl" ? "qwen3_vl" : "qwen2_5_vl";
    const files = {
      "tokenizer.json": tokenizer(),
      "config.json": { "model_type": other },
      "preprocessor_config.json": { "patch_size": 8 },
      "processor_config.json": { "chat_template": "of another family", "image_processor": { "patch_size": 8 } },
    };
    withFolder(files, (folder) => {
      const { vision } = newModelFolder(`${folder}/out`, { preset, tokenizer: folder }), out = `${folder}/out`;
      const images = ImageProcessor.fromFolder(out);
      assertEquals([images.patchSize, images.mergeSize, images.temporalPatchSize], [
        vision.patchSize,
        vision.mergeSize,
        vision.temporalPatchSize,
      ]);
      const video = exists(`${out}/video_preprocessor_config.json`) ? json(`${out}/video_preprocessor_config.json`) : {};
      assertEquals(video.video_processor_type, videoType[modelType as keyof typeof videoType]);
      assertEquals(ChatTemplate.fromFolder(out).source, processor.template.trim());
      assertEquals(exists(`${out}/processor_config.json`), false);
    });
    withFolder({ ...files, "config.json": { "model_type": modelType } }, (folder) => {
      newModelFolder(`${folder}/out`, { preset, tokenizer: folder });
      assertEquals(json(`${folder}/out/preprocessor_config.json`), files["preprocessor_config.json"]);
    });
  }
});

Deno.test("one of the two tokens that end a turn is enough; without any it is an error", () => {
  withFolder({ "tokenizer.json": tokenizer(SPECIAL.filter((name) => name !== "<|im_end|>")) }, (folder) => {
    const { tokens } = newModelFolder(`${folder}/out`, { preset: "tiny", tokenizer: folder });
    assertEquals([tokens.eos, tokens.bos], [[256], 256]);
  });
  withFolder({ "tokenizer.json": tokenizer(SPECIAL.slice(3)) }, (folder) => {
    assertThrows(() => newModelFolder(`${folder}/out`, { preset: "tiny", tokenizer: folder }), KedgeError, "<|im_end|> or <|endoftext|>");
  });
});

Deno.test("a tokenizer larger than a preset's embedding is refused", () => {
  const tokens = { image: 1, video: 2, visionStart: 3, visionEnd: 4, eos: [5], bos: 6, pad: 7 };
  assertEquals(presetConfig("3b", { tokens, vocabSize: 151665 }).text.vocabSize, 151936);
  assertThrows(() => presetConfig("3b", { tokens, vocabSize: 151937 }), RangeError, "151937 tokens, and the embedding 151936 rows");
});

Deno.test("the real presets have as many parameters as the public models", () => {
  const tokens = { image: 1, video: 2, visionStart: 3, visionEnd: 4, eos: [5], bos: 6, pad: 7 };
  const billions = (name: PresetName) => {
    const specs = parameterSpecs(presetConfig(name, { tokens, vocabSize: 0 }));
    return specs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0) / 1e9;
  };
  // "Params" of the safetensors in the hub's model cards.
  const counts = {
    ...{ "3b": 3.75, "7b": 8.29, "32b": 33.5, "72b": 73.4 },
    ...{ "qwen2-2b": 2.21, "qwen2-7b": 8.29, "qwen2-72b": 73.4 },
    ...{ "qwen3-2b": 2.13, "qwen3-4b": 4.44, "qwen3-8b": 8.77, "qwen3-32b": 33.4 },
  };
  for (const [name, count] of Object.entries(counts)) {
    const own = billions(name as PresetName);
    if (!(Math.abs(own / count - 1) < 0.005)) throw new Error(`${name}: ${own}`);
  }
  assertEquals(Object.keys(presets).filter((name) => !/tiny|small/.test(name)), Object.keys(counts));
});

Deno.test({
  ignore: !shared,
  name: `the tokenizer of Qwen2.5, which is tokenizer.json alone, makes a whole folder${shared ? "" : " (skipped: ../shared is not here)"}`,
  fn: () =>
    withFolder({}, (folder) => {
      const { text, tokens } = newModelFolder(`${folder}/out`, { preset: "tiny", tokenizer: QWEN, dtype: "bf16" });
      assertEquals(text.vocabSize, 151665);
      assertEquals(tokens, {
        image: 151655,
        video: 151656,
        visionStart: 151652,
        visionEnd: 151653,
        eos: [151645, 151643],
        bos: 151643,
        pad: 151643,
      });
      assertEquals(Array.from(Deno.readDirSync(`${folder}/out`), ({ name }) => name).sort(), [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
      ]);
    }),
});
