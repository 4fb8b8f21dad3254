// Classes of tokens in short runs: in rollouts.jsonl, in metrics, and as the oracle's weights.
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import "sharp";
import { configSchema } from "../../actors/config/schema.ts";
import type { ConfigInput } from "../../actors/config/types.ts";
import { Lines } from "../../actors/run/lines.ts";
import { type LoopOptions, TrainingLoop } from "../../actors/trainer/loop.ts";
import { boardClasses } from "../../data/board/mod.ts";
import custom from "../../examples/custom_classes.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { atrlOptions } from "../../rl/atrl/options.ts";
import { classReport } from "../../rl/credit/class_report.ts";
import { plainWeights } from "../../rl/credit/plain_weights.ts";
import { TOKEN_CLASSES, type TokenClass } from "../../rl/credit/token_classes.ts";
import { assertSameBytes } from "../files.ts";
import { littleConfig, littleRun, logged, withRunDir } from "./little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

interface Answer {
  readonly step: number;
  readonly tokens: string[];
  readonly weights: number[];
  readonly advantages: number[];
  readonly connectivity: number[];
  readonly scores?: number[];
  readonly anchor?: number[];
  readonly classes: TokenClass[];
}

const SHORT = ["trainer.saveFreq=0", "sft=null", "logging.rolloutSamples=12"], BY_PLACE = "data.classes=./classes_by_place.ts";
const rollouts = (run: string) => new Lines(`${run}/rollouts.jsonl`).read() as unknown as Answer[];
const indices = ({ classes }: Answer) => classes.map((name) => TOKEN_CLASSES.indexOf(name));

/** Checks the metrics of step 1 against those of its answers, all of which are logged. */
function assertMetrics(run: string, name: string): void {
  const answers = rollouts(run).filter(({ step }) => step === 1), offsets = [0];
  for (const { tokens } of answers) offsets.push(offsets.at(-1)! + tokens.length);
  const all = (of: (answer: Answer) => readonly number[]) => answers.flatMap(of),
    flags = answers[0]!.anchor && all(({ anchor }) => anchor!);
  const wanted = classReport({
    offsets,
    classes: all(indices),
    weights: all(({ weights }) => weights),
    connectivity: all(({ connectivity }) => connectivity),
    advantages: all(({ advantages }) => advantages),
    scores: answers[0]!.scores && all(({ scores }) => scores!),
    flags,
  });
  const line = logged(run).find((line) => "actor/loss" in line)!;
  assertEquals(Object.keys(line).filter((key) => key.startsWith("classes/")).sort(), Object.keys(wanted).sort(), name);
  for (const [key, value] of Object.entries(wanted)) assertAlmostEquals(line[key] as number, value, 1e-12, `${key}, ${name}`);
}

Deno.test("oracle weights follow the classes of a module, also in a run that is stopped and resumed, to the bit", async () => {
  await withRunDir(async (folder) => {
    const sets = [...SHORT, "atrl.mode=oracle", "atrl.wMin=0.1", BY_PLACE, "trainer.maxSteps=3"];
    const parted = littleConfig(folder, [...sets, "name=parted"]);
    await littleRun(littleConfig(folder, [...sets, "name=whole"]));
    await littleRun(parted, {
      onEvent: (event, trainer) => {
        if (event.kind === "metrics" && event.line["step"] === 1) void trainer.peer.request(() => ({ type: "stop" }));
      },
    });
    assertEquals((await littleRun(parted)).step, 3);
    const [whole, again] = ["whole", "parted"].map((name) => `${folder}/${name}`) as [string, string];
    const answers = rollouts(whole), options = atrlOptions({ mode: "oracle", wMin: 0.1 });
    assertEquals(answers.length, 3 * 12);
    for (const answer of answers) {
      const response = {
        connectivity: answer.connectivity,
        cluster: [],
        visual: true,
        key: { prompt: 0, sample: 0 },
        classes: indices(answer),
      };
      assertEquals(answer.classes, answer.tokens.map((_, t) => TOKEN_CLASSES[t % 4]));
      assertEquals(answer.weights, [...Float32Array.from(plainWeights(response, options))]);
    }
    assertMetrics(whole, "oracle");
    const line = logged(whole).find((line) => "actor/loss" in line)!;
    assertEquals(line["classes/auc_weight"], 1);
    assert(/^classes_by_place\.ts sha256:[0-9a-f]{12}$/.test(line["module/data.classes"] as string));
    assertEquals(logged(again), logged(whole));
    assertSameBytes(Deno.readFileSync(`${again}/rollouts.jsonl`), Deno.readFileSync(`${whole}/rollouts.jsonl`), "rollouts");
    const weights = (run: string) => Deno.readFileSync(`${run}/checkpoints/step-3/model.safetensors`);
    assertSameBytes(weights(again), weights(whole), "weights");
  });
});

