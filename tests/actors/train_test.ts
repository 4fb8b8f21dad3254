import { assert, assertEquals, assertRejects } from "@std/assert";
import "sharp";
import { Checkpoints } from "../../actors/run/checkpoints.ts";
import { Lines } from "../../actors/run/lines.ts";
import { BoardDataset } from "../../data/board/mod.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { Engine } from "../../model/engine/engine.ts";
import { suppressionMask } from "../../model/engine/suppression.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import { parameterSpecs } from "../../model/parameters.ts";
import { Processor } from "../../model/processor/processor.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { estimateAdvantages } from "../../rl/advantages/estimator.ts";
import { detectAtrl } from "../../rl/atrl/detect.ts";
import { Responses } from "../../rl/credit/responses.ts";
import { aggregationWeights } from "../../rl/losses/aggregation.ts";
import { policyLoss } from "../../rl/losses/policy_loss.ts";
import { AdamW } from "../../tensor/optimizer.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { assertSameBytes } from "../files.ts";
import { reward } from "./letters_reward.ts";
import { littleConfig, littleRun, logged, withRunDir } from "./little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

const weights = (run: string, step: number) => Deno.readFileSync(`${run}/checkpoints/step-${step}/model.safetensors`);

Deno.test("an update through the actors has the bits of one computed without them", async () => {
  await withRunDir(async (folder) => {
    const config = littleConfig(folder, ["trainer.maxSteps=1", "trainer.saveFreq=1"]), run = `${folder}/board`;
    await littleRun(config);
    assert(logged(run).at(-1)!["actor/grad_norm"] as number > 0);

    using device = CpuDevice.open();
    using model = VisionLanguageModel.load(`${run}/checkpoints/step-0`, { device });
    const processor = Processor.fromFolder(`${run}/initial`), rows = new BoardDataset({}, { seed: 3, split: "train" });
    const samples = await Promise.all([0, 1, 2, 3].map((i) => rows.sample(i)));
    const prompts = await Promise.all(samples.map(({ messages }) => processor.prompt(messages)));
    using engine = new Engine(model);
    const completions = await engine.generate(prompts, {
      n: 3,
      temperature: 1,
      maxTokens: 12,
      seed: 3 * 1_000_003 + 1,
      keys: samples.map(({ id }) => id),
      connectivity: true,
    });
    const flat = completions.flat(), lengths = flat.map(({ tokens }) => tokens.length);
    const rewards = flat.map(({ tokens }) => reward({ response: processor.decode(tokens, { skipSpecialTokens: true }) }));
    const base = estimateAdvantages({ kind: "grpo" }, { rewards, lengths, groups: flat.map((_, i) => Math.floor(i / 3)) });
    assert(base.some((a) => a !== 0), "the test needs rewards that differ");

    using stack = new DisposableStack();
    const up = (numbers: Float32Array<ArrayBuffer>, shape?: number[]) => stack.use(Tensor.from(device, numbers, shape ? { shape } : {}));
    const responses = stack.use(Responses.of(device, lengths)), regions = flat[0]!.regions!.regions;
    const connectivity = up(Float32Array.from(flat.flatMap((completion) => [...completion.connectivity!])));
    const profile = up(Float32Array.from(flat.flatMap((completion) => [...completion.profile!])), [responses.tokens, regions]);
    const keys = flat.map((_, i) => ({ prompt: Math.floor(i / 3), sample: i % 3 }));
    const credit = stack.use(detectAtrl(responses, { connectivity, profile, visual: flat.map(() => true), keys }));
    const advantages = stack.use(credit.advantages(up(Float32Array.from(base)), { perToken: true }));
    const groups = prompts.map((prompt, i) => ({ prompt, responses: completions[i]!.map(({ tokens }) => tokens) }));
    const batch = stack.use(PackedBatch.pack(model, groups)), tape = stack.use(new Tape(device));
    const { logprob } = model.logProbs(tape, batch, { suppress: stack.use(suppressionMask(model)) });
    tape.backward(policyLoss(logprob, {
      old: up(Float32Array.from(flat.flatMap(({ logprobs }) => [...logprobs]))),
      advantages,
      weights: up(aggregationWeights({ kind: "token" }, { lengths })),
      offsets: responses.table,
    }, { loss: { kind: "ppo" } }));
    const specs = parameterSpecs(model.config), plain = (kind: string) => kind === "norm" || kind === "bias";
    const named = (decays: boolean) => specs.filter(({ kind }) => plain(kind) !== decays).map(({ name }) => model.parameters[name]!);
    using optimizer = new AdamW(device, [{ parameters: named(true) }, { parameters: named(false), weightDecay: 0 }], {
      maxNorm: 1,
      weightDecay: 0.01,
    });
    optimizer.step({ lr: 1e-3 });
    model.save(`${folder}/plain`);
    assertSameBytes(Deno.readFileSync(`${folder}/plain/model.safetensors`), weights(run, 1), "weights");
    const [before, after] = [weights(run, 0), weights(run, 1)];
    assert(before.some((byte, i) => byte !== after[i]), "the update changes something");
  });
});

