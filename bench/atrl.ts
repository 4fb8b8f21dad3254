/**
 * Measures how many seconds of a training step AT-RL takes, by section: connectivity while decoding, then scores, graph, clusters,
 * weights and advantages, and the report, by the default options. For connectivity, two engines answer the same prompts alternately, step by step, and one of them measures
 * connectivity.
 *
 * Goal: sections 1 to 4 take at most 0.5 % of the step (rollout and update), measured in the same run.
 *
 * Section 1 is the additional time of the ops that measure connectivity (for each step the median over the rounds) and the engine's work
 * with the numbers. The difference between whole rollouts is as large, but it varies more; it is printed too.
 *
 *   deno run --allow-read --allow-write=.cache --allow-run=c++ --allow-env=PATH,HOME --allow-ffi bench/atrl.ts [--preset small] [--prompts 4] [--group 8] [--response 64]
 *     [--grid 16] [--rounds 5] [--threads 2]
 *
 * @module
 */
import { CpuDevice } from "../ffi/cpu_device.ts";
import type { Ops } from "../ffi/generated/bindings.ts";
import { type Completion, Recorder } from "../model/engine/completion.ts";
import { Engine } from "../model/engine/engine.ts";
import { VisionLanguageModel } from "../model/model.ts";
import { detectAtrl } from "../rl/atrl/detect.ts";
import { TokenGraph } from "../rl/atrl/graph.ts";
import { ATRL_DEFAULTS } from "../rl/atrl/options.ts";
import { partitionKway } from "../rl/atrl/partition.ts";
import { Responses } from "../rl/credit/responses.ts";
import { tokenScore } from "../rl/atrl/score.ts";
import { tokenWeights } from "../rl/atrl/weights.ts";
import { Random } from "../tensor/random.ts";
import { Tensor } from "../tensor/tensor.ts";
import { type PresetName, presets } from "../model/config/presets.ts";
import { benchLine } from "./options.ts";
import { measure, median, Report } from "./report.ts";
import { benchConfig, randomPrompt, Updates } from "./step_parts.ts";

const SHARE_GOAL = 0.005;
const line = benchLine({
  name: "deno task bench atrl",
  does: "Measures how many seconds of a training step AT-RL takes, by section.",
  values: {
    preset: ["NAME", `${Object.keys(presets).join(" | ")} (default small)`, Object.keys(presets)],
    prompts: ["N", "of a step (default 4)"],
    group: ["N", "answers to each prompt (default 8)"],
    response: ["N", "tokens per answer (default 64)"],
    grid: ["N", "patches per side of a picture (default 16)"],
    rounds: ["N", "repetitions of each (default 5)"],
    threads: ["N", "threads of the ops (default 2)"],
  },
});
const number = (name: "prompts" | "group" | "response" | "grid" | "rounds" | "threads", fallback: number) =>
  line.number(name, { min: 1 }) ?? fallback;
const [group, response, rounds] = [number("group", 8), number("response", 64), number("rounds", 5)];
const config = benchConfig(line.choice("preset", Object.keys(presets) as PresetName[]) ?? "small"), random = new Random(0);

using device = CpuDevice.open({ threads: number("threads", 2) });
using model = VisionLanguageModel.initialise(config, { device, seed: 0, dtype: "f32", scheme: "fan-in" });
using updates = new Updates(model, random);
const prompts = Array.from({ length: number("prompts", 4) }, () => randomPrompt(config, random, { grid: number("grid", 16), text: 24 }));

/** The ops whose calls differ when connectivity is measured. Their time varies less than that of a whole step. */
const CONNECTIVITY_OPS = ["decodeAttention", "connectivity", "scatterRows", "fill"] as const;
let lookingSeconds = 0;
const plainOps: Ops = device.ops;
const timed = Object.fromEntries(CONNECTIVITY_OPS.map((name) => {
  const op = plainOps[name] as (...args: unknown[]) => unknown;
  return [name, (...args: unknown[]) => {
    const start = performance.now();
    const result = op(...args);
    lookingSeconds += (performance.now() - start) / 1000;
    return result;
  }];
}));
Object.defineProperty(device, "ops", { value: { ...plainOps, ...timed } });

/** The rollout of one engine. */
class Rollout implements Disposable {
  readonly engine = new Engine(model, { memoryBytes: 2 ** 29 });
  /** The seconds of the whole step and of the ops in CONNECTIVITY_OPS, by round and step. */
  readonly seconds: { all: number; ops: number }[][] = [];
  #tickets: ReturnType<Engine["submit"]>[] = [];
  constructor(readonly connectivity: boolean) {}

  submit(seed: number): void {
    const { connectivity } = this, sampling = { n: group, maxTokens: response, stop: [], seed, connectivity };
    this.#tickets = prompts.map((prompt) => this.engine.submit({ prompt, ...sampling }));
    this.seconds.push([]);
  }

  /** Runs a step. Returns whether more steps remain. */
  step(): boolean {
    lookingSeconds = 0;
    const start = performance.now(), more = this.engine.step();
    this.seconds.at(-1)!.push({ all: (performance.now() - start) / 1000, ops: lookingSeconds });
    return more;
  }

