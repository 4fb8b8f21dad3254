/**
 * A training run in this process: `cli/train.ts` starts it under a parent, which starts it again where native code ends it.
 *
 * @module
 */
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { loadConfig } from "../../actors/config/load.ts";
import type { TrainerEvent, TrainerMessage, TrainerReplies } from "../../actors/messages.ts";
import { Place } from "../../actors/runtime/place.ts";
import { Actor } from "../../actors/runtime/spawn.ts";
import { writeReport } from "../../control/report/report.ts";
import { openOwner } from "../../tensor/owner.ts";
import { Progress } from "./progress.ts";

/** What a run is asked for. */
export interface RunRequest {
  readonly config: string | undefined;
  readonly sets: readonly string[];
  readonly resume: boolean;
  /** The supervised warm start alone. */
  readonly warmStartOnly?: boolean;
}

/** Exit code of a run that was stopped before its end. */
export const STOPPED = 130;

/** Trains. @returns The exit code: 0 at the end, 1 for an error, 130 where it was stopped. */
export async function trainRun({ config: file, sets, resume, warmStartOnly = false }: RunRequest): Promise<number> {
  const { config, base } = loadConfig({ ...(file !== undefined && { file }), sets: [...sets] }), run = `${config.runDir}/${config.name}`;
  Deno.mkdirSync(run, { recursive: true });
  using lock = lockRun(run);
  void lock;
  if (!resume) await Promise.all(["checkpoints", "initial", "reference"].map((name) => forget(`${run}/${name}`)));
  Deno.writeTextFileSync(`${run}/config.json`, `${JSON.stringify(config, null, 2)}\n`);
  const progress = new Progress(config);
  progress.note(`Kedge: run ${run}, device ${config.device}. The kernels are compiled on first use.`);
  using opener = CpuDevice.open({ threads: 1 });
  using place = new Place(openOwner(opener), { device: config.device, threads: 1 });
  const trainer = await Actor.spawn<TrainerMessage, TrainerReplies>(place, {
    name: "trainer",
    module: new URL("../../actors/trainer/worker.ts", import.meta.url),
    device: config.device,
    threads: 1,
    options: { config, base, run, resume, warmStartOnly },
    onEvent: (event) => progress.take(event as TrainerEvent),
  });
  let stops = 0;
  const stop = () => {
    if (++stops > 1) Deno.exit(STOPPED);
    progress.note("Stopping after this step, with a checkpoint; once more to stop at once");
    trainer.peer.request(() => ({ type: "stop" })).catch(() => {});
  };
  Deno.addSignalListener("SIGINT", stop);
  try {
    const { step, maxSteps } = await trainer.peer.request(() => ({ type: "start" }));
    if (config.logging.report) progress.note(`Report: ${writeReport(run)}`);
    progress.end(`${step} of ${maxSteps} steps; checkpoints, metrics and answers are in ${run}/`);
    return stops > 0 && step < maxSteps ? STOPPED : 0;
  } catch (error) {
    progress.end(`${(error as Error).message}`);
    return 1;
  } finally {
    Deno.removeSignalListener("SIGINT", stop);
    await trainer.close();
  }
}

/**
 * Keeps others out of the run's directory as long as this process lives; its file holds the process's number.
 *
 * @throws {RangeError} where another process trains there.
 */
function lockRun(run: string): Disposable {
  const file = Deno.openSync(`${run}/lock`, { read: true, write: true, create: true });
  if (!file.tryLockSync(true)) {
    const other = Deno.readTextFileSync(`${run}/lock`).trim();
    file.close();
    throw new RangeError(`Cannot train in ${run}: process ${other} does; stop it, or give this run another --name`);
  }
  file.truncateSync();
  file.writeSync(new TextEncoder().encode(`${Deno.pid}\n`));
  return file;
}

async function forget(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

if (import.meta.main) {
  try {
    Deno.exit(await trainRun(JSON.parse(Deno.args[0]!) as RunRequest));
  } catch (error) {
    Deno.stderr.writeSync(new TextEncoder().encode(`${(error as Error).message}\n`));
    Deno.exit(1);
  }
}
