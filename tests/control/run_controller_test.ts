import { assert, assertEquals, assertRejects } from "@std/assert";
import "sharp";
import { Lines } from "../../actors/run/lines.ts";
import { AnswerText } from "../../control/run/answer_text.ts";
import { RunFiles } from "../../control/run/run_files.ts";
import { RunController } from "../../control/run/run_controller.ts";
import type { ChatPiece, ChatRequest, RunEvent, RunState } from "../../actors/run_control.ts";
import { BoardDataset } from "../../data/board/mod.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { LITTLE, withRunDir } from "../actors/little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

const QUESTION: Omit<ChatRequest, "messages"> = { n: 1, temperature: 1, topP: 1, maxTokens: 8, stop: [], seed: 3, connectivity: false };

/** Makes a controller for a small run, and records its events. */
function controlled(folder: string, sets: readonly string[] = [], file?: string) {
  const control = new RunController({ file, sets: [...LITTLE, `runDir=${folder}`, ...sets] }), events: RunEvent[] = [];
  const unlisten = control.listen((event) => events.push(event));
  const states = () => events.flatMap((event) => event.kind === "status" ? [event.data.state] : []);
  /** Waits for an event. */
  const until = (is: (event: RunEvent) => boolean) =>
    new Promise<void>((resolve) => {
      const end = control.listen((event) => {
        if (!is(event)) return;
        end();
        resolve();
      });
    });
  return { control, events, states, until, unlisten };
}

const isStep = (step: number) => (event: RunEvent) => event.kind === "metrics" && event.data["step"] === step && "actor/loss" in event.data;
const isState = (state: RunState) => (event: RunEvent) => event.kind === "status" && event.data.state === state;

Deno.test("a controller starts, stops and restarts a run with one configuration, and reports events", async () => {
  await withRunDir(async (folder) => {
    const file = `${folder}/config.jsonc`;
    Deno.writeTextFileSync(file, '{ "optim": { "weightDecay": 0.03 } }');
    const { control, events, states, until, unlisten } = controlled(folder, [], file);
    await using _ = control;
    assertEquals((await control.status()).state, "idle");
    assertEquals([await control.metrics({ since: -1, limit: 9 }), await control.checkpoints(), (await control.rollouts()).step], [
      [],
      [],
      null,
    ]);
    for (
      const ask of [
        () => control.pause(),
        () => control.evaluate(),
        () => control.stop(),
        () => control.chat({ ...QUESTION, messages: [] }),
      ]
    ) {
      // deno-lint-ignore no-await-in-loop -- one after the other
      assertEquals((await assertRejects(ask, KedgeError)).code, "State");
    }
    const first = until(isStep(1)), stopped = until(isState("stopped"));
    const both = await Promise.all([control.start(), control.start()]);
    assertEquals(both.map(({ name }) => name), ["board", "board"]);
    await first;
    await control.stop();
    await stopped;
    const { step, state } = await control.status();
    assertEquals([state, (await control.stop()).state], ["stopped", "stopped"]);
    assert(step >= 1 && step < 4);
    assertEquals((await control.checkpoints()).map((one) => one.step), [0, step]);

    const config = Deno.readTextFileSync(`${folder}/board/config.json`);
    Deno.writeTextFileSync(file, '{ "optim": { "weightDecay": 0.5 }, "no such key": 1 }');
    const done = until(isState("done"));
    await control.start();
    await done;
    assertEquals(Deno.readTextFileSync(`${folder}/board/config.json`), config, "a file that is edited meanwhile is not read again");
    assertEquals((await assertRejects(() => control.start(), KedgeError)).details["state"], "done");
    assertEquals(states().filter((state) => state !== "stopping"), [
      ...["starting", "warm-start", "running", "stopped"],
      ...["starting", "running", "done"],
    ] as RunState[]);
    const lines = await control.metrics({ since: -1, limit: 1000 });
    assertEquals(lines, new Lines(`${folder}/board/metrics.jsonl`).read());
    assertEquals((await control.metrics({ since: 2, limit: 1 })).map((line) => line["step"]), [4]);
    const rollouts = await control.rollouts();
    assertEquals([rollouts.step, rollouts.steps], [4, [1, 2, 3, 4]]);
    assertEquals(rollouts.samples, new Lines(`${folder}/board/rollouts.jsonl`).read().filter((line) => line.step === 4));
    assertEquals((await control.rollouts(77)).samples, []);
    assertEquals(events.filter(({ kind }) => kind === "rollouts").length, 4);
    unlisten();
  });
});

Deno.test("a failed run reports why, and can be restarted", async () => {
  await withRunDir(async (folder) => {
    const { control, until } = controlled(folder, [`model.path=${folder}/no-model`]);
    await using _ = control;
    const failed = until(isState("failed"));
    await control.start();
    await failed;
    const { state, error } = await control.status();
    assertEquals(state, "failed");
    assert(error!.includes("no-model"), error);
    const again = until(isState("failed"));
    await control.start();
    await again;
  });
});

