// deno-lint-ignore-file no-console no-await-in-loop -- a command; stages take turns
/**
 * Checks and measures Kedge on a GPU that it has not met, in one call of at most eight minutes. Results are lines of JSON, and at the end a table. A stage that
 * fails or takes too long does not keep the others from running, but for those that need it. What finds a wrong result comes first, then what finds a crash, then
 * times.
 *
 *   deno task build --cuda                                              # before, where there is time
 *   deno run -A bench/gpu_check.ts [--out FILE] [--seconds 470] [--dir /dev/shm/kedge] [--python PATH]
 *   deno run -A bench/gpu_check.ts --fake --python PATH                 # without a GPU: the same path through the tests' fake of CUDA
 *
 * @module
 */
import { benchLine } from "./options.ts";
import { ceilingsOf, floorOf, type Line, lineOf } from "./gpu/lines.ts";
import { Report } from "./report.ts";
import { type Stage, stagesOf } from "./gpu/stages.ts";

const line = benchLine({
  name: "deno run -A bench/gpu_check.ts",
  does: "Checks and measures Kedge on a GPU, in one call of at most eight minutes.",
  values: {
    out: ["PATH", "where the lines of JSON go (default gpu_check.jsonl)"],
    seconds: ["N", "the most that all stages take together (default 470)"],
    dir: ["PATH", "a folder for a model of 3 billion parameters (default: a temporary one)"],
    python: ["PATH", "a Python with PyTorch and transformers (default python3)"],
    only: ["LIST", "names of stages"],
  },
  flags: { fake: "runs the same path without a GPU, with a tiny model" },
});
const isFake = line.flag("fake"),
  out = line.text("out") ?? "gpu_check.jsonl",
  seconds = line.number("seconds", { min: 1 }) ?? (isFake ? 7200 : 470);
const made = line.text("dir") === undefined, dir = line.text("dir") ?? Deno.makeTempDirSync(), only = line.list("only");

/** How a stage ended. */
interface Ended {
  readonly stage: string;
  /** "passed", "failed", "stopped" at its limit, or "skipped". */
  readonly state: "passed" | "failed" | "stopped" | "skipped";
  readonly seconds: number;
  readonly words?: string;
  readonly lines: readonly Line[];
}

/** Whether a program can be started. */
async function exists(program: string): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

/** Runs a stage, for at most so many seconds. */
async function run({ name, command, env }: Stage, limit: number): Promise<Ended> {
  const start = performance.now(), [program, ...args] = command as [string, ...string[]];
  const child = new Deno.Command(program, { args, env: env ?? {}, stdin: "null", stdout: "piped", stderr: "piped", detached: true })
    .spawn();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    Deno.kill(-child.pid, "SIGKILL"); // its own processes too
  }, limit * 1000);
  const { code, stdout, stderr } = await child.output();
  clearTimeout(timer);
  const text = new TextDecoder(), printed = text.decode(stdout), lines = printed.split("\n").flatMap((row) => lineOf(row) ?? []);
  const failed = lines.filter(({ ok }) => ok === false), tests = /^.*(\d+ passed .*)$/m.exec(printed)?.[1];
  const end = `${printed}\n${text.decode(stderr)}`.trim().split("\n").slice(-12).join("\n");
  const state = isLate ? "stopped" : code !== 0 || failed.length > 0 ? "failed" : "passed";
  const words = state === "passed" ? tests : failed.length > 0 ? failed.map(({ name }) => name).join("; ") : end;
  return { stage: name, state, seconds: (performance.now() - start) / 1000, ...(words !== undefined && { words }), lines };
}

const skip = (stage: Stage, words: string): Ended => ({ stage: stage.name, state: "skipped", seconds: 0, words, lines: [] });

/** Runs the stages. @returns How they ended. */
async function all(): Promise<Ended[]> {
  const start = performance.now(), ends: Ended[] = [];
  Deno.writeTextFileSync(out, "");
  for (const stage of stagesOf({ isFake, dir, python: line.text("python") ?? "python3" })) {
    if (only.length > 0 && !only.includes(stage.name)) continue;
    const left = seconds - (performance.now() - start) / 1000, { needs = [], program } = stage;
    const lacks = needs.find((name) => ends.some((end) => end.stage === name && end.state !== "passed"));
    const end = lacks !== undefined
      ? skip(stage, `"${lacks}" did not pass`)
      : left < 10
      ? skip(stage, "no time is left")
      : program !== undefined && !await exists(program)
      ? skip(stage, `there is no ${program}`)
      : await run(stage, Math.min(left, stage.seconds));
    ends.push(end);
    Deno.writeTextFileSync(out, `${JSON.stringify(end)}\n`, { append: true });
    console.log(`${end.state.padEnd(8)} ${end.seconds.toFixed(1).padStart(6)} s  ${end.stage}${end.words ? `: ${end.words}` : ""}`);
  }
  return ends;
}

const figure = (x: number | undefined) => x === undefined ? "" : x !== 0 && Math.abs(x) < 0.01 ? x.toExponential(2) : x.toPrecision(4);

try {
  const ends = await all(), ceilings = ceilingsOf(ends.flatMap(({ lines }) => lines));
  const report = new Report("measured on the GPU", { stages: ends.length, seconds: ends.reduce((sum, end) => sum + end.seconds, 0) });
  for (const { stage, lines } of ends) {
    for (const one of lines.filter(({ value }) => value !== undefined)) {
      report.row({
        stage,
        name: one.name,
        measured: figure(one.value),
        unit: one.unit ?? "",
        floor: figure(floorOf(one, ceilings)),
        prediction: figure(one.prediction),
        PyTorch: figure(one.peer),
        check: one.ok === undefined ? "" : one.ok ? "ok" : "FAILED",
      });
    }
  }
  console.log(report.table());
  console.table(ends.map(({ stage, state, seconds }) => ({ stage, state, seconds: Math.round(seconds) })));
  if (ends.some(({ state }) => state === "failed" || state === "stopped")) Deno.exitCode = 1;
} finally {
  if (made) Deno.removeSync(dir, { recursive: true });
}
