// Tests a run that is paused, tuned, evaluated and asked during training.
import { assert, assertEquals, assertRejects } from "@std/assert";
import "sharp";
import { configSchema } from "../../actors/config/schema.ts";
import { Lines } from "../../actors/run/lines.ts";
import { train, TrainingRun, type TrainingRunOptions } from "../../actors/training_run.ts";
import type { TrainerEvent } from "../../actors/messages.ts";
import { BoardDataset } from "../../data/board/mod.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { Processor } from "../../model/processor/processor.ts";
import { assertSameBytes } from "../files.ts";
import { LITTLE, logged, withRunDir } from "./little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

const weights = (run: string, step: number) => Deno.readFileSync(`${run}/checkpoints/step-${step}/model.safetensors`);
const sets = (folder: string, own: readonly string[] = []) => [...LITTLE, `runDir=${folder}`, ...own];

/** Runs to the end. Each function of `at` is called once, when the metrics of its step are logged. */
async function steered(
  settings: readonly string[],
  at: Readonly<Record<number, (run: TrainingRun) => unknown>>,
  options: TrainingRunOptions = {},
): Promise<{ events: TrainerEvent[]; state: string }> {
  const events: TrainerEvent[] = [], made: Promise<unknown>[] = [];
  await using run: TrainingRun = await TrainingRun.open({ sets: settings }, {
    ...options,
    onEvent: (event) => {
      events.push(event);
      if (event.kind === "metrics" && event.line["actor/loss"] !== undefined) {
        made.push(Promise.resolve(at[event.line["step"] as number]?.(run)));
      }
    },
  });
  const { state } = await run.start();
  await Promise.all(made);
  return { events, state };
}

Deno.test("a paused run makes no step until it is resumed; checkpoints and evaluations are then made at once, each once", async () => {
  await withRunDir(async (folder) => {
    const seen: string[] = [];
    const { state, events } = await steered(sets(folder, ["trainer.saveFreq=0", "val.greedy=false"]), {
      1: async (run) => {
        assertEquals((await run.pause()).pausing, true);
        await run.pause(); // the second call has no effect
        const saved = await Promise.all([run.checkpoint(), run.checkpoint()]), { step } = saved[0];
        assert(step >= 1 && step <= 2, "the step under way is finished");
        assertEquals(saved[1], saved[0]);
        const before = await run.status();
        assertEquals(before.state, "paused");
        const evaluated = await run.evaluate();
        assertEquals(evaluated.step, step);
        assert(typeof evaluated.metrics["val/accuracy"] === "number");
        assertEquals(await run.evaluate(), evaluated);
        await new Promise((resolve) => setTimeout(resolve, 300));
        assertEquals((await run.status()).step, step);
        assertEquals((await run.resume()).pausing, false);
        await run.resume();
        seen.push("paused");
      },
    });
    assertEquals([state, seen], ["done", ["paused"]]);
    const states = events.flatMap((event) => event.kind === "status" ? [event.status.state] : []);
    assertEquals(states, ["warm-start", "running", "paused", "running", "done"]);
    const lines = logged(`${folder}/board`);
    assertEquals(lines.filter((line) => "val/accuracy" in line).length, 2, "one that was asked for, one at the end");
  });
});

Deno.test("requests to a finished run are refused with its state", async () => {
  await withRunDir(async (folder) => {
    await using run = await TrainingRun.open({ sets: sets(folder, ["trainer.maxSteps=1"]) });
    const early = await assertRejects(() => run.checkpoint(), KedgeError);
    assertEquals([early.code, early.details["state"]], ["State", "starting"]);
    assertEquals((await run.start()).state, "done");
    for (
      const ask of [() => run.pause(), () => run.resume(), () => run.checkpoint(), () => run.evaluate(), () => run.tune({ "optim.lr": 1 })]
    ) {
      // deno-lint-ignore no-await-in-loop -- one after the other
      const error = await assertRejects<KedgeError>(ask, KedgeError);
      assertEquals([error.code, error.details["state"]], ["State", "done"]);
    }
    assertEquals((await run.stop()).state, "done");
  });
});

Deno.test("changes apply from the next step on, and a run that is killed afterwards repeats the same steps to the bit", async () => {
  await withRunDir(async (folder) => {
    const changes = { "optim.lr": 5e-4, "rollout.temperature": 0.8, "algorithm.entropyCoefficient": 0.01, "atrl.mode": "hard" };
    let fromStep = 0;
    const tune = async (run: TrainingRun) => {
      const tuning = await run.tune(changes);
      fromStep = tuning.fromStep;
      assertEquals(tuning.changed.map(({ path }) => path).sort(), Object.keys(changes).sort());
      assertEquals(tuning.changed.find(({ path }) => path === "optim.lr"), { path: "optim.lr", from: 1e-3, to: 5e-4 });
      assertEquals((await run.tune(changes)).changed, [], "what is so already does not change");
    };
    const { events } = await steered(sets(folder, ["name=whole"]), { 1: tune });
    assertEquals(events.filter(({ kind }) => kind === "tuned").length, 1);
    const lines = logged(`${folder}/whole`).filter((line) => "actor/lr" in line);
    assertEquals(lines.map((line) => line["actor/lr"]), [1, 2, 3, 4].map((step) => step < fromStep ? 1e-3 : 5e-4));
    assert(fromStep === 2 || fromStep === 3, `${fromStep}`);

    // The same run, but the change exists before it begins, and it is stopped on the way.
    Deno.mkdirSync(`${folder}/parted`);
    for (const name of ["config.json", "tuning.jsonl"]) Deno.copyFileSync(`${folder}/whole/${name}`, `${folder}/parted/${name}`);
    await steered(sets(folder, ["name=parted"]), { 2: (run) => run.stop() });
    assertEquals((await train({ sets: sets(folder, ["name=parted"]) })).state, "done");
    assertEquals(logged(`${folder}/parted`), logged(`${folder}/whole`));
    assertSameBytes(weights(`${folder}/parted`, 4), weights(`${folder}/whole`, 4), "weights");

    // New values of the configuration take precedence over earlier changes.
    const more = await steered(sets(folder, ["name=whole", "optim.lr=2e-4", "trainer.maxSteps=5", "atrl.own=0"]), {});
    const notes = more.events.flatMap((event) => event.kind === "note" && event.text.startsWith("Goes on") ? [event.text] : []);
    assertEquals(notes, ["Goes on with other options of AT-RL: atrl.own was 0.75, now 0"]);
    assertEquals(logged(`${folder}/whole`).at(-1)!["actor/lr"], 2e-4);
    assertEquals(new Lines(`${folder}/whole/tuning.jsonl`).read().length, 1);
  });
});

