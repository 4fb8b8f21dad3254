// deno-lint-ignore-file no-console -- a process of a command
/**
 * Runs training in this process. `cli/train.ts` starts it as a child process, and restarts it after a crash.
 *
 * @module
 */
import type { LoadedConfig } from "../../actors/config/load.ts";
import type { Config } from "../../actors/config/schema.ts";
import { writeReport } from "../../control/report/report.ts";
import { RunController } from "../../control/run/run_controller.ts";
import { Channel } from "../../control/link/channel.ts";
import { answerOver } from "../../control/link/channel.ts";
import { TrainingRun } from "../../actors/training_run.ts";
import { ENDING, endWithOwner, leaveToOwner } from "../../ffi/end_with_owner.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { World } from "../../ffi/world.ts";
import { FAILED, LOST, STOPPED } from "./ends.ts";
import { RANKS } from "./launcher.ts";
import { Progress } from "./progress.ts";
import { readRequest } from "./request.ts";

const ORPHANED = "The process that supervises the run has ended, so the run ends too; the same command resumes from the last checkpoint\n";

const LAUNCHER_ENDED = "The launcher of the ranks has ended, so rank 0 ends too; the last checkpoint remains\n";

/** The request for a run. */
export interface RunRequest {
  /** Loaded by the process that asks, so that all lives of the run have the same. */
  readonly loaded: LoadedConfig;
  /** Whether to resume from the last checkpoint. */
  readonly resume: boolean;
  /** Whether to run only the supervised warm start. */
  readonly warmStartOnly?: boolean;
  /** Whether to wait for a start request, and to stay when the run has ended. It requires `linked`. */
  readonly stays?: boolean;
  /** Whether to start at once although `stays` is set. */
  readonly start?: boolean;
  /** Whether another process serves the run. KEDGE_LINK holds that process's port on this machine and the secret, as "PORT:SECRET". */
  readonly linked?: boolean;
  /**
   * Whether another process supervises this one. It writes "stop" to this process's standard input. This process ends when the supervisor
   * does.
   */
  readonly watched?: boolean;
  /** Whether SIGHUP is ignored, as under `nohup`. */
  readonly staysUp?: boolean;
}

/** Seconds that a rank waits for others until it knows the configuration. */
const MEETING = 600;
/** Milliseconds between two signs of life of rank 0. */
const BEAT = 5000;

/** Joins the other ranks. @returns This rank's world with the request; the world is undefined where there is one process only. */
function joined(): { world: World | undefined; request: RunRequest } {
  const how = Deno.args[0];
  if (how !== RANKS.shared && how !== RANKS.own) return { world: undefined, request: readRequest<RunRequest>() };
  const world = World.join({ timeoutSeconds: MEETING }), has = how === RANKS.own || world.place.rank === 0;
  const own = has ? readRequest<RunRequest>() : undefined;
  const told = world.broadcast(own && new TextEncoder().encode(JSON.stringify(own)), 0);
  const request = JSON.parse(new TextDecoder().decode(told)) as RunRequest, { timeoutSeconds } = request.loaded.config.world;
  // Where each rank has a supervisor of its own, rank 0's request still holds for all.
  return {
    world: World.at({ ...world.place, timeoutSeconds }, "process"),
    request: { ...request, watched: has && request.watched === true },
  };
}

/** Trains as one of the ranks after rank 0: without a word, and as rank 0 says. */
async function follow({ loaded, resume, warmStartOnly = false, watched = false }: RunRequest, world: World): Promise<void> {
  if (watched) endWithOwner({ words: ORPHANED });
  leaveToOwner();
  await using run = await TrainingRun.open(loaded, { resume, warmStartOnly, place: world.place });
  await run.start();
}

