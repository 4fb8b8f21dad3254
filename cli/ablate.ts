// deno-lint-ignore-file no-console -- a command
/**
 * `deno task ablate`: which tokens carry the learning? It runs the same training with different ways to assign credit, each over a grid of
 * learning rates, chooses each one's rate, and compares them at these rates on warm starts and seeds that the choice has not seen.
 *
 * @module
 */
import { configOf } from "./command/config.ts";
import { compare } from "./ablate/compare.ts";
import { METHODS } from "./ablate/methods.ts";
import type { Design } from "./ablate/plan.ts";
import { choiceJobs, reportJobs } from "./ablate/plan.ts";
import { PRESETS } from "./ablate/presets.ts";
import { CommandLine, runCommand } from "./command.ts";

const HELP = `Compares ways to assign credit, by default on the built-in task.

It trains every method at every learning rate, chooses each method's rate, and compares the methods at these rates on other warm starts
and seeds. A warm start is a model after its supervised training; all runs of a warm start begin with it. Runs go side by side. A run that
is finished is not made again: the same command goes on where it was stopped.

usage: deno task ablate [options]
  --preset NAME       minutes (default): at most 30 minutes on two cores | paper: a model of 3 billion parameters, on a GPU
  --methods A,B       of: ${Object.keys(METHODS).join(" | ")}
  --rates A,B         the learning rates to choose from; a single one is not chosen but used
  --steps N           training steps of each run
  --warm N            warm starts of the report; 0: no report, only the choice of rates
  --seeds N           runs of each method and warm start in the report
  --choose-warm N     warm starts of the choice
  --choose-seeds N    runs of each method, rate and warm start in the choice
  --from N            seed of the first warm start (default 0); the choice has the first ones, the report those after them
  --least-greedy X    leaves out warm starts that answer less than this share of held-out rows greedily, since they cannot read; the next seed
                      takes their place (default 0.5 with minutes; 0: none is left out)
  --interval X        sets warm starts and seeds of the report so that the 95 % interval of a difference is about +-X, and says beforehand
                      how many runs and minutes that takes; with the runs of the choice it knows more, and says it again
  --plan              only says how many runs and minutes it takes
  --set a.b=value     sets a key of the configuration for all runs; may be repeated
  --slots N           runs that go side by side (default: one for each core, or as the preset says)
  --dir DIR           where the runs are kept (default runs/ablation)
  --warm-dir DIR      where the warm starts are kept (default: the same)
  --out NAME          writes NAME.html, NAME.table.md, NAME.json and plots as NAME.PLOT.svg (default runs/ablation)
  --heads FILE        also draws how well each attention head tells readings: a JSON list of {layer, head, auc}
`;

type Option =
  | "preset"
  | "methods"
  | "rates"
  | "steps"
  | "warm"
  | "seeds"
  | "choose-warm"
  | "choose-seeds"
  | "from"
  | "set"
  | "slots"
  | "dir"
  | "warm-dir"
  | "out"
  | "interval"
  | "least-greedy"
  | "heads";

/** Runs the command. @returns The exit code. */
export async function ablate(args: readonly string[]): Promise<number> {
  const line = new CommandLine<Option, "plan">(args, {
    name: "deno task ablate",
    action: "compare",
    help: HELP,
    values: {
      preset: "NAME",
      methods: "A,B",
      rates: "A,B",
      steps: "N",
      warm: "N",
      seeds: "N",
      "choose-warm": "N",
      "choose-seeds": "N",
      from: "N",
      set: "a.b=value",
      slots: "N",
      dir: "DIR",
      "warm-dir": "DIR",
      out: "NAME",
      interval: "X",
      "least-greedy": "X",
      heads: "FILE",
    },
    repeated: ["set"],
    flags: ["plan"],
  });
  if (line.help) {
    console.log(HELP);
    return 0;
  }
  const design = designOf(line), dir = line.path("dir", "filled folder") ?? "runs/ablation";
  const warmDir = line.path("warm-dir", "filled folder") ?? dir, out = line.text("out") ?? "runs/ablation";
  checkConfigs(design);
  if (line.text("out") !== undefined) line.path("out", "new file");
  const slots = line.number("slots", { min: 1 }) ?? design.slots ?? navigator.hardwareConcurrency;
  const interval = line.number("interval", { min: 1e-4, max: 1, whole: false }), isPlan = line.flag("plan");
  return await compare(design, { dir, warmDir, out, slots, interval, isPlan, heads: line.path("heads", "file") });
}

/** Reads what is compared. */
function designOf(line: CommandLine<Option, "plan">): Design {
  const preset = PRESETS[line.choice("preset", Object.keys(PRESETS) as (keyof typeof PRESETS)[]) ?? "minutes"];
  const methods = line.choices("methods", Object.keys(METHODS)), rates = line.list("rates").map(Number);
  const odd = line.list("rates").find((text) => !(Number(text) > 0 && Number(text) <= 1));
  if (odd !== undefined) throw line.error(`--rates has "${odd}", but a learning rate is a number above 0, and at most 1`);
  const most = Math.max(line.number("seeds", { min: 1 }) ?? 1, line.number("choose-seeds", { min: 1 }) ?? 1);
  if (most > 1000) throw line.error(`${most} seeds of one warm start are too many: at most 1000`);
  const part = (name: "choice" | "report", prefix: "" | "choose-") => ({
    ...preset[name],
    warm: line.number(`${prefix}warm`, { min: name === "report" ? 0 : 1 }) ?? preset[name].warm,
    seeds: line.number(`${prefix}seeds`, { min: 1 }) ?? preset[name].seeds,
  });
  const { leastGreedy: own, ...rest } = preset, leastGreedy = line.number("least-greedy", { min: 0, max: 1, whole: false }) ?? own;
  return {
    ...rest,
    ...(leastGreedy !== undefined && leastGreedy > 0 && { leastGreedy }),
    steps: line.number("steps", { min: 1 }) ?? preset.steps,
    methods: methods.length > 0 ? [...new Set(methods)] : preset.methods,
    rates: rates.length > 0 ? [...new Set(rates)] : preset.rates,
    choice: part("choice", "choose-"),
    report: part("report", ""),
    from: line.number("from", { max: 1_000_000 }) ?? 0,
    extra: line.all("set"),
  };
}

/** Checks the configurations of all methods before any work. */
function checkConfigs(design: Design): void {
  const rates = new Map(design.methods.map((method) => [method, design.rates[0]!]));
  for (const part of [choiceJobs({ ...design, rates: design.rates.slice(0, 1) }), reportJobs(design, rates)]) {
    for (const { file, sets } of part.slice(0, design.methods.length)) configOf({ file, sets });
  }
}

if (import.meta.main) await runCommand(ablate);
