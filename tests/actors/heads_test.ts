// Attention heads that a run chooses by a rule, and scores other than the connectivity, in short runs.
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import "sharp";
import { configSchema, connectivityOf } from "../../actors/config/schema.ts";
import { Lines } from "../../actors/run/lines.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { assertSameBytes } from "../files.ts";
import { littleConfig, littleRun, logged, withRunDir } from "./little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

const RULE = { rule: "spread", keep: 3, every: 2, prompts: 1 };
const SETS = ["sft=null", "logging.rolloutSamples=12", "trainer.maxSteps=4", "trainer.saveFreq=0", "data.classes=./classes_by_place.ts"];

Deno.test("heads are chosen before the first step and then now and then, and a resumed run chooses the same and has the same bits", async () => {
  await withRunDir(async (folder) => {
    const sets = [...SETS, `atrl.heads=${JSON.stringify(RULE)}`, "atrl.score=connectivity-entropy", "optim.lr=0.01"];
    const notes: string[] = [], parted = littleConfig(folder, [...sets, "name=parted"]);
    await littleRun(littleConfig(folder, [...sets, "name=whole"]), {
      onEvent: (event) => {
        if (event.kind === "note") notes.push(event.text);
      },
    });
    // It stops after step 2 or 3, so that the heads of the next step come from the checkpoint.
    const stopped = await littleRun(parted, {
      onEvent: (event, trainer) => {
        if (event.kind === "metrics" && event.line["step"] === 2) void trainer.peer.request(() => ({ type: "stop" }));
      },
    });
    assert(stopped.step === 2 || stopped.step === 3, `stopped after step ${stopped.step}`);
    assertEquals((await littleRun(parted)).step, 4);
    const [whole, again] = [`${folder}/whole`, `${folder}/parted`], lines = logged(whole).filter((line) => "actor/loss" in line);
    assertEquals(lines.map((line) => "atrl/heads" in line), [true, true, false, true]); // the first choice, then steps 2 and 4
    for (const line of lines.filter((line) => "atrl/heads" in line)) {
      assertEquals([line["atrl/heads"], Object.keys(line).filter((key) => key.startsWith("atrl_heads/")).length], [3, 3]);
    }
    assertEquals(lines[0]!["atrl/heads_changed"], 3);
    assert(notes.some((text) => text.startsWith("Attention heads by spread, as [layer, head]: [")), notes.join("\n"));
    assertEquals(logged(again), logged(whole));
    assertSameBytes(Deno.readFileSync(`${again}/rollouts.jsonl`), Deno.readFileSync(`${whole}/rollouts.jsonl`), "rollouts");
    const weights = (run: string) => Deno.readFileSync(`${run}/checkpoints/step-4/model.safetensors`);
    assertSameBytes(weights(again), weights(whole), "weights");
    // The answers of step 1 are measured by the heads of the first choice: the same heads as a list give the same rollouts.
    const heads = Object.keys(lines[0]!).filter((key) => key.startsWith("atrl_heads/")).map((key) => key.slice(11).split(".").map(Number));
    const listed = [...SETS, "name=listed", `atrl.heads=${JSON.stringify(heads)}`, "atrl.score=connectivity-entropy", "trainer.maxSteps=1"];
    await littleRun(littleConfig(folder, listed));
    const first = (run: string) => new Lines(`${run}/rollouts.jsonl`).read().filter((line) => line["step"] === 1) as unknown as Answer[];
    const numbers = (answers: Answer[]) => answers.map(({ connectivity, scores }) => [connectivity, scores]);
    assertEquals(numbers(first(`${folder}/listed`)), numbers(first(whole)));
    for (const { scores, connectivity, entropies } of first(whole)) {
      assertEquals(scores, connectivity.map((c, t) => Math.fround(c * Math.max(0, entropies[t]!))));
    }
    assert(Number.isFinite(lines[0]!["classes/auc_score"]));
  });
});

Deno.test("a run that measures both rows is the mean of those that measure one, and resumes with the same bits", async () => {
  await withRunDir(async (folder) => {
    const first = async (name: string, ...more: string[]) => {
      await littleRun(littleConfig(folder, [...SETS, ...more, `name=${name}`]));
      return new Lines(`${folder}/${name}/rollouts.jsonl`).read().filter((line) => line["step"] === 1) as unknown as Answer[];
    };
    const rows = (await first("predict", "trainer.maxSteps=1")).map(({ connectivity }) => connectivity);
    const own = (await first("self", "atrl.row=self", "trainer.maxSteps=1")).map(({ connectivity }) => connectivity);
    const both = (await first("both", "atrl.row=both", "trainer.maxSteps=1")).map(({ connectivity }) => connectivity);
    both.forEach((answer, i) =>
      answer.forEach((c, t) => assertAlmostEquals(c, (rows[i]![t]! + own[i]![t]!) / 2, 1e-7, `token ${t} of answer ${i}`))
    );

    const edges = ["atrl.threshold=0.05", "atrl.neighbourRule=mutual", "atrl.contrast=1", "atrl.debias=position"];
    const sets = ["atrl.row=both", `atrl.heads=${JSON.stringify(RULE)}`, ...edges, "optim.lr=0.01"];
    await first("whole", ...sets);
    const parted = littleConfig(folder, [...SETS, ...sets, "name=parted"]);
    const stopped = await littleRun(parted, {
      onEvent: (event, trainer) => {
        if (event.kind === "metrics" && event.line["step"] === 2) void trainer.peer.request(() => ({ type: "stop" }));
      },
    });
    assert(stopped.step === 2 || stopped.step === 3, `stopped after step ${stopped.step}`);
    assertEquals((await littleRun(parted)).step, 4);
    const [whole, again] = [`${folder}/whole`, `${folder}/parted`];
    assertEquals(logged(again), logged(whole));
    assertSameBytes(Deno.readFileSync(`${again}/rollouts.jsonl`), Deno.readFileSync(`${whole}/rollouts.jsonl`), "rollouts");
    for (const line of logged(whole).filter((line) => "actor/loss" in line)) {
      for (const name of ["atrl/connectivity_ratio", "atrl/anchor_purity", "classes/auc_score"]) assert(Number.isFinite(line[name]), name);
    }
  });
});

interface Answer {
  readonly connectivity: number[];
  readonly entropies: number[];
  readonly scores: number[];
}

Deno.test("a rule for heads has defaults, is refused where it is wrong, and leaves all heads to who asks without a run", () => {
  const { heads } = configSchema.parse({ atrl: { heads: { rule: "sharpness" } } }).atrl;
  assertEquals(heads, { rule: "sharpness", keep: 1, every: 20, prompts: 2 });
  assertEquals(connectivityOf(configSchema.parse({ atrl: { heads: { rule: "sharpness" } } })).heads, "all");
  assertEquals(connectivityOf(configSchema.parse({ atrl: { heads: [[0, 1]] } })).heads, [[0, 1]]);
  for (const heads of [{ rule: "luck" }, { rule: "spread", keep: 0 }, [], [[0]], [[0, -1]]]) {
    assertThrows(() => configSchema.parse({ atrl: { heads: heads as unknown as "all" } }));
  }
});
