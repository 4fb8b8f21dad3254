// deno-lint-ignore-file no-console -- of a command
/**
 * Supervises the training process. It asks it to end in order, restarts it after a crash, and makes sure that it does not outlive its
 * supervisor.
 *
 * @module
 */
import { ENDING } from "../../ffi/end_with_owner.ts";
import { flagsOf, together, TRAINING } from "../permissions.ts";
import type { Endpoint } from "./endpoint.ts";
import { endOf, STOPPED } from "./ends.ts";
import { findLauncher, launcherArguments, RANKS, type Ranks } from "./launcher.ts";
import { findProgram } from "./programs.ts";
import { writeRequest } from "./request.ts";
import type { RunRequest } from "./run.ts";

/** The training process to supervise. */
export interface Watched {
  /** The run's directory. */
  readonly path: string;
  /** The maximum number of restarts within a number of minutes. */
  readonly limits: { readonly maxRestarts: number; readonly restartWindowMinutes: number };
  /** The process that serves the run. */
  readonly endpoint?: Endpoint | undefined;
  /** URL of the training process's module, if it is not the built-in one. */
  readonly module?: string;
  /** The ranks that mpirun starts, or "own" where a launcher has started this process as one of them. undefined: the run has one process. */
  readonly ranks?: Ranks | "own" | undefined;
}

/** Signals within this many milliseconds count as one. A signal that was sent once may arrive twice, directly and from `deno task`. */
const ONCE = 500;
/** Milliseconds between two checks whether `deno task` still runs. */
const POLL = 500;

/** Returns the flags of the training process. @param linked Whether another process serves it. */
function flags(linked: boolean): string[] {
  // Deno prints warnings about programs that do not exist.
  const run = (TRAINING.run as readonly string[]).filter((name) => name === "deno" || findProgram(name) !== undefined);
  return ["--no-prompt", ...flagsOf(together({ ...TRAINING, run }, linked ? { env: ["KEDGE_LINK"] } : {}))];
}

