// deno-lint-ignore-file no-console -- of a command
/**
 * The process that trains, seen from the one that watches it: it is told to end in order, started again after a fault, and does not outlive the one that watches.
 *
 * @module
 */
import { HUB_ENVIRONMENT } from "../../data/hub/settings.ts";
import { ENDING } from "../../ffi/end_with_owner.ts";
import type { Endpoint } from "./endpoint.ts";
import { endOf, STOPPED } from "./ends.ts";
import { programs } from "./programs.ts";
import type { RunRequest } from "./run.ts";

/** What is watched. */
export interface Watched {
  /** The run's directory. */
  readonly path: string;
  /** How often it may be started again in how many minutes. */
  readonly limits: { readonly maxRestarts: number; readonly restartWindowMinutes: number };
  /** The process that serves it. */
  readonly endpoint?: Endpoint | undefined;
  /** Module of the process, in place of the built-in one: a URL. */
  readonly module?: string;
}

/** Milliseconds within which signals are one: one that was sent once may come twice, to this process and by `deno task`. */
const ONCE = 500;
/** Milliseconds between two looks at whether `deno task` lives. */
const LOOK = 500;

/** Variables by which MLflow's server and its credentials are said (docs/trackers.md). */
const TRACKING = "MLFLOW_TRACKING_URI,MLFLOW_TRACKING_TOKEN,MLFLOW_TRACKING_USERNAME,MLFLOW_TRACKING_PASSWORD";

/** What the process that trains may do. Network: to fetch models and data of the hub, and to be asked by the process that serves. */
const flags = (linked: boolean): string[] => [
  "--no-prompt",
  "--allow-ffi",
  "--allow-read",
  "--allow-write",
  "--allow-net",
  `--allow-run=${programs()}`,
  `--allow-env=PATH,HOME,DENO_DIR,CUDA_HOME,CUDA_PATH,VIRTUAL_ENV,CONDA_PREFIX,npm_package_config_libvips,MALLOC_ARENA_MAX,${HUB_ENVIRONMENT.join()},${TRACKING}${
    linked ? ",KEDGE_LINK" : ""
  }`,
  "--allow-sys=systemMemoryInfo",
];