Deno.test("a stopped and resumed run logs and learns the same as an uninterrupted one, to the bit", async () => {
  await withRunDir(async (folder) => {
    await littleRun(littleConfig(folder, ["name=whole"]));
    const parted = littleConfig(folder, ["name=parted"]);
    const stopped = await littleRun(parted, {
      onEvent: (event, trainer) => {
        if (event.kind === "metrics" && event.line["step"] === 1) void trainer.peer.request(() => ({ type: "stop" }));
      },
    });
    assert(stopped.step < 4, `it stopped at ${stopped.step}`);
    // A run that was killed has lines after its checkpoint; they are set aside.
    new Lines(`${folder}/parted/metrics.jsonl`).append({ step: 99 });
    Deno.writeTextFileSync(`${folder}/parted/metrics.jsonl`, '{"step": 1, "torn', { append: true });
    assertEquals((await littleRun(parted)).step, 4);
    assertEquals(logged(`${folder}/parted`), logged(`${folder}/whole`));
    assertSameBytes(Deno.readFileSync(`${folder}/parted/rollouts.jsonl`), Deno.readFileSync(`${folder}/whole/rollouts.jsonl`), "rollouts");
    assertSameBytes(weights(`${folder}/parted`, 4), weights(`${folder}/whole`, 4), "weights");
    assertEquals(new Lines(`${folder}/parted/metrics.jsonl.discarded`).read().map(({ step }) => step), [99]);
  });
});

Deno.test("a torn checkpoint is skipped, and the one before it is used", async () => {
  await withRunDir(async (folder) => {
    const config = littleConfig(folder), run = `${folder}/board`, notes: string[] = [];
    await littleRun(config);
    const last = logged(run).at(-1), bytes = weights(run, 4);
    Deno.writeFileSync(`${run}/checkpoints/step-4/trainer.safetensors`, new Uint8Array(100));
    const { checkpoint, skipped } = new Checkpoints(run, { saveLimit: 3, saveBest: true }).latest();
    assertEquals([checkpoint!.step, skipped.length], [2, 1]);
    await littleRun(config, { onEvent: (event) => event.kind === "note" && notes.push(event.text) });
    assert(notes.some((note) => note.includes("trainer.safetensors has 100 bytes")), notes.join("; "));
    assertEquals(logged(run).at(-1), last);
    assertSameBytes(weights(run, 4), bytes, "weights");
  });
});

Deno.test("a divergence loads a reference and is 0 at the first step; without a coefficient there is none", async () => {
  await withRunDir(async (folder) => {
    const sets = ['algorithm.kl={"kind":"k3","coefficient":0.1}', "trainer.maxSteps=2", "optim.lr=1e-2"];
    const seen: string[][] = [];
    const watch = {
      onEvent: (
        _: unknown,
        trainer: { peer: { request(build: () => { type: "status" }): Promise<{ accounts: Record<string, number> }> } },
      ) => {
        void trainer.peer.request(() => ({ type: "status" })).then(({ accounts }) => seen.push(Object.keys(accounts)), () => {});
      },
    };
    await littleRun(littleConfig(folder, [...sets, "name=kl"]), watch as never);
    const [first, second] = logged(`${folder}/kl`).filter((line) => "actor/kl_loss" in line);
    assert(Math.abs(first!["actor/kl_loss"] as number) < 1e-7, `${first!["actor/kl_loss"]}`);
    assert(second!["actor/kl_loss"] as number > 1e-6, `${second!["actor/kl_loss"]}`);
    assert(seen.some((names) => names.includes("reference")));
    const full = [
      'algorithm.kl={"kind":"full","coefficient":0.1}',
      "trainer.maxSteps=2",
      "optim.lr=1e-2",
      "batch.microTokens=64",
      "name=full",
    ];
    await littleRun(littleConfig(folder, full));
    const [start, later] = logged(`${folder}/full`).filter((line) => "actor/kl_loss" in line) as unknown as Record<string, number>[];
    assert(
      Math.abs(start!["actor/kl_loss"]!) < 1e-7 && later!["actor/kl_loss"]! > 1e-4,
      `${start!["actor/kl_loss"]}, ${later!["actor/kl_loss"]}`,
    );
    // k3 is an estimate of it from the sampled tokens.
    assert(
      later!["actor/kl_loss"]! / (second!["actor/kl_loss"] as number) < 3 &&
        later!["actor/kl_loss"]! / (second!["actor/kl_loss"] as number) > 1 / 3,
    );
    assert(Math.abs(later!["actor/loss"]! - later!["actor/pg_loss"]! - 0.1 * later!["actor/kl_loss"]!) < 1e-6);
    seen.length = 0;
    await littleRun(littleConfig(folder, [...sets, 'algorithm.kl={"kind":"k3","coefficient":0}', "name=none"]), watch as never);
    assertEquals(seen.some((names) => names.includes("reference")), false);
    assertEquals(logged(`${folder}/none`).some((line) => "actor/kl_loss" in line), false);
  });
});

