// deno-lint-ignore-file no-console -- a command
/**
 * `deno task train` trains, by default on the built-in task. This process only supervises: it starts the training process, and restarts it
 * from its last checkpoint after a crash.
 *
 * @module
 */
import { derived } from "../actors/config/derived.ts";
import { rankEstimate } from "../actors/config/rank_estimate.ts";
import type { Config } from "../actors/config/types.ts";
import { makeToken } from "../control/http/token.ts";
import { environment } from "../ffi/environment.ts";
import { CommandLine, runCommand } from "./command.ts";
import { configOf } from "./command/config.ts";
import { sizesOf } from "./models.ts";
import { parseAddress } from "./train/address.ts";
import { Endpoint } from "./train/endpoint.ts";
import type { RunRequest } from "./train/run.ts";
import type { ServeRequest } from "./train/serve_run.ts";
import { RANK_VARIABLES } from "./permissions.ts";
import type { Ranks } from "./train/launcher.ts";
import { watch } from "./train/watch.ts";

const HELP = `Trains by reinforcement learning with AT-RL. Without options it trains on the built-in task.

usage: deno task train [options]
  --config FILE     the configuration (JSON with comments); its schema is docs/config.schema.json
  --set a.b=value   sets one key of the configuration; may be repeated
  --name NAME       the run's name; its directory is runs/NAME (default: the configuration's, "board")
  --no-resume       starts over even if the run has a checkpoint (default: resumes from it)
  --serve [ADDRESS] serves a dashboard and an HTTP endpoint during the run (default: 127.0.0.1:8787)
  --token TOKEN     the token that clients must send (default: KEDGE_TOKEN from the environment, or a new one that is printed once)
  --cors ORIGIN     allows requests from pages of another origin; may be repeated
  --ranks N         trains on N processes, which MPI's mpirun starts: one for each GPU, or for a share of the cores (docs/distributed.md)
  --hosts a:4,b:4   the machines of these processes, and how many run on each (default: all on this one)
  --dry-run         prints the configuration, derived numbers and a memory estimate, and exits

Ctrl-C ends the run after the current step and writes a checkpoint. A second Ctrl-C ends it at once. The same command resumes from the last
checkpoint.
`;

const SERVE_HELP = `Serves a dashboard and an HTTP endpoint, from which a run is started, stopped and restarted.

usage: deno task serve [ADDRESS] [options]
  ADDRESS           HOST:PORT (default: 127.0.0.1:8787); an address that other machines can reach needs --token
  --config, --set, --name, --no-resume, --token, --cors: as for deno task train
  --start           starts the run at once

Ctrl-C ends the run after the current step, writes a checkpoint, and then ends the endpoint. A second Ctrl-C ends both at once.
`;

const SFT_HELP =
  `Trains on given answers only, as section "sft" of the configuration says. Without options it uses the descriptions and answers of the built-in
task; other data needs demonstrations (data.demonstrationKey). The model is written to RUN/checkpoints/step-0, where deno task train continues.

usage: deno task sft [options]
  --config FILE     the configuration (JSON with comments); its schema is docs/config.schema.json
  --set a.b=value   sets one key of the configuration, such as sft.steps=200; may be repeated
  --name NAME       the run's name; its directory is runs/NAME (default: the configuration's, "board")
  --no-resume       starts over even if the run has a checkpoint (default: resumes from it)
  --serve [ADDRESS], --token TOKEN, --cors ORIGIN: as for deno task train
  --dry-run         prints the configuration, derived numbers and a memory estimate, and exits

Ctrl-C ends the training after the current step.
`;

type Value = "config" | "set" | "name" | "token" | "cors" | "serve" | "ranks" | "hosts";
type Line = CommandLine<Value, "dry-run" | "resume" | "start">;

const KINDS = {
  train: { help: HELP, action: "train" },
  serve: { help: SERVE_HELP, action: "serve" },
  sft: { help: SFT_HELP, action: "train" },
} as const;

/**
 * Runs the command.
 *
 * @param only `stays`: whether this is `deno task serve`, which waits for a start.
 * @returns The exit code.
 */
