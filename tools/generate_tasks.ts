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

/** `deno run`. `quiet`: Deno prints nothing about downloads, or about permitted programs that this machine does not have. */
const run = (set: Permissions, words: string, { quiet = true } = {}) =>
  ["deno run", ...(quiet ? ["--quiet"] : []), "--no-prompt", ...flagsOf(set), words].join(" ");
const test = (words: string, { parallel = false } = {}) =>
  ["deno test", ...(parallel ? ["--parallel"] : []), "--no-prompt", ...flagsOf(PERMISSIONS.test), words].join(" ");

/** The files and folders whose documentation has examples. */
const DOCUMENTED = "mod.ts ffi tensor model verify rl data actors control cli";

/** Every task of `deno.json`. */
const TASKS: Readonly<Record<string, Task>> = {
  train: {
    description: "The main job: trains, by default on the built-in task",
    command: run(PERMISSIONS.train, "cli/train.ts", { quiet: false }),
  },
  serve: {
    description: "A dashboard and an HTTP endpoint that start, show and steer a run",
    command: run(PERMISSIONS.serve, "cli/serve.ts", { quiet: false }),
  },
  sft: { description: "Runs supervised training only", command: run(PERMISSIONS.sft, "cli/sft.ts", { quiet: false }) },
  ablate: {
    description: "Compares ways to assign credit, each at its best learning rate",
    command: run(PERMISSIONS.ablate, "cli/ablate.ts"),
  },
  eval: { description: "Prints the accuracy of a model on data, with confidence intervals", command: run(PERMISSIONS.eval, "cli/eval.ts") },
  inspect: {
    description: "Shows an answer with its anchors, and where each token attends",
    command: run(PERMISSIONS.inspect, "cli/inspect.ts"),
  },
  export: { description: "Writes the model of a checkpoint as a Hugging Face folder", command: run(PERMISSIONS.export, "cli/export.ts") },
  doctor: {
    description: "Prints devices, libraries and versions, and how to get what is missing",
    command: run(PERMISSIONS.doctor, "cli/doctor.ts"),
  },
  build: { description: "Compiles the kernels ahead of the first use", command: run(PERMISSIONS.build, "cli/build.ts") },
  generate: {
    description: "Writes the generated files: bindings, the configuration reference, these tasks",
    command: run(PERMISSIONS.generate, "tools/generate.ts", { quiet: false }),
  },
  test: { description: "Runs every test that needs no GPU", command: test("tests/") },
  "test:doc": {
    description: "Runs the examples of the documentation",
    command: test(`--preload=tests/preload.ts --doc ${DOCUMENTED}`, { parallel: true }),
  },
  "test:browser": { description: "Tests the dashboard in Chromium, if it is installed", command: "deno test -A tests/browser/" },
  "test:gpu": {
    description: "Runs the op tests on a CUDA GPU",
    command: [
      run(PERMISSIONS.doctor, "cli/doctor.ts --gpu"),
      test("tests/ops/ tests/tensor/ tests/model/ tests/rl/ -- --tiers=cuda"),
    ].join(" && "),
  },
  "test:slow": { description: "Runs every test, and the slow ones with their full counts", command: test("tests/ -- --slow") },
  bench: {
    description: "Measures ratios: GEMM, shared prefixes, AdamW, an empty call, partitions, AT-RL's share of a step",
    command: run(PERMISSIONS.bench, "bench/all.ts"),
  },
  "init-model": {
    description: "Writes a model folder with random weights, for trials without trained weights",
    command: run(PERMISSIONS["init-model"], "cli/init_model.ts", { quiet: false }),
  },
  "bench:verifier": {
    description: "Measures the verifier's agreement with official verdicts, and answers graded per second",
    command: run(PERMISSIONS["bench:verifier"], "bench/verifier.ts", { quiet: false }),
  },
  "bench:step": {
    description: "Measures the seconds of a rollout and of an update",
    command: run(PERMISSIONS["bench:step"], "bench/step.ts"),
  },
  "bench:cuda": {
    description: "Prints registers, shared memory and spills of every CUDA kernel",
    command: run(PERMISSIONS["bench:cuda"], "bench/cuda_resources.ts"),
  },
  "ok:static": {
    description: "Runs every check except the tests",
    command: [
      "deno fmt --check",
      "deno lint",
      "deno check",
      run({ read: ["."] }, "tools/generate.ts --check", { quiet: false }),
      "deno task test:doc",
      "LD_LIBRARY_PATH=/usr/lib deno task doctor",
    ].join(" && "),
  },
  ok: { description: "Runs every check and every test", command: "deno task ok:static && deno task test && deno task test:browser" },
};

const quoted = (name: string) => `\`${name}\``;

const INTRO = `# Permissions

<!-- Written by tools/generate_tasks.ts from cli/permissions.ts; edit the sets, not this file. -->

This page says what each task of \`deno.json\` may do on your machine. Deno gives a program only the
access that its command allows, and no task asks for more while it runs. An empty cell means no
access of that kind; \`any\` means all access of that kind. Paths are relative to the checkout.

\`deno task train\`, \`serve\` and \`sft\` start a training process and supervise it. The training
process has the permissions of the second row. Your own modules for the credit, the loss and the
classes of tokens run in the training process, with its permissions. Reward modules run in processes
with [fewer permissions](algorithms.md#rewards).

The table names environment variables by their purpose:

${Object.entries(ENVIRONMENT).map(([name, variables]) => `- ${name}: ${variables.map(quoted).join(", ")}`).join("\n")}
`;

/** Lists environment variables. Variables of one purpose are named by it. */
function variables(names: readonly string[] = []): string {
  const groups = Object.entries(ENVIRONMENT).filter(([, group]) => group.every((name) => names.includes(name)));
  const grouped = new Set<string>(groups.flatMap(([, group]) => group));
  return [...names.filter((name) => !grouped.has(name)).map(quoted), ...groups.map(([name]) => name)].join(", ");
}

/** Writes the sets as a table. */
function permissionsPage(): string {
  const cell = (value: true | readonly string[] | undefined) =>
    value === undefined ? "" : value === true ? "any" : value.map(quoted).join(", ");
  const { train, serve: _, sft: _same, ...others } = PERMISSIONS;
  const sets: [string, Permissions][] = [
    ["`train`, `serve`, `sft`", train],
    ["the training process", TRAINING],
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

/** Returns the generated files, by their path in the project. */
export function generatedTasks(): Record<string, string> {
  const path = "deno.json", config = JSON.parse(Deno.readTextFileSync(join(ROOT, path))) as Record<string, unknown>;
  return { [path]: `${JSON.stringify({ ...config, tasks: TASKS }, null, 2)}\n`, "docs/permissions.md": permissionsPage() };
}
