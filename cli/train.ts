// deno-lint-ignore-file no-console -- a command
/**
 * `deno task train`: trains, by default on the built-in task. This process only watches: a fault in native code ends the one that trains, which is then started
 * again from its last checkpoint.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { derived } from "../actors/config/derived.ts";
import { loadConfig } from "../actors/config/load.ts";
import { HUB_ENVIRONMENT } from "../data/hub/settings.ts";
import { makeToken } from "../control/http/token.ts";
import { sizesOf } from "./models.ts";
import { parseAddress } from "./train/address.ts";
import { Endpoint } from "./train/endpoint.ts";
import { programs } from "./train/programs.ts";
import type { RunRequest } from "./train/run.ts";
import type { ServeRequest } from "./train/serve_run.ts";

const HELP = `Trains by reinforcement learning with AT-RL. Without options: the built-in task, which needs nothing else.

usage: deno task train [options]
  --config FILE     a configuration (JSON with comments); its schema is docs/config.schema.json
  --set a.b=value   one of its keys; may be given again
  --name NAME       the run's name: its directory is runs/NAME (default: the configuration's, "board")
  --no-resume       starts anew, also where the run has a checkpoint (default: goes on from it)
  --serve [ADDRESS] serves a dashboard and an HTTP endpoint while the run goes on (default: 127.0.0.1:8787)
  --token TOKEN     what clients must know (default: KEDGE_TOKEN from the environment, or one that is made and said once)
  --cors ORIGIN     lets pages of another origin ask; may be given again
  --dry-run         prints the configuration, derived numbers and the memory estimate, and ends

Ctrl-C ends the run after the step under way, with a checkpoint; the same command goes on from there.
`;

const SERVE_HELP = `Serves a dashboard and an HTTP endpoint for a run, which is started, stopped and started again from there.

usage: deno task serve [ADDRESS] [options]
  ADDRESS           HOST:PORT (default: 127.0.0.1:8787); one that others can reach needs a token of yours
  --config, --set, --name, --no-resume, --token, --cors: as of deno task train
  --start           starts the run at once

Ctrl-C ends the run after the step under way, with a checkpoint, and then the endpoint.
`;

/** Signals by which native code ends a process. */
const FAULTS: ReadonlySet<string> = new Set(["SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE"]);

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

/**
 * Runs the command.
 *
 * @param only `stays`: that of `deno task serve`, which waits for a start.
 * @returns The exit code.
 */
export async function train(args: readonly string[], only: { warmStartOnly?: boolean; stays?: boolean } = {}): Promise<number> {
  const { stays = false, ...rest } = only, help = stays ? SERVE_HELP : HELP;
  const options = parseArgs([...args], {
    boolean: ["help", "dry-run", "resume", ...stays ? ["start"] : []],
    string: ["config", "set", "name", "token", "cors", ...stays ? [] : ["serve"]],
    collect: ["set", "cors"],
    negatable: ["resume"],
    default: { resume: true },
    unknown: (arg) => {
      if (stays && !arg.startsWith("-")) return;
      throw new TypeError(`Cannot ${stays ? "serve" : "train"}: "${arg}" is no option\n\n${help}`);
    },
  });
  if (options.help) {
    console.log(help);
    return 0;
  }
  const sets = [...(options.set as string[] | undefined ?? []), ...(options.name === undefined ? [] : [`name=${options.name}`])];
  const file = options.config as string | undefined, { config } = loadConfig({ ...(file !== undefined && { file }), sets });
  if (options["dry-run"]) {
    console.log(JSON.stringify(config, null, 2));
    const { config: model, from } = sizesOf(config.model);
    for (const line of [...derived(config, model).lines, ...from === undefined ? [] : [`note: ${from}`]]) console.log(line);
    return 0;
  }
  const served = serving(options, { stays, file, sets });
  if (!served && options.token !== undefined) throw new TypeError(`Cannot train: --token is of --serve\n\n${help}`);
  const start = options["start"] === true, linked = served !== undefined;
  const request: RunRequest = { config: file, sets, resume: options.resume as boolean, start, stays, linked, ...rest };
  if (!served) return await watch(request, config.trainer);
  const reads = [`${config.runDir}/${config.name}`, ...file === undefined ? [] : [file]];
  await using endpoint = await Endpoint.open(served.request, { token: served.token, reads });
  console.log(`Control: ${endpoint.url}/${served.request.made ? `#token=${served.token}` : ""}`);
  if (served.request.made) console.log("The token is made for this run: it is in the address, and is not said again.");
  return await watch(request, config.trainer, endpoint);
}

/** How the run is served, and with which token; undefined where it is not. */
function serving(
  options: ReturnType<typeof parseArgs>,
  { stays, file, sets }: { stays: boolean; file: string | undefined; sets: readonly string[] },
): { request: ServeRequest; token: string } | undefined {
  const address = stays ? String(options._[0] ?? "") : options.serve as string | undefined;
  if (address === undefined) return undefined;
  const given = options.token as string | undefined ?? Deno.env.get("KEDGE_TOKEN");
  const corsOrigins = options.cors as string[] | undefined ?? [];
  return {
    request: { config: file, sets, ...parseAddress(address), made: given === undefined, corsOrigins },
    token: given ?? makeToken(),
  };
}

/** Starts the process that trains, and again where it died of a fault, as often as the configuration allows. */
async function watch(
  request: RunRequest,
  limits: { maxRestarts: number; restartWindowMinutes: number },
  endpoint?: Endpoint,
): Promise<number> {
  const script = new URL("./train/run.ts", import.meta.url).href, faults: number[] = [];
  let child: Deno.ChildProcess;
  void endpoint?.lost.then(() => {
    console.error(`The control endpoint has died; ${request.stays ? "the run ends" : "the run goes on without it"}`);
    if (request.stays) child.kill("SIGTERM"); // nobody could steer it
  });
  const ignore = () => {}; // the signal reaches the other process too, which ends in order
  const pass = () => child.kill("SIGTERM"); // that reaches this process alone
  Deno.addSignalListener("SIGINT", ignore);
  Deno.addSignalListener("SIGTERM", pass);
  try {
    for (;;) {
      const again = faults.length > 0;
      const resumed: RunRequest = { ...request, resume: request.resume || again, start: request.start === true || again };
      const args = ["run", ...flags(request.linked === true), script, JSON.stringify(resumed)];
      child = new Deno.Command("deno", { args, stdin: "null", ...(endpoint && { env: { "KEDGE_LINK": endpoint.link } }) }).spawn();
      // deno-lint-ignore no-await-in-loop -- one after the other
      const { code, signal } = await child.status;
      if (signal === null || !FAULTS.has(signal)) return code;
      const now = performance.now(), recent = faults.filter((at) => now - at < limits.restartWindowMinutes * 60_000);
      if (recent.length >= limits.maxRestarts) {
        console.error(`The run died of ${signal}, for the ${recent.length + 1}th time: giving up. Its checkpoints stand.`);
        return 1;
      }
      faults.push(now);
      console.error(`The run died of ${signal}; going on from its last checkpoint`);
    }
  } finally {
    Deno.removeSignalListener("SIGINT", ignore);
    Deno.removeSignalListener("SIGTERM", pass);
  }
}

if (import.meta.main) {
  try {
    Deno.exit(await train(Deno.args));
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(1);
  }
}
