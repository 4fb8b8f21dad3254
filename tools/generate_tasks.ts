/**
 * Writes the tasks of `deno.json` and docs/permissions.md from the sets of cli/permissions.ts.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ENVIRONMENT, flagsOf, PERMISSIONS, type Permissions, TRAINING } from "../cli/permissions.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

interface Task {
  readonly description: string;
  readonly command: string;
}

/** `deno run`. `quiet`: nothing is said of downloads, nor of programs among the permissions that this machine does not have. */
const run = (set: Permissions, words: string, { quiet = true } = {}) =>
  ["deno run", ...(quiet ? ["--quiet"] : []), "--no-prompt", ...flagsOf(set), words].join(" ");
const test = (words: string, { parallel = false } = {}) =>
  ["deno test", ...(parallel ? ["--parallel"] : []), "--no-prompt", ...flagsOf(PERMISSIONS.test), words].join(" ");

/** The folders whose documentation has examples. */
const DOCUMENTED = "mod.ts ffi tensor model verify rl data actors control cli";

/** Every task of `deno.json`. */
const TASKS: Readonly<Record<string, Task>> = {
  train: {
    description: "The main job: trains, by default on the built-in task",
    command: run(PERMISSIONS.train, "cli/train.ts", { quiet: false }),
  },
  serve: {
    description: "A dashboard and an HTTP endpoint from which a run is started, watched and steered",
    command: run(PERMISSIONS.serve, "cli/serve.ts", { quiet: false }),
  },
  sft: { description: "Supervised training alone", command: run(PERMISSIONS.sft, "cli/sft.ts", { quiet: false }) },
  ablate: {
    description: "Compares ways of credit on the built-in task, over seeds",
    command: run(PERMISSIONS.ablate, "cli/ablate.ts"),
  },
  eval: { description: "Accuracy of a model on data, with intervals", command: run(PERMISSIONS.eval, "cli/eval.ts") },
  inspect: {
    description: "An answer with its anchors, and where each token looks",
    command: run(PERMISSIONS.inspect, "cli/inspect.ts"),
  },
  export: { description: "A checkpoint's model as a Hugging Face folder", command: run(PERMISSIONS.export, "cli/export.ts") },
  doctor: {
    description: "Devices, libraries, versions, what is missing and how to get it",
    command: run(PERMISSIONS.doctor, "cli/doctor.ts"),
  },
  build: { description: "Compiles the kernels ahead of the first use", command: run(PERMISSIONS.build, "cli/build.ts") },
  generate: {
    description: "Writes the files that are made from others: bindings, the reference of the configuration, these tasks",
    command: run(PERMISSIONS.generate, "tools/generate.ts", { quiet: false }),
  },
  test: { description: "Every test that needs no GPU", command: test("tests/") },
  "test:doc": {
    description: "The examples in the documentation",
    command: test(`--preload=tests/preload.ts --doc ${DOCUMENTED}`, { parallel: true }),
  },
  "test:browser": { description: "The dashboard in Chromium, where there is one", command: "deno test -A tests/browser/" },
  "test:gpu": {
    description: "The op tests on a CUDA GPU",
    command: [
      run(PERMISSIONS.doctor, "cli/doctor.ts --gpu"),
      test("tests/ops/ tests/tensor/ tests/model/ tests/rl/ -- --tiers=cuda"),
    ].join(" && "),
  },
  "test:slow": { description: "The long counts", command: test("tests/ -- --slow") },
  bench: {
    description: "Ratios: GEMM, shared prefixes, AdamW, an empty call, partitions, AT-RL's share of a step",
    command: run(PERMISSIONS.bench, "bench/all.ts"),
  },
  "init-model": {
    description: "A Qwen2.5-VL folder with random weights, for trials without trained ones",
    command: run(PERMISSIONS["init-model"], "cli/init_model.ts", { quiet: false }),
  },
  "bench:verifier": {
    description: "Agreement with official verdicts, answers graded in a second",
    command: run(PERMISSIONS["bench:verifier"], "bench/verifier.ts", { quiet: false }),
  },
  "bench:step": {
    description: "Seconds of a rollout and of an update",
    command: run(PERMISSIONS["bench:step"], "bench/step.ts"),
  },
  "bench:cuda": {
    description: "Registers, shared memory and spills of every CUDA kernel",
    command: run(PERMISSIONS["bench:cuda"], "bench/cuda_resources.ts"),
  },
  "ok:static": {
    description: "The gate without the tests",
    command: [
      "deno fmt --check",
      "deno lint",
      "deno check",
      run({ read: ["."] }, "tools/generate.ts --check", { quiet: false }),
      "deno task test:doc",
      "LD_LIBRARY_PATH=/usr/lib deno task doctor",
    ].join(" && "),
  },
  ok: { description: "The one gate", command: "deno task ok:static && deno task test && deno task test:browser" },
};

const quoted = (name: string) => `\`${name}\``;

const INTRO = `# Permissions

<!-- Written by tools/generate_tasks.ts from cli/permissions.ts; edit the sets, not this file. -->

Deno gives a program no access to the machine but what its command allows. Each task of \`deno.json\`
allows what this table says, and nobody is asked for more while it runs. An empty cell: nothing of
the kind. \`any\`: everything of the kind. Paths are relative to the checkout.

\`deno task train\`, \`serve\` and \`sft\` start the process that trains, and watch it. That process has
the permissions of the second row. Modules of your own for the credit and the loss run in it and have
them too; reward modules run in processes with [less](algorithms.md#rewards).

The environment's variables are named by what they are for:

${Object.entries(ENVIRONMENT).map(([name, variables]) => `- ${name}: ${variables.map(quoted).join(", ")}`).join("\n")}
`;

/** Variables of the environment, those of one purpose by its name. */
function variables(names: readonly string[] = []): string {
  const groups = Object.entries(ENVIRONMENT).filter(([, group]) => group.every((name) => names.includes(name)));
  const grouped = new Set<string>(groups.flatMap(([, group]) => group));
  return [...names.filter((name) => !grouped.has(name)).map(quoted), ...groups.map(([name]) => name)].join(", ");
}

/** The sets as a table for readers. */
function permissionsPage(): string {
  const cell = (value: true | readonly string[] | undefined) =>
    value === undefined ? "" : value === true ? "any" : value.map(quoted).join(", ");
  const { train, serve: _, sft: _same, ...others } = PERMISSIONS;
  const sets: [string, Permissions][] = [
    ["`train`, `serve`, `sft`", train],
    ["the process that trains", TRAINING],
    ...Object.entries(others).map((
      [name, set],
    ): [string, Permissions] => [name === "test" ? "`test`, `test:doc`, `test:slow`" : quoted(name), set]),
  ];
  const rows = sets.map(([name, { read, write, run, net, ffi, sys, env }]) =>
    ["", name, cell(read), cell(write), cell(run), cell(net), cell(ffi), variables(env), cell(sys), ""].join(" | ").trim()
  );
  const head = ["task", "reads", "writes", "starts programs", "network", "native code", "environment", "system"];
  return `${INTRO}\n| ${head.join(" | ")} |\n|${head.map(() => "---").join("|")}|\n${rows.join("\n")}\n`;
}

/** The files that are written, by their path in the project. */
export function generatedTasks(): Record<string, string> {
  const path = "deno.json", config = JSON.parse(Deno.readTextFileSync(join(ROOT, path))) as Record<string, unknown>;
  return { [path]: `${JSON.stringify({ ...config, tasks: TASKS }, null, 2)}\n`, "docs/permissions.md": permissionsPage() };
}