/** Trains as rank 0 of several, or alone. @returns The command's exit code: 0 at the end, 1 after an error that was printed, 130 if the run was stopped. */
export async function trainRun(request: RunRequest, world?: World): Promise<number> {
  const { loaded, resume, warmStartOnly = false, stays = false, start = false, linked = false } = request, { config } = loaded;
  const { watched = false, staysUp = false } = request;
  using progress = new Progress(config);
  const ends = Promise.withResolvers<void>();
  await using control = new RunController(loaded, {
    resume,
    warmStartOnly,
    onEvent: (event) => progress.show(event),
    ...(world && { place: world.place }),
  });
  using channel = linked ? await link(control) : undefined;
  void channel;
  progress.note(`Kedge: run ${control.path}, device ${config.device}. The kernels are compiled on first use.`);
  if (world) progress.note(`Kedge: ${world.place.size} ranks by ${world.version}`);
  const beat = world && setInterval(() => touch(`${control.path}/lock`), BEAT);
  let stopping = false, asked = 0;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    ends.resolve();
    if (control.ended || !stays) progress.note("Stopping after the current step; stop again to stop at once");
    control.stop().catch(() => {});
  };
  const take = (signal: Deno.Signal) => {
    if (signal === "SIGHUP" && staysUp) return;
    // The supervisor also receives a terminal's signals, and it counts them.
    if (!(watched && signal === "SIGINT") && ++asked > 1) {
      progress.fail("Stopped at once; the last checkpoint remains");
      Deno.exit(STOPPED);
    }
    stop();
  };
  if (watched) endWithOwner({ words: world ? LAUNCHER_ENDED : ORPHANED, onText: (text) => text.includes("stop") && stop() });
  const listeners: [Deno.Signal, () => void][] = ENDING.map((signal) => [signal, () => take(signal)]);
  if (world) listeners.push(["SIGUSR2", stop]); // mpirun passes it on to its ranks
  for (const [signal, listener] of listeners) Deno.addSignalListener(signal, listener);
  try {
    if (!stays) return await train(control, { config, progress, stopped: () => stopping });
    const watching = control.listen(({ kind, data }) => {
      if (kind !== "status" || !["stopped", "done", "failed"].includes(data.state)) return;
      progress.note(`The run is ${data.state}${data.error ? `: ${data.error}` : ""}`);
      if (data.state === "done") report(control, { config, progress });
    });
    if (start) await control.start();
    await ends.promise;
    await control.ended?.catch(() => {});
    watching();
    return 0;
  } catch (error) {
    progress.fail((error as Error).message);
    return world && isOfRanks(error) ? LOST : 1;
  } finally {
    clearInterval(beat);
    for (const [signal, listener] of listeners) Deno.removeSignalListener(signal, listener);
  }
}

/** Whether an error is that of a rank that is gone or of an actor that died, so that all ranks must begin again. */
function isOfRanks(error: unknown): boolean {
  return error instanceof KedgeError && ["World", "Actor"].includes(error.code);
}

/** Sets a file's time to now, as a sign of life. */
function touch(path: string): void {
  try {
    Deno.utimeSync(path, new Date(), new Date());
  } catch { // the run is not open yet, or not any more
  }
}

/** Trains in this process and those that were started with it. @returns The exit code. */
async function main(): Promise<number> {
  const { world, request } = joined();
  if (!world) return await trainRun(request);
  let code = 0;
  try {
    if (world.place.rank === 0) code = await trainRun(request, world);
    else {
      Deno.addSignalListener("SIGUSR2", () => {}); // for rank 0
      await follow(request, world);
    }
  } catch (error) {
    console.error(`Rank ${world.place.rank}: ${(error as Error).message}`);
    code = isOfRanks(error) ? LOST : 1;
  }
  if (code === 0 || code === STOPPED) {
    world.leave();
    return code;
  }
  await new Promise((resolve) => setTimeout(resolve, 200)); // until the words are out
  world.abort(code === 1 ? FAILED : code);
  return code;
}

/** Runs from the start to the end. */
async function train(control: RunController, options: { config: Config; progress: Progress; stopped: () => boolean }): Promise<number> {
  await control.start();
  const { step, maxSteps } = await control.ended!;
  report(control, options);
  options.progress.end(`${step} of ${maxSteps} steps; checkpoints, metrics and answers are in ${control.path}/`);
  return options.stopped() && step < maxSteps ? STOPPED : 0;
}

function report(control: RunController, { config, progress }: { config: Config; progress: Progress }): void {
  if (config.logging.report) progress.note(`Report: ${writeReport(control.path)}`);
}

/** Connects to the serving process, so that it can send requests to the run. */
async function link(control: RunController): Promise<Channel> {
  const [port, secret] = Deno.env.get("KEDGE_LINK")!.split(":") as [string, string];
  Deno.env.delete("KEDGE_LINK"); // child processes must not see the secret
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  connection.setNoDelay();
  const channel = new Channel(connection);
  void answerOver(channel, { control, secret });
  return channel;
}

if (import.meta.main) {
  try {
    const code = await main();
    Deno.exit(code === 1 ? FAILED : code);
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(FAILED);
  }
}
