import { assertEquals, assertStringIncludes } from "@std/assert";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { runChild } from "../child.ts";
import { assertSameBytes } from "../files.ts";
import { MODEL_PERMISSIONS, withModel } from "./model.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads counts as a leak

const run = (command: string, ...args: string[]) => runChild(`cli/${command}.ts`, { permissions: MODEL_PERMISSIONS, args });

Deno.test("adapters are exported, merged, and evaluated as the model that they make of their base, wherever that is", () =>
  withModel(async (folder) => {
    const adapter = `${folder}/checkpoint`;
    {
      using device = CpuDevice.open();
      using model = VisionLanguageModel.load(`${folder}/model`, { device, lora: { rank: 2, alpha: 8 } });
      for (const { modules } of model.adapters!.all()) {
        for (const { b: { tensor } } of modules) tensor.write(Float32Array.from({ length: tensor.size }, (_, i) => 0.3 * Math.sin(i)));
      }
      model.save(adapter, { from: `${folder}/model` });
    }
    for (const name of ["trainer.safetensors", "trainer.json"]) Deno.writeTextFileSync(`${adapter}/${name}`, "{}");
    const [copied, merged] = await Promise.all([
      run("export", "--checkpoint", adapter, "--out", `${folder}/adapter`),
      run("export", "--checkpoint", adapter, "--out", `${folder}/merged`, "--merge"),
    ]);
    assertEquals([copied.code, copied.stderr, merged.code, merged.stderr], [0, "", 0, ""]);
    assertStringIncludes(merged.stdout, "parameters in f32");
    assertEquals(Array.from(Deno.readDirSync(`${folder}/adapter`), ({ name }) => name).sort(), [
      "adapter_config.json",
      "adapter_model.safetensors",
      "chat_template.jinja",
      "kedge_base.json",
      "preprocessor_config.json",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    const bytes = (name: string) => Deno.readFileSync(`${folder}/${name}/adapter_model.safetensors`);
    assertSameBytes(bytes("adapter"), bytes("checkpoint"), "adapters");
    const asked = ["--data", "board", "--limit", "2", "--max-tokens", "6"];
    const evaluate = (name: string, ...more: string[]) =>
      run("eval", "--model", `${folder}/${name}`, ...asked, "--predictions", `${folder}/${name}.jsonl`, ...more);
    Deno.renameSync(`${folder}/model`, `${folder}/moved`);
    const lost = await evaluate("adapter");
    assertEquals(lost.code, 1);
    assertStringIncludes(lost.stderr, "is no folder here");
    const results = await Promise.all(["moved", "merged"].map((name) => evaluate(name)));
    const found = await evaluate("adapter", "--base", `${folder}/moved`);
    assertEquals([...results, found].map(({ code }) => code), [0, 0, 0], found.stderr);
    const answers = (name: string) =>
      Deno.readTextFileSync(`${folder}/${name}.jsonl`).trim().split("\n").map((line) => JSON.parse(line).response as string);
    assertEquals(answers("adapter"), answers("merged"));
    assertEquals(answers("adapter").join() === answers("moved").join(), false, "the adapters change the answers");
    const wrong = await run("export", "--checkpoint", `${folder}/merged`, "--out", `${folder}/again`, "--merge");
    assertEquals(wrong.code, 2);
    assertStringIncludes(wrong.stderr, "--merge applies to adapters");
  }));