Deno.test("a divergence's coefficient can be changed only if a reference is loaded", async () => {
  await withRunDir(async (folder) => {
    const kl = ['algorithm.kl={"coefficient":0.1}', "trainer.maxSteps=3"];
    await steered(sets(folder, kl), { 1: (run) => run.tune({ "algorithm.kl.coefficient": 0.5 }) });
    const coefficients = logged(`${folder}/board`).flatMap((line) => "actor/kl_coef" in line ? [line["actor/kl_coef"]] : []);
    assertEquals([coefficients[0], coefficients.at(-1)], [0.1, 0.5]);
    const refused: unknown[] = [];
    await steered(sets(folder, ["name=without"]), {
      1: async (run) => refused.push((await assertRejects(() => run.tune({ "algorithm.kl.coefficient": 0.5 }), KedgeError)).code),
    });
    assertEquals(refused, ["State"]);
  });
});

Deno.test("chatting with the policy during a run does not change the run, and tokens are streamed", async () => {
  await withRunDir(async (folder) => {
    await train({ sets: sets(folder, ["name=quiet"]) });
    const { messages } = await new BoardDataset({}, { seed: 9, split: "val" }).sample(0);
    const asked: Promise<void>[] = [];
    const ask = async (run: TrainingRun, temperature: number) => {
      const processor = Processor.fromFolder(run.files), prompt = await processor.prompt(messages), streamed: number[][] = [[], []];
      const sampling = { n: 2, temperature, maxTokens: 6, seed: 5, stop: [], connectivity: {} };
      const { answers } = await run.generate({ prompt, sampling, key: "question" }, {
        onToken: ({ sample, token, logprob }) => {
          assert(logprob <= 0);
          streamed[sample]!.push(token);
        },
      });
      using held = answers;
      assertEquals(streamed.flat(), Array.from(held.tokens.toArray(), Number));
      assertEquals(held.lengths, streamed.map(({ length }) => length));
      assertEquals(held.connectivity!.size, streamed.flat().length);
      assertEquals(held.profile!.size, streamed.flat().length * held.regions);
    };
    await steered(sets(folder, ["name=talked"]), {
      1: (run) => asked.push(ask(run, 1), ask(run, 0)),
      2: (run) => asked.push(ask(run, 0.5)),
    });
    await Promise.all(asked);
    assertEquals(asked.length, 3);
    assertEquals(logged(`${folder}/talked`), logged(`${folder}/quiet`));
    assertSameBytes(weights(`${folder}/talked`, 4), weights(`${folder}/quiet`, 4), "weights");
    const rollouts = (name: string) => new Lines(`${folder}/${name}/rollouts.jsonl`).read();
    assertEquals(rollouts("talked"), rollouts("quiet"));
    const { profile, tokens } = rollouts("quiet")[0] as unknown as { profile: { shares: string; regions: unknown[] }; tokens: string[] };
    assertEquals(Uint8Array.fromBase64(profile.shares).length, tokens.length * profile.regions.length);
  });
});

Deno.test("a cancelled answer ends, and an impossible question affects no other", async () => {
  await withRunDir(async (folder) => {
    const prompt = (run: TrainingRun) => Processor.fromFolder(run.files).prompt([{ role: "user", content: "what is it ?" }]);
    const given = { n: 1, temperature: 1, seed: 1, stop: [] as string[] }, finished: string[] = [];
    const { state } = await steered(sets(folder, ["trainer.maxSteps=2"]), {
      1: async (run) => {
        await assertRejects(
          async () => run.generate({ prompt: await prompt(run), sampling: { ...given, maxTokens: 10 ** 9 }, key: "q" }),
          RangeError,
        );
        const controller = new AbortController();
        const sampling = { ...given, maxTokens: 2000 };
        const { answers } = await run.generate({ prompt: await prompt(run), sampling, key: "q" }, {
          signal: controller.signal,
          onToken: () => controller.abort(),
        });
        using held = answers;
        finished.push(...held.finish);
        assert(held.lengths[0]! < 2000);
      },
    });
    assertEquals(state, "done");
    assert(finished[0] === "aborted" || finished[0] === "stop", finished[0]);
  });
});

Deno.test("the configuration's schema accepts what may be changed during a run", () => {
  const { optim, rollout, trainer } = configSchema.parse({ optim: { lr: 1e-5 }, rollout: { temperature: 0.9 }, trainer: { valFreq: 3 } });
  assertEquals([optim.lr, rollout.temperature, trainer.valFreq], [1e-5, 0.9, 3]);
});