  completions(): Promise<Completion[][]> {
    return Promise.all(this.#tickets.map(({ result }) => result));
  }

  [Symbol.dispose](): void {
    this.engine[Symbol.dispose]();
  }
}

using plain = new Rollout(false);
using looking = new Rollout(true);
const updateSeconds: number[] = [];
let completions: Completion[][] = [];
for (let round = 0; round <= rounds; round++) {
  for (const rollout of [plain, looking]) rollout.submit(round);
  for (let step = 0, more = true; more; step++) {
    const turns = (step + round) % 2 === 0 ? [plain, looking] : [looking, plain];
    more = turns.map((rollout) => rollout.step()).every(Boolean);
  }
  // deno-lint-ignore no-await-in-loop -- they are there already
  completions = await looking.completions();
  const start = performance.now();
  updates.run(prompts, completions);
  updateSeconds.push((performance.now() - start) / 1000);
}
for (const list of [plain.seconds, looking.seconds, updateSeconds]) list.shift(); // the first round compiles, packs weights and allocates
Object.defineProperty(device, "ops", { value: plainOps });

/** Returns what connectivity adds to a rollout: the difference of medians and of minima over the rounds, summed over the steps. */
function added(of: "all" | "ops"): { seconds: number; best: number } {
  const steps = plain.seconds[0]!.map((_, step) => {
    const rows = [looking, plain].map(({ seconds }) => seconds.map((round) => round[step]![of])) as [number[], number[]];
    return {
      seconds: median(rows[0].map((x, round) => x - rows[1][round]!)),
      best: Math.min(...rows[0]) - Math.min(...rows[1]),
    };
  });
  const sum = (name: "seconds" | "best") => steps.reduce((total, each) => total + each[name], 0);
  return { seconds: sum("seconds"), best: sum("best") };
}
const rolloutSeconds = median(plain.seconds.map((steps) => steps.reduce((sum, { all }) => sum + all, 0)));
const bestRollout = Math.min(...plain.seconds.map((steps) => steps.reduce((sum, { all }) => sum + all, 0)));
const step = rolloutSeconds + median(updateSeconds), bestStep = bestRollout + Math.min(...updateSeconds);

const flat = completions.flat(), regions = flat[0]!.regions!.regions, visual = flat.map(() => true);
function pack() {
  const responses = Responses.of(device, flat.map(({ tokens }) => tokens.length));
  const connectivity = new Float32Array(responses.tokens), profile = new Float32Array(responses.tokens * regions);
  for (const [i, own] of flat.entries()) {
    connectivity.set(own.connectivity!, responses.offsets[i]);
    profile.set(own.profile!, responses.offsets[i]! * regions);
  }
  return {
    responses,
    connectivity: Tensor.from(device, connectivity),
    profile: Tensor.from(device, profile, { shape: [responses.tokens, regions] }),
  };
}
const { responses, connectivity, profile } = pack();
using advantage = Tensor.from(device, Float32Array.from(random.normal(flat.length)));
using scores = tokenScore(responses, { connectivity, profile }, ATRL_DEFAULTS);
const { neighbours, adjacency } = ATRL_DEFAULTS;
using graph = new TokenGraph(responses, { connectivity: scores, profile, neighbours, adjacency });
using clusters = partitionKway(graph, ATRL_DEFAULTS);

/** Does the host work by which an engine stores connectivity, for all steps of a rollout. */
function record(): void {
  const numbers = new Float32Array(flat.length * (2 + regions)).fill(0.5), map = flat[0]!.regions;
  const recorders = flat.map(() => new Recorder());
  for (let step = 0; step < response; step++) {
    for (const [i, recorder] of recorders.entries()) {
      recorder.addAttention({ numbers, mass: 2 * i, profile: 2 * flat.length + i * regions, regions });
    }
  }
  for (const recorder of recorders) recorder.finish("length", map);
}

const result = measure({
  "section 1, on the host": record,
  "sections 1.6 to 4": () => {
    const { responses, connectivity, profile } = pack();
    using credit = detectAtrl(responses, { connectivity, profile, visual });
    credit.advantages(advantage).free();
    for (const each of [responses, connectivity, profile]) each[Symbol.dispose]();
  },
  "1.6 to 4 and the report": () => {
    using credit = detectAtrl(responses, { connectivity, profile, visual });
    using advantages = credit.advantages(advantage);
    credit.report({ advantages });
  },
  scores: () => tokenScore(responses, { connectivity, profile }, ATRL_DEFAULTS)[Symbol.dispose](),
  graph: () => new TokenGraph(responses, { connectivity: scores, profile, neighbours, adjacency })[Symbol.dispose](),
  partition: () => partitionKway(graph, ATRL_DEFAULTS)[Symbol.dispose](),
  weights: () => {
    const { weights, flags } = tokenWeights(responses, { connectivity: scores, cluster: clusters.cluster }, ATRL_DEFAULTS);
    weights.free();
    flags.free();
  },
});
for (const each of [responses, connectivity, profile]) each[Symbol.dispose]();

const report = new Report("AT-RL", {
  threads: device.threads,
  responses: flat.length,
  tokens: response,
  regions,
  goal: `sections 1 to 4 at most ${100 * SHARE_GOAL} % of the step`,
});
const row = (part: string, { seconds, best }: { seconds: number; best: number }, goal = false) => {
  const share = seconds / step;
  report.row({
    part,
    ms: 1000 * seconds,
    best: 1000 * best,
    "% of the step": 100 * share,
    "% of the best step": 100 * best / bestStep,
    ...(goal ? { goal: share <= SHARE_GOAL ? "met" : "MISSED" } : {}),
  });
};
const ops = added("ops"), { "section 1, on the host": host, "sections 1.6 to 4": rest, ...parts } = result;
const first = { seconds: ops.seconds + host.seconds, best: ops.best + host.best };
row("step: rollout and update", { seconds: step, best: bestStep });
row("sections 1 to 4", { seconds: first.seconds + rest.seconds, best: first.best + rest.best }, true);
row("section 1", first);
row("section 1, its ops", ops);
row("section 1, on the host", host);
row("what whole rollouts differ by", added("all"));
row("sections 1.6 to 4", rest);
for (const [part, each] of Object.entries(parts)) row(part, each);
report.print();
