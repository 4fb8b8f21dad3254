import { assert, assertEquals, assertRejects } from "@std/assert";
import "sharp";
import { modelFolder } from "../../actors/run/model_folder.ts";
import { Lines } from "../../actors/run/lines.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { assertSameBytes } from "../files.ts";
import { littleConfig, littleRun, logged, type TestTrainer, withRunDir } from "./little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

const LORA = ['model.lora={"rank":4,"alpha":8,"modulesToSave":["input_layernorm"]}', "optim.lr=1e-2"];
const adapter = (run: string, step: number) => Deno.readFileSync(`${run}/checkpoints/step-${step}/adapter_model.safetensors`);

Deno.test("a run of LoRA resumes to the bit; its divergence from the base is exactly 0 at first, and needs no second model", async () => {
  await withRunDir(async (folder) => {
    const kl = ['algorithm.kl={"kind":"full","coefficient":0.1}', "sft.steps=0", "batch.microTokens=64"], seen = new Set<string>();
    const short = [...LORA, ...kl, "trainer.maxSteps=3", "trainer.saveFreq=1"];
    await littleRun(littleConfig(folder, [...short, "name=whole"]), {
      onEvent: (_, trainer: TestTrainer) => {
        const status = trainer.peer.request<"status">(() => ({ type: "status" }));
        void status.then(({ accounts }) => Object.keys(accounts).forEach((name) => seen.add(name)), () => {});
      },
    });
    const [first, second] = logged(`${folder}/whole`).filter((line) => "actor/kl_loss" in line);
    assertEquals(first!["actor/kl_loss"], 0);
    assert(second!["actor/kl_loss"] as number > 1e-6, `${second!["actor/kl_loss"]}`);
    assert(seen.has("policy") && !seen.has("reference"), [...seen].join());
    const parted = littleConfig(folder, [...short, "name=parted"]);
    const stopped = await littleRun(parted, {
      onEvent: (event, trainer) => {
        if (event.kind === "metrics" && event.line["step"] === 1) void trainer.peer.request(() => ({ type: "stop" }));
      },
    });
    assert(stopped.step < 3, `it stopped at ${stopped.step}`);
    assertEquals((await littleRun(parted)).step, 3);
    assertEquals(logged(`${folder}/parted`), logged(`${folder}/whole`));
    assertSameBytes(adapter(`${folder}/parted`, 3), adapter(`${folder}/whole`, 3), "adapters");
    assert(adapter(`${folder}/whole`, 3).some((byte, i) => byte !== adapter(`${folder}/whole`, 1)[i]), "the updates change something");
    const names = Array.from(Deno.readDirSync(`${folder}/whole/checkpoints/step-3`), ({ name }) => name);
    assertEquals(names.filter((name) => /^model|^config/.test(name)), [], "the base is not copied");
    const [line] = new Lines(`${folder}/whole/metrics.jsonl`).read().filter((line) => "perf/trained_parameters" in line);
    using device = CpuDevice.open();
    using model = VisionLanguageModel.load(`${folder}/whole/checkpoints/step-3`, { device });
    assertEquals(line!["perf/trained_parameters"], model.trained().reduce((sum, { parameter: { tensor } }) => sum + tensor.size, 0));
  });
});

Deno.test("a warm start trains adapters, and a run begins with a folder of adapters and trains them further", async () => {
  await withRunDir(async (folder) => {
    const kl = 'algorithm.kl={"kind":"k3","coefficient":0.1}';
    await littleRun(littleConfig(folder, [...LORA, kl, "name=first", "trainer.maxSteps=1"]));
    const [line] = logged(`${folder}/first`).filter((line) => "actor/kl_loss" in line);
    assert(line!["actor/kl_loss"] as number > 0, "the warm start has led away from the base");
    const path = `${folder}/first/checkpoints/step-1`,
      further = ["name=further", "trainer.maxSteps=1", "sft.steps=0", `model.path=${path}`];
    await littleRun(littleConfig(folder, further));
    assertSameBytes(adapter(`${folder}/further`, 0), adapter(`${folder}/first`, 1), "the adapters that it begins with");
    assert(adapter(`${folder}/further`, 1).some((byte, i) => byte !== adapter(`${folder}/further`, 0)[i]));
    assertEquals(modelFolder(`${folder}/further`, path), `${folder}/first/initial`, "prompts are made with the base's files");
    await assertRejects(
      () => littleRun(littleConfig(folder, [...LORA, "name=twice", `model.path=${path}`])),
      RangeError,
      "set model.lora to null",
    );
  });
});