Deno.test("the board's own classes are logged, and every credit has metrics by class", async () => {
  await withRunDir(async (folder) => {
    const run = async (name: string, sets: readonly string[]) => {
      await littleRun(littleConfig(folder, [...SHORT, "trainer.maxSteps=1", `name=${name}`, ...sets]));
      return `${folder}/${name}`;
    };
    const soft = await run("soft", []);
    for (const { tokens, classes } of rollouts(soft)) assertEquals(classes, boardClasses({ tokens, text: "", truth: "", fields: {} }));
    assertMetrics(soft, "soft");
    assertMetrics(await run("vppo", [BY_PLACE, "algorithm.credit=vppo"]), "vppo");
    assertMetrics(await run("module", [BY_PLACE, "algorithm.credit=../../examples/custom_credit.ts"]), "module");
  });
});

Deno.test("a module that gives other classes ends the run, with its name and the answer", async () => {
  await withRunDir(async (folder) => {
    Deno.writeTextFileSync(`${folder}/mine.ts`, 'export default () => ["reading"]');
    const config = littleConfig(folder, [...SHORT, `data.classes=${folder}/mine.ts`]);
    await assertRejects(() => littleRun(config), Error, `file://${folder}/mine.ts for sample 0 of prompt`);
  });
});

Deno.test("an oracle needs classes, a module is named by its path, and answers with filler must not be cut off", () => {
  const files = { task: "files", trainFiles: "a.jsonl" }, parse = (given: unknown) => configSchema.parse(given as ConfigInput);
  const oracle = { model: { path: "/m" }, atrl: { mode: "oracle" } };
  assertEquals(parse({ ...oracle, data: { ...files, classes: "./c.ts" } }).data.classes, "./c.ts");
  assertEquals(parse({ ...oracle, data: files, algorithm: { credit: "vppo" } }).data.classes, null);
  assertEquals(parse({ atrl: { mode: "oracle" } }).atrl.mode, "oracle");
  assertThrows(() => parse({ data: { classes: "https://example.com/c.ts" } }), Error, "expected null, or a module of your own");
  assertEquals(parse({ data: { board: { filler: 16 } } }).data.board["filler"], 16);
  const loop = new TrainingLoop({ config: parse({ model: { path: "/m" }, data: files }), run: "/none" } as LoopOptions);
  assertThrows(() => loop.tune({ "atrl.mode": "oracle" }, "running"), KedgeError, "knows none");
});

Deno.test("the example's classes: texts of the row's field are readings, also in parts of tokens", () => {
  const signs = { reading: "R", arithmetic: "A", random: "~", fixed: "-" };
  const classesOf = (tokens: string[], readings?: unknown) =>
    custom({ tokens, text: tokens.join(""), truth: "", fields: { readings } }).map((name) => signs[name]).join("");
  const tokens = ["the", " bar", " is", " 12", ".", "5", " and", " 2", ".", "5", " gives", " 15"];
  assertEquals(classesOf(tokens, ["12.5"]), "~~~RRR~A~A~A");
  assertEquals(classesOf(tokens, ["bar", 2.5]), "~R~A~A~RRR~A");
  assertEquals(classesOf(tokens), "~~~A~A~A~A~A");
  assertEquals(classesOf(["a", " ."], ["."]), "~R");
});
