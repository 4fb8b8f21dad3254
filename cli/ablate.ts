// deno-lint-ignore-file no-console no-await-in-loop -- a command, one run after the other
/**
 * `deno task ablate`: which tokens carry the learning? It runs the same training with AT-RL off, soft, soft without clusters, hard, low and
 * random, and with VPPO, over several seeds. The runs of one seed start from the same warm start. It writes a table and a plot.
 *
 * @module
 */
import { loadConfig } from "../actors/config/load.ts";
import { configOf } from "./command/config.ts";
import { Lines } from "../actors/run/lines.ts";
import { METHODS, PRESET } from "./ablate/methods.ts";
import { plot } from "./ablate/plot.ts";
import { type Outcome, outcomeOf, table } from "./ablate/statistics.ts";
import { CommandLine, runCommand } from "./command.ts";
import { trainRun } from "./train/run.ts";

const HELP = `Compares ways to assign credit, on the built-in task.

usage: deno task ablate [options]
  --seeds N        uses seeds 0 to N - 1 (default 5)
  --steps N        training steps of each run (default 60)
  --methods A,B    of: ${Object.keys(METHODS).join(" | ")} (default: all)
  --set a.b=value  sets a key of the configuration for all runs; may be repeated
  --dir DIR        where the runs are kept (default runs/ablation); existing runs are resumed
  --out NAME       writes NAME.table.md, NAME.svg and NAME.json (default runs/ablation)
`;

/** Runs the command. @returns The exit code. */
export async function ablate(args: readonly string[]): Promise<number> {
  const line = new CommandLine(args, {
    name: "deno task ablate",
    action: "compare",
    help: HELP,
    values: { seeds: "N", steps: "N", methods: "A,B", set: "a.b=value", dir: "DIR", out: "NAME" },
    repeated: ["set"],
  });
  if (line.help) {
    console.log(HELP);
    return 0;
  }
  const seeds = line.number("seeds", { min: 1 }) ?? 5, steps = line.number("steps", { min: 1 }) ?? 60;
  const dir = line.path("dir", "filled folder") ?? "runs/ablation", out = line.text("out") ?? "runs/ablation";
  const given = line.choices("methods", Object.keys(METHODS)), methods = given.length > 0 ? given : Object.keys(METHODS);
  const common = [
    ...PRESET,
    `runDir=${dir}`,
    "logging.report=false",
    "logging.tensorboard=false",
    ...line.all("set"),
  ];
  configOf({ sets: common });
  if (line.text("out") !== undefined) line.path("out", "new file");
  const outcomes: Outcome[] = [];
  for (let seed = 0; seed < seeds; seed++) {
    const warm = [...common, `seed=${seed}`, `name=warm-${seed}`];
    check(await trainRun({ loaded: loadConfig({ sets: warm }), resume: true, warmStartOnly: true }), "the warm start");
    for (const method of methods) {
      const name = `${method.replaceAll(/\W+/g, "-")}-${seed}`;
      const sets = [
        ...common,
        `seed=${seed}`,
        `name=${name}`,
        `model.path=${dir}/warm-${seed}/checkpoints/step-0`,
        "sft=null",
        `trainer.maxSteps=${steps}`,
        "trainer.valFreq=5",
        "trainer.saveFreq=0",
        "trainer.saveLimit=1",
        ...METHODS[method]!,
      ];
      const loaded = loadConfig({ sets }), { config } = loaded;
      check(await trainRun({ loaded, resume: true }), method);
      outcomes.push(readOutcome(`${config.runDir}/${config.name}`, { method, seed }));
    }
  }
  Deno.writeTextFileSync(`${out}.json`, `${JSON.stringify(outcomes)}\n`);
  Deno.writeTextFileSync(`${out}.svg`, plot(outcomes));
  const words = table(outcomes, methods.includes("off") ? "off" : methods[0]!);
  Deno.writeTextFileSync(`${out}.table.md`, `${words}\n`);
  console.log(words);
  return 0;
}

function check(code: number, what: string): void {
  if (code !== 0) throw new Error(`Cannot continue: ${what} ended with code ${code}`);
}

/** Reads a run's results from its log. */
function readOutcome(run: string, of: { method: string; seed: number }): Outcome {
  const lines = [...new Lines(`${run}/metrics.jsonl`).entries().filter((line) => typeof line["val/accuracy"] === "number")];
  const curve = lines.map((line) => [line.step, line["val/accuracy"] as number] as const);
  return outcomeOf({ ...of, curve, greedy: lines.at(-1)!["val/accuracy_greedy"] as number });
}

if (import.meta.main) await runCommand(ablate);
