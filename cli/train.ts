// deno-lint-ignore-file no-console -- a command
/**
 * `deno task train`: trains, by default on the built-in task. This process only watches: the one that trains is started again from its last checkpoint where a
 * fault ends it.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { derived } from "../actors/config/derived.ts";
import { loadConfig } from "../actors/config/load.ts";
import { makeToken } from "../control/http/token.ts";
import { sizesOf } from "./models.ts";
import { parseAddress } from "./train/address.ts";
import { Endpoint } from "./train/endpoint.ts";
import type { RunRequest } from "./train/run.ts";
import type { ServeRequest } from "./train/serve_run.ts";
import { watch } from "./train/watch.ts";

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

Ctrl-C ends the run after the step under way, with a checkpoint, and a second one at once; the same command goes on from the last checkpoint.
`;

const SERVE_HELP = `Serves a dashboard and an HTTP endpoint for a run, which is started, stopped and started again from there.

usage: deno task serve [ADDRESS] [options]
  ADDRESS           HOST:PORT (default: 127.0.0.1:8787); one that others can reach needs a token of yours
  --config, --set, --name, --no-resume, --token, --cors: as of deno task train
  --start           starts the run at once

Ctrl-C ends the run after the step under way, with a checkpoint, and then the endpoint; a second one ends both at once.
`;

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
  const watched = { path: `${config.runDir}/${config.name}`, limits: config.trainer };
  if (!served) return await watch(request, watched);
  const reads = [watched.path, ...file === undefined ? [] : [file]];
  await using endpoint = await Endpoint.open(served.request, { token: served.token, reads });
  console.log(`Control: ${endpoint.url}/${served.request.made ? `#token=${served.token}` : ""}`);
  if (served.request.made) console.log("The token is made for this run: it is in the address, and is not said again.");
  return await watch(request, { ...watched, endpoint });
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

if (import.meta.main) {
  try {
    Deno.exit(await train(Deno.args));
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(1);
  }
}