export async function train(args: readonly string[], only: { warmStartOnly?: boolean; stays?: boolean } = {}): Promise<number> {
  const { stays = false, ...rest } = only, kind = stays ? "serve" : only.warmStartOnly ? "sft" : "train", { help, action } = KINDS[kind];
  const line: Line = new CommandLine(args, {
    name: `deno task ${kind}`,
    action,
    help,
    values: {
      config: "FILE",
      set: "a.b=value",
      name: "NAME",
      token: "TOKEN",
      cors: "ORIGIN",
      ranks: "N",
      hosts: "a:4,b:4",
      ...(stays ? {} : { serve: "ADDRESS" }),
    } as Record<Value, string>,
    repeated: ["set", "cors"],
    bare: ["serve"],
    flags: ["dry-run", "resume", ...(stays ? ["start"] as const : [])],
    negatable: ["resume"],
    others: {
      ...(stays
        ? {
          serve: "deno task serve ADDRESS",
          port: "deno task serve :PORT",
          host: "deno task serve HOST:PORT",
          address: "deno task serve ADDRESS",
        }
        : { port: "--serve :PORT", host: "--serve HOST:PORT", address: "--serve ADDRESS", start: "deno task serve --start" }),
    },
    ...(stays && { rest: { name: "ADDRESS", most: 1 } }),
  });
  if (line.help) {
    console.log(help);
    return 0;
  }
  const sets = [...line.all("set"), ...(line.text("name") === undefined ? [] : [`name=${line.text("name")}`])];
  const loaded = configOf({ file: line.path("config", "file"), sets }), { config } = loaded;
  const ranks = ranksOf(line);
  if (line.flag("dry-run")) {
    console.log(JSON.stringify(config, null, 2));
    const { config: model, adapters, from } = sizesOf(config.model);
    const { lines, numbers } = derived(config, model, adapters);
    const several = typeof ranks === "object" && ranks.ranks > 1 ? rankEstimate(config, numbers, ranks.ranks)?.lines ?? [] : [];
    for (const line of [...lines, ...several, ...from === undefined ? [] : [`note: ${from}`]]) console.log(line);
    return 0;
  }
  const isLater = ranks === "own" && RANK_VARIABLES.some((name) => (environment(name) ?? "0") !== "0"); // rank 0 serves
  const served = isLater ? undefined : await serving(line, { stays, config });
  const idle = (["token", "cors"] as const).find((name) => !served && !isLater && line.text(name) !== undefined);
  if (idle) throw line.error(`--${idle} needs --serve`);
  const start = stays && line.flag("start"), linked = served !== undefined;
  const request: RunRequest = { loaded, resume: line.flag("resume"), start, stays, linked, ...rest };
  const watched = { path: `${config.runDir}/${config.name}`, limits: limitsOf(config, ranks), ranks };
  if (!served) return await watch(request, watched);
  await using endpoint = await Endpoint.open(served.request, { token: served.token, reads: [watched.path] });
  console.log(`Control: ${endpoint.url}/${served.request.made ? `#token=${served.token}` : ""}`);
  if (served.request.made) console.log("The token was made for this run. It is in the address, and is not printed again.");
  return await watch(request, { ...watched, endpoint });
}

/** Returns the ranks that are asked for, or that a launcher has started. */
function ranksOf(line: Line): Ranks | "own" | undefined {
  const text = line.text("ranks"), hosts = line.text("hosts");
  const isRank = RANK_VARIABLES.some((name) => environment(name) !== undefined);
  if (text === undefined) {
    if (hosts !== undefined) throw line.error("--hosts needs --ranks");
    return isRank ? "own" : undefined;
  }
  if (isRank) throw line.error("--ranks starts a launcher, and a launcher has started this command; leave --ranks out");
  const ranks = Number(text);
  if (!(Number.isInteger(ranks) && ranks > 0)) throw line.error(`--ranks ${text} is not a number of processes`);
  return { ranks, ...(hosts !== undefined && { hosts }) };
}

/** Returns how often the run is restarted. Ranks of another launcher end with their launcher, which the user starts again. */
function limitsOf({ trainer }: Config, ranks: Ranks | "own" | undefined): Config["trainer"] {
  return ranks === "own" ? { ...trainer, maxRestarts: 0 } : trainer;
}

/** Returns how the run is served and with which token, or undefined if it is not served. */
async function serving(
  line: Line,
  { stays, config }: { stays: boolean; config: Config },
): Promise<{ request: ServeRequest; token: string } | undefined> {
  const address = stays ? line.rest[0] ?? "" : line.text("serve");
  if (address === undefined) return undefined;
  const { hostname, port } = await line.resolved(() => parseAddress(address)), corsOrigins = line.all("cors");
  const token = line.text("token") ?? Deno.env.get("KEDGE_TOKEN");
  return { request: { config, hostname, port, made: token === undefined, corsOrigins }, token: token ?? makeToken() };
}

if (import.meta.main) await runCommand(train);