/** What another program prints; undefined where it fails, is not there, or may not be run. */
async function printed(command: string, args: readonly string[]): Promise<string | undefined> {
  if (Deno.permissions.querySync({ name: "run", command }).state !== "granted") return undefined;
  try {
    const { success, stdout } = await new Deno.Command(command, { args: [...args], stdin: "null", stderr: "null" }).output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether this process was started to outlive its terminal, as by `nohup`: what it starts ignores SIGHUP, though Deno itself does not. */
async function staysAfterHangup(): Promise<boolean> {
  return await printed("sh", ["-c", "kill -HUP $$; echo lives"]) !== undefined;
}

/** Calls back when the `deno task` that started this process is gone; never where something else did, which may well end before. @returns What ends the looking. */
async function afterTask(gone: () => void): Promise<() => void> {
  const { ppid } = Deno, command = await printed("ps", ["-o", "args=", "-p", String(ppid)]) ?? "";
  if (!/^\S*deno(\.exe)?\s(.*\s)?task\s/.test(command)) return () => {};
  const timer = setInterval(() => {
    if (Deno.ppid === ppid) return;
    clearInterval(timer);
    gone();
  }, LOOK);
  return () => clearInterval(timer);
}

/** A file's identity; it is another one once the file was written anew. */
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

function hasCheckpoint(run: string): boolean {
  try {
    return [...Deno.readDirSync(`${run}/checkpoints`)].some(({ name }) => /^(step|warm)-\d+$/.test(name));
  } catch {
    return false;
  }
}

/**
 * Starts the process that trains, and again where it came to a fault, as often as the configuration allows.
 *
 * SIGINT, SIGTERM and SIGHUP have it end in order, whoever gets them; the second one ends it at once. Under `nohup` a SIGHUP is nothing.
 *
 * @returns The exit code: 0 at its end, 1 after an error or too many faults, 130 where it was stopped.
 */
export async function watch(request: RunRequest, { path, limits, endpoint, module }: Watched): Promise<number> {
  const script = module ?? new URL("./run.ts", import.meta.url).href, faults: number[] = [], staysUp = await staysAfterHangup();
  let child: Deno.ChildProcess | undefined, orders: WritableStreamDefaultWriter<Uint8Array> | undefined, input = { ...request };
  let stopping = false, first: number | undefined, ended: number | undefined;
  const stop = () => {
    stopping = true;
    orders?.write(new TextEncoder().encode("stop\n")).catch(() => {}); // it has ended
  };
  const kill = (code: number, words: string) => {
    ended ??= code;
    stopping = true;
    console.error(words);
    try {
      child?.kill("SIGKILL");
    } catch { // it has ended
    }
  };
  const take = (signal: Deno.Signal) => {
    if (signal === "SIGHUP" && staysUp) return;
    const now = performance.now();
    if (first === undefined) {
      first = now;
      stop();
    } else if (now - first > ONCE) kill(STOPPED, "Stopped at once; what was saved last stands");
  };
  const listeners = ENDING.map((signal) => [signal, () => take(signal)] as const);
  for (const [signal, listener] of listeners) Deno.addSignalListener(signal, listener);
  const forget = await afterTask(() =>
    stopping || kill(1, "The task that started the run was ended, and the run with it; what was saved last stands")
  );
  void endpoint?.lost.then(() => {
    console.error(`The control endpoint has died; ${request.stays ? "the run ends" : "the run goes on without it"}`);
    if (request.stays) stop(); // nobody could steer it
  });
  try {
    for (;;) {
      const before = stamp(`${path}/config.json`);
      const args = ["run", ...flags(request.linked === true), script, JSON.stringify({ ...input, watched: true, staysUp })];
      child = new Deno.Command("deno", { args, stdin: "piped", ...(endpoint && { env: { "KEDGE_LINK": endpoint.link } }) }).spawn();
      orders = child.stdin.getWriter();
      if (stopping) stop();
      // deno-lint-ignore no-await-in-loop -- one after the other
      const end = endOf(await child.status);
      orders.close().catch(() => {});
      if (ended !== undefined) return ended;
      if (end.kind === "order") return end.code;
      const stands = hasCheckpoint(path) ? "its checkpoints stand" : "it had no checkpoint yet";
      if (end.kind === "asked") {
        console.error(`The run was ended by ${end.words}; ${stands}`);
        return end.code;
      }
      const now = performance.now(), recent = faults.filter((at) => now - at < limits.restartWindowMinutes * 60_000);
      if (stopping || recent.length >= limits.maxRestarts) {
        const many = `giving up after ${recent.length} restarts in ${limits.restartWindowMinutes} minutes`;
        const why = stopping ? "it was to end, and is not started again" : many;
        console.error(`The run died of ${end.words}; ${why}; ${stands}`);
        return end.code;
      }
      faults.push(now);
      // Of a run that it has opened and not closed, the rest is to be trained; otherwise it is as it was when it began, but that what is there is not to be removed.
      const opened = stamp(`${path}/config.json`) !== before, underWay = opened && textOf(`${path}/lock`) === String(child.pid);
      if (opened) input = { ...input, resume: true, start: underWay };
      const onward = input.stays && !input.start
        ? "its process is started again"
        : hasCheckpoint(path) && input.resume
        ? "going on from its last checkpoint"
        : "starting it anew";
      console.error(`The run died of ${end.words}; ${onward} (restart ${recent.length + 1} of ${limits.maxRestarts})`);
    }
  } finally {
    forget();
    for (const [signal, listener] of listeners) Deno.removeSignalListener(signal, listener);
  }
}
