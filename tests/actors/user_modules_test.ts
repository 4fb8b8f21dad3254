// Users' modules in the place of the credit and of the loss: in a short run of the built-in task.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import "sharp";
import { configSchema } from "../../actors/config/schema.ts";
import { Lines } from "../../actors/run/lines.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { assertSameBytes } from "../files.ts";
import { littleConfig, littleRun, logged, withRunDir } from "./little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

const SHORT = ["trainer.maxSteps=2", "trainer.saveFreq=0", "batch.globalBatchSize=2"];
const EXAMPLES = "../../examples"; // from tests/actors, which is the base of the paths of small runs
const weights = (run: string) => Deno.readFileSync(`${run}/checkpoints/step-2/model.safetensors`);
const rollouts = (run: string) => new Lines(`${run}/rollouts.jsonl`).read() as unknown as { weights: number[] }[];
/** Returns the numbers of the steps, without the entries about modules. */
const numbers = (run: string) =>
  logged(run).filter((line) => "actor/loss" in line).map((line) =>
    Object.fromEntries(Object.entries(line).filter(([, value]) => typeof value === "number")) as Record<string, number>
  );

Deno.test("modules that restate the built-in credit and loss train as these do", async () => {
  await withRunDir(async (folder) => {
    await littleRun(littleConfig(folder, [...SHORT, "name=built-in"]));
    await littleRun(littleConfig(folder, [...SHORT, "name=credit", "algorithm.credit=./restated_credit.ts"]));
    await littleRun(littleConfig(folder, [...SHORT, "name=loss", "algorithm.loss=./restated_loss.ts"]));
    const [own, credit, loss] = ["built-in", "credit", "loss"].map((name) => `${folder}/${name}`) as [string, string, string];
    assert(rollouts(own).some((answer) => answer.weights.some((w) => w !== 1)), "the test needs weights that differ");
    assertEquals(rollouts(credit), rollouts(own));
    assertSameBytes(weights(credit), weights(own), "weights of the model");
    assertEquals(numbers(credit), numbers(own));
    for (const [step, line] of numbers(loss).entries()) {
      const built = numbers(own)[step]!;
      for (const key of ["actor/loss", "actor/pg_loss", "actor/grad_norm", "actor/ppo_kl", "actor/entropy", "actor/ratio_max"]) {
        assert(
          Math.abs(line[key]! - built[key]!) <= 1e-6 * (1 + Math.abs(built[key]!)),
          `step ${step + 1}, ${key}: ${line[key]}, ${built[key]}`,
        );
      }
    }
  });
});

Deno.test("the examples' modules train; each step's line names them with their hash, and a resumed run says which have changed", async () => {
  await withRunDir(async (folder) => {
    const run = `${folder}/board`, module = `${folder}/mine.ts`, notes: string[] = [];
    Deno.writeTextFileSync(module, `export { default } from ${JSON.stringify(import.meta.resolve(`${EXAMPLES}/custom_loss.ts`))};\n`);
    const sets = [
      ...SHORT,
      `algorithm.credit=${JSON.stringify({ use: `${EXAMPLES}/custom_credit.ts`, options: { floor: 0.3 } })}`,
      `algorithm.loss=file://${module}`,
    ];
    const listen = { onEvent: (event: { kind: string; text?: string }) => void (event.kind === "note" && notes.push(event.text!)) };
    await littleRun(littleConfig(folder, sets), listen);
    for (const answer of rollouts(run)) {
      const mean = answer.weights.reduce((a, b) => a + b, 0) / answer.weights.length;
      assert(Math.abs(mean - 1) < 1e-5 && new Set(answer.weights).size > 1, `weights ${answer.weights}`);
    }
    for (const line of logged(run).filter((line) => "actor/loss" in line)) {
      assert((line["actor/grad_norm"] as number) > 0 && Number.isFinite(line["actor/loss"]));
      assert(/^custom_credit\.ts sha256:[0-9a-f]{12}$/.test(line["module/algorithm.credit"] as string));
      assert(/^mine\.ts sha256:/.test(line["module/algorithm.loss"] as string));
      assert(/^letters_reward\.ts sha256:/.test(line["module/reward"] as string));
    }
    Deno.writeTextFileSync(module, "// the same, with a word more\n", { append: true });
    await littleRun(littleConfig(folder, [...sets, "trainer.maxSteps=3"]), listen);
    assertEquals(logged(run).at(-1)!.step, 3);
    const told = notes.filter((note) => note.includes("has changed since the checkpoint"));
    assertEquals(told.length, 1, notes.join("; "));
    assert(told[0]!.startsWith("The module of algorithm.loss has changed"), told[0]);
    await assertRejects(() => littleRun(littleConfig(folder, SHORT)), KedgeError, "algorithm.credit");
  });
});

Deno.test("a module that gives something else ends the run, with its name and the response", async () => {
  await withRunDir(async (folder) => {
    const refused = async (key: string, source: string, words: string[]) => {
      Deno.writeTextFileSync(`${folder}/${key}.ts`, source);
      const config = littleConfig(folder, [...SHORT, `name=${key}`, `algorithm.${key.split("-")[0]}=${folder}/${key}.ts`, "sft=null"]);
      const error = await assertRejects(() => littleRun(config), Error);
      for (const word of [`${key}.ts`, ...words]) assert(error.message.includes(word), error.message);
    };
    await refused("credit-short", "export default () => [1]", ["for sample 0 of prompt", "1 weights for"]);
    await refused("loss-nan", "export const loss = ({ logprobs }) => ({ loss: NaN, gradient: logprobs })", ["response 0", "the loss NaN"]);
    await refused("credit-none", "export const weight = 1", ['as algorithm.credit: it exports no function "credit" or "default"']);
  });
});

Deno.test("a configuration names modules by path, and refuses other places", () => {
  const { algorithm } = configSchema.parse({ algorithm: { credit: "./a.ts", loss: "../b.ts" } });
  assertEquals([algorithm.credit, algorithm.loss], [{ use: "./a.ts" }, { kind: "module", use: "../b.ts" }]);
  const parsed = configSchema.parse({ algorithm: { loss: { kind: "module", use: "/b.ts", options: { cap: 2 } } } });
  assertEquals(parsed.algorithm.loss, { kind: "module", use: "/b.ts", options: { cap: 2 } });
  for (const algorithm of [{ credit: "https://example.com/a.ts" }, { loss: "https://example.com/a.ts" }, { credit: "luck" }]) {
    assertThrows(() => configSchema.parse({ algorithm }));
  }
  assertThrows(() => configSchema.parse({ algorithm: { credit: "./a.ts", loss: { kind: "gspo" } } }), Error, "gspo_token");
});
