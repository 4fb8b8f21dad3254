/**
 * Small training runs for tests: a random model, a few steps, and a reward that varies without learning.
 *
 * @module
 */
import { loadConfig } from "../../actors/config/load.ts";
import type { Config } from "../../actors/config/schema.ts";
import type { TrainerEvent, TrainerMessage, TrainerReplies, TrainerStatus } from "../../actors/messages.ts";
import { ActorMemory } from "../../actors/runtime/actor_memory.ts";
import { Actor } from "../../actors/runtime/spawn.ts";
import type { Line } from "../../actors/run/lines.ts";
import { Lines } from "../../actors/run/lines.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { openOwner } from "../../tensor/owner.ts";

/** The trainer that a test talks to. */
export type TestTrainer = Actor<TrainerMessage, TrainerReplies>;

/** Settings of a run that takes a second. */
export const LITTLE: readonly string[] = [
  "device=cpu",
  "seed=3",
  "sft.steps=2",
  "sft.batchSize=4",
  "sft.warmupSteps=1",
  "data.rolloutBatchSize=4",
  "data.maxResponseLength=12",
  "rollout.n=3",
  `reward=${JSON.stringify({ parts: { accuracy: { use: new URL("./letters_reward.ts", import.meta.url).href } } })}`,
  "trainer.maxSteps=4",
  "trainer.saveFreq=2",
  "trainer.valFreq=0",
  "trainer.valBeforeTrain=false",
  "val.limit=4",
  "optim.lr=1e-3",
  "logging.report=false",
];

/** Makes a configuration for a folder. */
export function littleConfig(runDir: string, sets: readonly string[] = []): Config {
  return loadConfig({ sets: [...LITTLE, `runDir=${runDir}`, ...sets] }).config;
}

/** Runs a trainer to its end. */
export async function littleRun(
  config: Config,
  given: {
    onEvent?: (event: TrainerEvent, trainer: TestTrainer) => void;
    modules?: Record<string, string>;
    warmStartOnly?: boolean;
    trainer?: string;
  } = {},
): Promise<TrainerStatus> {
  using opener = CpuDevice.open();
  using memory = new ActorMemory(openOwner(opener), { device: "cpu", threads: 1 });
  const run = `${config.runDir}/${config.name}`;
  Deno.mkdirSync(run, { recursive: true });
  const trainer: TestTrainer = await Actor.spawn<TrainerMessage, TrainerReplies>(memory, {
    name: "trainer",
    module: new URL(given.trainer ?? "../../actors/trainer/worker.ts", import.meta.url),
    device: "cpu",
    threads: 1,
    options: { config, base: new URL("./", import.meta.url).href, run, modules: given.modules, warmStartOnly: given.warmStartOnly },
    onEvent: (event) => given.onEvent?.(event as TrainerEvent, trainer),
  });
  try {
    return await trainer.peer.request(() => ({ type: "start" }));
  } finally {
    await trainer.close();
  }
}

/** Returns the logged lines of the steps, without the fields that may differ between two equal runs. */
export function logged(run: string): Line[] {
  return new Lines(`${run}/metrics.jsonl`).read().map((line) =>
    Object.fromEntries(
      Object.entries(line).filter(([key]) => !/^(time|timing_s\/.*|perf\/.*)$/.test(key)),
    ) as unknown as Line
  );
}

/** Runs a function with a folder, and removes the folder afterwards. */
export async function withRunDir(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await run(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}
