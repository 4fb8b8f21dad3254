import { assertEquals, assertStringIncludes } from "@std/assert";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { readConfig } from "../../model/config/config.ts";
import { Processor } from "../../model/processor/processor.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { runChild } from "../child.ts";
import { assertSameBytes } from "../files.ts";
import { withModel } from "./model.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads counts as a leak

const PERMISSIONS = ["--allow-ffi", "--allow-read", "--allow-write=.cache,/tmp", "--allow-run=c++,g++", "--allow-env=PATH,HOME"];
const run = (...args: string[]) => runChild("cli/export.ts", { permissions: PERMISSIONS, args });

Deno.test("export writes the same weights with tokenizer and processor, and no files of the trainer", () =>
  withModel(async (folder) => {
    const checkpoint = `${folder}/model`, out = `${folder}/out`;
    for (const name of ["trainer.safetensors", "trainer.json", "notes.txt"]) Deno.writeTextFileSync(`${checkpoint}/${name}`, "{}");
    const { code, stdout, stderr } = await run("--checkpoint", checkpoint, "--out", out);
    assertEquals([code, stderr], [0, ""]);
    assertStringIncludes(stdout, "parameters in f32");
    assertEquals(Array.from(Deno.readDirSync(out), ({ name }) => name).sort(), [
      "chat_template.jinja",
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "preprocessor_config.json",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    using device = CpuDevice.open();
    using before = VisionLanguageModel.load(checkpoint, { device });
    using after = VisionLanguageModel.load(out, { device });
    for (const [name, { tensor }] of Object.entries(before.parameters)) {
      assertSameBytes(after.parameters[name]!.tensor.toBytes(), tensor.toBytes(), name);
    }
    Processor.fromFolder(out);
  }));

Deno.test("export rounds to bf16, and back to f32 without a further change", () =>
  withModel(async (folder) => {
    assertEquals((await run("--checkpoint", `${folder}/model`, "--out", `${folder}/half`, "--dtype", "bf16")).code, 0);
    assertEquals((await run("--checkpoint", `${folder}/half`, "--out", `${folder}/full`, "--dtype", "f32")).code, 0);
    assertEquals(["half", "full"].map((name) => readConfig(`${folder}/${name}`).dtype), ["bf16", "f32"]);
    using device = CpuDevice.open();
    using whole = VisionLanguageModel.load(`${folder}/model`, { device });
    using full = VisionLanguageModel.load(`${folder}/full`, { device });
    for (const [name, { tensor }] of Object.entries(whole.parameters)) {
      using half = tensor.cast("bf16");
      using rounded = half.cast("f32");
      assertSameBytes(full.parameters[name]!.tensor.toBytes(), rounded.toBytes(), name);
    }
  }));