/** Returns what a program prints, or undefined if it fails, does not exist, or may not be run. */
async function printed(command: string, args: readonly string[]): Promise<string | undefined> {
  if (Deno.permissions.querySync({ name: "run", command }).state !== "granted") return undefined;
  try {
    const { success, stdout } = await new Deno.Command(command, { args: [...args], stdin: "null", stderr: "null" }).output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Tells whether this process was started to outlive its terminal, for example by `nohup`. Its children then ignore SIGHUP, although Deno
 * itself does not.
 */
async function staysAfterHangup(): Promise<boolean> {
  return await printed("sh", ["-c", "kill -HUP $$; echo lives"]) !== undefined;
}

/**
 * Calls back when the `deno task` that started this process has ended. It never calls back if another program started this process, because
 * that may end earlier. @returns A function that stops the checks.
 */
async function afterTask(gone: () => void): Promise<() => void> {
  const { ppid } = Deno, command = await printed("ps", ["-o", "args=", "-p", String(ppid)]) ?? "";
  if (!/^\S*deno(\.exe)?\s(.*\s)?task\s/.test(command)) return () => {};
  const timer = setInterval(() => {
    if (Deno.ppid === ppid) return;
    clearInterval(timer);
    gone();
  }, POLL);
  return () => clearInterval(timer);
}

/** Returns a file's identity, which changes when the file is replaced. */
function stamp(path: string): string {
  try {
    const { ino, mtime } = Deno.statSync(path);
    return `${ino} ${mtime?.getTime()}`;
  } catch {
    return "";
  }
}

function textOf(path: string): string {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch {
    return "";
  }
}

/** Returns how the training process, or all ranks of it, are started. A launcher is detached, since it ends its ranks on a Ctrl-C. */
function programOf(deno: readonly string[], ranks: Watched["ranks"]): { command: string; args: string[]; isDetached: boolean } {
  if (ranks === undefined) return { command: "deno", args: [...deno], isDetached: false };
  if (ranks === "own") return { command: "deno", args: [...deno, RANKS.own], isDetached: false };
  const launcher = findLauncher();
  if ("missing" in launcher) throw new RangeError(`Cannot start ${ranks.ranks} ranks: ${launcher.missing}`);
  const machine = { isRoot: Deno.uid() === 0, cores: navigator.hardwareConcurrency };
  return {
    command: launcher.command,
    args: [...launcherArguments(launcher, ranks, machine), "deno", ...deno, RANKS.shared],
    isDetached: true,
  };
}

/** Milliseconds without a sign of life of rank 0 after which its launcher is ended: with a lost host it may wait for ever. */
const SILENCE = 120_000;
/** Milliseconds that a launcher has to end its ranks. */
const GRACE = 5000;

/** Ends a training process at once; a launcher is asked first, so that it ends its ranks. */
async function end(child: Deno.ChildProcess | undefined, isLauncher: boolean): Promise<void> {
  const send = (signal: Deno.Signal) => {
    try {
      child?.kill(signal);
    } catch { // it has ended already
    }
  };
  if (isLauncher) {
    send("SIGTERM");
    const late = Promise.withResolvers<void>(), timer = setTimeout(late.resolve, GRACE);
    await Promise.race([child?.status, late.promise]);
    clearTimeout(timer);
  }
  send("SIGKILL");
}

/** Ends a launcher whose rank 0 has given no sign of life for long. @returns A timer. */
function whenSilent(lock: string, child: Deno.ChildProcess): ReturnType<typeof setInterval> {
  const start = Date.now();
  return setInterval(() => {
    const { mtime } = statOf(lock), last = Math.max(start, mtime?.getTime() ?? 0);
    if (Date.now() - last < SILENCE || mtime === null || mtime.getTime() < start) return;
    console.error(`Rank 0 has given no sign of life for ${SILENCE / 1000} s`);
    void end(child, true);
  }, GRACE);
}

function statOf(path: string): { mtime: Date | null } {
  try {
    return Deno.statSync(path);
  } catch {
    return { mtime: null };
  }
}

function hasCheckpoint(run: string): boolean {
  try {
    return [...Deno.readDirSync(`${run}/checkpoints`)].some(({ name }) => /^(step|warm)-\d+$/.test(name));
  } catch {
    return false;
  }
}

/**
 * Runs the training process, and restarts it after crashes as often as the configuration allows.
 *
 * SIGINT, SIGTERM or SIGHUP asks it to end in order, whichever process receives the signal. A second signal ends it at once. Under `nohup`
 * SIGHUP is ignored.
 *
 * @returns The exit code: 0 at the end, 1 after an error or too many crashes, 130 if the run was stopped.
 */
export async function watch(request: RunRequest, { path, limits, endpoint, module, ranks }: Watched): Promise<number> {
  const script = module ?? new URL("./run.ts", import.meta.url).href, faults: number[] = [], staysUp = await staysAfterHangup();
  let child: Deno.ChildProcess | undefined, orders: WritableStreamDefaultWriter<Uint8Array> | undefined, input = { ...request };
  let stopping = false, first: number | undefined, ended: number | undefined;
  const stop = () => {
    stopping = true;
    orders?.write(new TextEncoder().encode("stop\n")).catch(() => {}); // it has ended already
  };
  const kill = (code: number, words: string) => {
    ended ??= code;
    stopping = true;
    console.error(words);
    void end(child, ranks !== undefined && ranks !== "own");
  };
  const take = (signal: Deno.Signal) => {
    if (signal === "SIGHUP" && staysUp) return;
    const now = performance.now();
    if (first === undefined) {
      first = now;
      stop();
    } else if (now - first > ONCE) kill(STOPPED, "Stopped at once; the last checkpoint remains");
  };
  const listeners = ENDING.map((signal) => [signal, () => take(signal)] as const);
  for (const [signal, listener] of listeners) Deno.addSignalListener(signal, listener);
  const forget = await afterTask(() =>
    stopping || kill(1, "The deno task that started the run has ended, so the run was ended too; the last checkpoint remains")
  );
  void endpoint?.lost.then(() => {
    console.error(`The control endpoint has crashed; ${request.stays ? "the run ends" : "the run continues without it"}`);
    if (request.stays) stop(); // nobody could steer the run any more
  });
  try {
    for (;;) {
      const before = stamp(`${path}/config.json`);
      const program = programOf(["run", ...flags(request.linked === true), script], ranks);
      child = new Deno.Command(program.command, {
        args: program.args,
        detached: program.isDetached,
        stdin: "piped",
        ...(endpoint && { env: { "KEDGE_LINK": endpoint.link } }),
      }).spawn();
      const silent = program.isDetached ? whenSilent(`${path}/lock`, child) : undefined;
      orders = child.stdin.getWriter();
      writeRequest(orders, { ...input, watched: true, staysUp });
      if (stopping) stop();
      // deno-lint-ignore no-await-in-loop -- one after the other
      const end = endOf(await child.status);
      clearInterval(silent);
      orders.close().catch(() => {});
      if (ended !== undefined) return ended;
      if (end.kind === "order") return end.code;
      const stands = hasCheckpoint(path) ? "its checkpoints remain" : "it had no checkpoint yet";
      if (end.kind === "asked") {
        console.error(`The run was ended by ${end.words}; ${stands}`);
        return end.code;
      }
      const now = performance.now(), recent = faults.filter((at) => now - at < limits.restartWindowMinutes * 60_000);
      if (stopping || recent.length >= limits.maxRestarts) {
        const many = `giving up after ${recent.length} restarts in ${limits.restartWindowMinutes} minutes`;
        const why = stopping ? "it was being stopped, so it is not restarted" : many;
        console.error(`The run crashed with ${end.words}; ${why}; ${stands}`);
        return end.code;
      }
      faults.push(now);
      // If the process had opened the run and not closed it, the rest must be trained. Otherwise the run is as it was at the start, except
      // that existing files must not be removed again.
      const opened = stamp(`${path}/config.json`) !== before, holder = textOf(`${path}/lock`);
      const underWay = opened && (ranks === undefined ? holder === String(child.pid) : holder !== "");
      if (opened) input = { ...input, resume: true, start: underWay };
      const onward = input.stays && !input.start
        ? "its process is restarted"
        : hasCheckpoint(path) && input.resume
        ? "resuming from its last checkpoint"
        : "starting over";
      console.error(`The run crashed with ${end.words}; ${onward} (restart ${recent.length + 1} of ${limits.maxRestarts})`);
    }
  } finally {
    forget();
    for (const [signal, listener] of listeners) Deno.removeSignalListener(signal, listener);
  }
}