Deno.test("the policy can be asked in words and pictures during training; changed fields are in the configuration", async () => {
  await withRunDir(async (folder) => {
    const { control, until } = controlled(folder, ["trainer.maxSteps=50"]);
    await using _ = control;
    const first = until(isStep(1));
    await control.start();
    await first;
    const { messages } = await new BoardDataset({}, { seed: 9, split: "val" }).sample(0), pieces: ChatPiece[] = [];
    const request = { ...QUESTION, messages, n: 2, connectivity: true };
    await control.pause();
    await control.checkpoint(); // the run is paused now
    const reply = await control.chat(request, { onPiece: (piece) => pieces.push(piece) });
    assertEquals(reply.answers.length, 2);
    for (const [sample, { text, tokens, connectivity, finish }] of reply.answers.entries()) {
      assertEquals(pieces.filter((piece) => piece.sample === sample).map((piece) => piece.text).join(""), text);
      assertEquals(pieces.filter((piece) => piece.sample === sample).flatMap((piece) => piece.tokens), [...tokens]);
      assert(finish === "length" || finish === "stop");
      const { values, anchors, clusters, weights, profiles, regions } = connectivity!;
      assertEquals([values, anchors, clusters, weights, profiles].map(({ length }) => length), new Array(5).fill(tokens.length));
      assert(values.every((value, i) => Math.abs(value - profiles[i]!.reduce((a, b) => a + b, 0)) < 1e-5), "a profile adds up");
      assert(Math.abs(regions.reduce((area, { width, height }) => area + width * height, 0) - 1) < 1e-9);
    }
    assertEquals(await control.chat(request), reply, "the same seed, the same policy");
    const plain = await control.chat({ ...QUESTION, messages: [{ role: "user", content: "what is it ?" }], connectivity: true });
    assertEquals(plain.answers[0]!.connectivity, undefined, "without a picture there is nothing to look at");
    const bad = await assertRejects(
      () => control.chat({ ...QUESTION, messages: [{ role: "user", content: [{ type: "image", image: new Uint8Array(9) }] }] }),
      KedgeError,
    );
    assertEquals(bad.code, "BadData");
    const word = reply.answers[0]!.tokens[2]!.text;
    const cut = await control.chat({ ...request, n: 1, stop: [word] });
    assert(!cut.answers[0]!.text.includes(word));
    assert(reply.answers[0]!.text.startsWith(cut.answers[0]!.text));

    const { changed, fromStep } = await control.tune({ "optim.lr": 1e-6, "atrl.wMax": 3 });
    assertEquals(changed.map(({ path }) => path), ["optim.lr", "atrl.wMax"]);
    assert(fromStep >= 2);
    assertEquals([control.config().optim.lr, control.config().atrl.wMax, control.tuned()], [1e-6, 3, { "optim.lr": 1e-6, "atrl.wMax": 3 }]);
    const ended = until(isState("stopped"));
    await control.stop();
    await ended;
  });
});

Deno.test("an answer's text is the same in pieces as whole, wherever a stop text begins and ends", () => {
  const encoder = new TextEncoder(), text = "a ca\u00e9t \u{1f600}sat on\n\nthe mat. a cat", bytes = encoder.encode(text);
  const tokenizer = {
    bytes: (id: number) => bytes.subarray(id, id + 1),
    isSpecial: (id: number) => id >= bytes.length,
    decode: ([id]: Iterable<number>) => new TextDecoder().decode(bytes.subarray(id, id! + 1)),
  };
  for (const stop of [[], ["\n\n"], ["at.", "mat"], ["\u{1f600}"], ["a cat!"], ["a"], ["nowhere", "e m"], ["cat"]]) {
    const ends = stop.map((one) => text.indexOf(one)).filter((at) => at >= 0), end = ends.length === 0 ? text.length : Math.min(...ends);
    const answer = new AnswerText(tokenizer, stop), said: string[] = [];
    for (let token = 0; token <= bytes.length; token++) said.push(answer.push({ token, logprob: 0 }).text);
    said.push(answer.end().text);
    assertEquals(said.join(""), text.slice(0, end), JSON.stringify(stop));
    assertEquals(answer.kept, Array.from({ length: encoder.encode(text.slice(0, end)).length }, (_, i) => i), JSON.stringify(stop));
  }
});

Deno.test("a run's files are read as they grow; torn lines wait, and replaced files are read from the start", async () => {
  await withRunDir(async (folder) => {
    const files = new RunFiles(folder), path = `${folder}/metrics.jsonl`, lines = new Lines(path);
    const steps = async () => {
      files.changed();
      return (await files.metrics({ since: -1, limit: 100 })).map((line) => line["step"]);
    };
    assertEquals(await steps(), []);
    lines.append({ step: 1, x: "\u00e9".repeat(700_000) }, { step: 2 });
    assertEquals(await steps(), [1, 2]);
    Deno.writeTextFileSync(path, '{"step":3,"x"', { append: true });
    assertEquals(await steps(), [1, 2]);
    Deno.writeTextFileSync(path, ":1}\n", { append: true });
    assertEquals(await steps(), [1, 2, 3]);
    lines.discardAfter(1);
    lines.append({ step: 2, again: true });
    assertEquals(await steps(), [1, 2]);
    assertEquals((await files.metrics({ since: 1, limit: 1 }))[0]!["again"], true);
    const answers = new Lines(`${folder}/rollouts.jsonl`), samples = async (step?: number) => (await files.rollouts(step)).samples;
    answers.append({ step: 1, sample: 0 }, { step: 1, sample: 1, text: "\u{1f600}\n" });
    assertEquals(await samples(), [], "no notice of new data was given");
    files.changed();
    assertEquals(await samples(), answers.read());
    for (let step = 2; step < 12; step++) answers.append({ step, sample: 0 });
    files.changed();
    assertEquals([await samples(), await samples(1), await samples(12)], [[{ step: 11, sample: 0 }], answers.read().slice(0, 2), []]);
  });
});