Deno.test("dynamic sampling keeps groups with a signal, and its surplus across a resumption, to the bit", async () => {
  await withRunDir(async (folder) => {
    // The rewards have 7 values and the bounds are far apart, so that some groups of 3 are kept and some are not.
    const sets = [
      'algorithm.onlineFiltering={"filterLow":0.3,"filterHigh":0.55,"maxTries":-1}',
      "data.rolloutBatchSize=3",
      "trainer.maxSteps=4",
    ];
    await littleRun(littleConfig(folder, [...sets, "name=whole"]));
    const parted = littleConfig(folder, [...sets, "name=parted"]);
    await littleRun(parted, {
      onEvent: (event, trainer) => {
        if (event.kind === "metrics" && event.line["step"] === 1) void trainer.peer.request(() => ({ type: "stop" }));
      },
    });
    assertEquals((await littleRun(parted)).step, 4);
    const lines = logged(`${folder}/whole`).filter((line) => "sampling/tries" in line);
    assertEquals(lines.length, 4);
    assert(lines.some((line) => line["sampling/tries"] as number > 1) && lines.some((line) => line["sampling/surplus"] as number > 0));
    for (const line of lines) {
      const accuracy = line["reward/accuracy"] as number;
      assert(accuracy > 0.3 && accuracy < 0.55, `${accuracy}`);
    }
    assertEquals(logged(`${folder}/parted`), logged(`${folder}/whole`));
    assertSameBytes(weights(`${folder}/parted`, 4), weights(`${folder}/whole`, 4), "weights");
  });
});

Deno.test("ReMax compares with the greedy answer", async () => {
  await withRunDir(async (folder) => {
    const sets = ["algorithm.advEstimator=remax", "trainer.maxSteps=1", "logging.rolloutSamples=100", "atrl.mode=off"];
    await littleRun(littleConfig(folder, sets));
    const lines = new Lines(`${folder}/board/rollouts.jsonl`).read() as unknown as {
      "prompt_id": string;
      reward: { overall: number };
      advantages: number[];
    }[];
    assertEquals(lines.length, 12);
    for (const id of new Set(lines.map((line) => line.prompt_id))) {
      // The reward minus the advantage is the greedy answer's reward. It is the same for all answers to a prompt, and one of the seven.
      const baselines = lines.filter((line) => line.prompt_id === id).map(({ reward, advantages }) => reward.overall - advantages[0]!);
      for (const baseline of baselines) assert(Math.abs(baseline - baselines[0]!) < 1e-6);
      assert(Math.abs(baselines[0]! * 7 - Math.round(baselines[0]! * 7)) < 1e-5);
    }
  });
});

Deno.test("a run is not resumed under another algorithm", async () => {
  await withRunDir(async (folder) => {
    await littleRun(littleConfig(folder, ["trainer.maxSteps=2"]));
    const error = await assertRejects(() => littleRun(littleConfig(folder, ["rollout.n=4"])), KedgeError, "rollout.n");
    assertEquals(error.code, "BadCheckpoint");
  });
});

Deno.test("every actor's account is the same after each step", async () => {
  await withRunDir(async (folder) => {
    await littleRun(
      littleConfig(folder, ["trainer.maxSteps=8", "trainer.saveFreq=0", "data.rolloutBatchSize=2", "trainer.valBeforeTrain=true"]),
    );
    const accounts = new Lines(`${folder}/board/metrics.jsonl`).read().filter((line) => "reward/overall" in line).map((line) =>
      Object.entries(line).filter(([key]) => key.startsWith("perf/account_bytes/"))
    );
    assertEquals([accounts.length, accounts[0]!.length], [8, 4]);
    for (const later of accounts.slice(3)) assertEquals(later, accounts[2]);
  });
});
