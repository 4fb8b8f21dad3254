import { concatenated } from "../../tensor/packing.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import type { Config } from "../config/schema.ts";
import type { PolicyReplies } from "../messages.ts";
import { groupMessage } from "../prompts.ts";
import type { Line } from "../run/lines.ts";
import { type ActorMemory, hostTensor } from "../runtime/actor_memory.ts";
import type { AnswerClasses } from "./answer_classes.ts";
import type { Batches } from "./batches.ts";
import { askCredit } from "./credit.ts";
import type { HeadChooser } from "./head_chooser.ts";
import { askReference, type ReferenceOutputs } from "./reference.ts";
import { type CountedGroup, countedGroup, type GradedAnswers, gradedAnswers, score } from "./roll.ts";
import { rolloutLines } from "./rollout_lines.ts";
import type { Session } from "./session.ts";
import { answerMetrics, classMetrics, speedMetrics } from "./step_metrics.ts";
import { timedInto } from "./timing.ts";

/** The options that a step is made with. */
export interface StepInputs {
  readonly memory: ActorMemory;
  readonly session: Session;
  readonly batches: Batches;
  readonly tokenizer: Tokenizer;
  /** Says the classes of the answers' tokens, where they are known. */
  readonly classes: AnswerClasses | undefined;
  /** The configuration as it is in use at this step. */
  readonly config: Config;
  /** The number of the step. */
  readonly step: number;
  /** The learning rate. */
  readonly lr: number;
  /** Chooses attention heads, where the configuration asks for a rule. */
  readonly heads?: HeadChooser | undefined;
  /** The coefficient of the divergence; 0 where there is none. */
  readonly klCoefficient: number;
}

/** The result of a step. */
export interface StepResult {
  readonly metrics: Record<string, number>;
  /** Lines of rollouts.jsonl. */
  readonly rollouts: readonly Line[];
  /** Updates in a row that were skipped for a gradient that is not finite. */
  readonly skippedInRow: number;
  /** The number of responses. */
  readonly responses: number;
  /** Why answers were not graded, each reason once. */
  readonly reasons: readonly string[];
}

/** Makes one step: the six parts of "A step" in docs/concepts.md, and what is written down of them. */
export async function runStep(inputs: StepInputs): Promise<StepResult> {
  const { memory, session, batches, config, step } = inputs, start = performance.now(), timing: Record<string, number> = {};
  const timed = timedInto(timing);
  using stack = new DisposableStack();
  // 1 and 2. The loader has prepared a batch of prompts, and the policy samples responses to them.
  const sampled = await batches.next({ step, config, timing });
  const groups = sampled.groups.map((group) => countedGroup(stack.use(group), config));
  const headChoice = await inputs.heads?.after(session, { groups, step });
  const classes = inputs.classes && stack.use(hostTensor(memory, inputs.classes.of(groups)));
  // 3 and 4. The anchor detector computes a weight for each token; at the same time the critic has the responses graded.
  const [{ weights: handle }, scores] = await Promise.all([
    timed("anchors", askCredit(memory, session, { config, indices: groups.map(({ row }) => row.index), groups, step, classes })),
    sampled.scores ?? timed("reward", score(session, groups)),
  ]);
  const weights = stack.use(memory.receive(handle)), answers = gradedAnswers(config, { groups, scores });
  // 5. The critic turns the rewards into advantages and multiplies them by the weights; a divergence needs the reference model's outputs.
  const reference = stack.use(await timed("adv", askReference(inputs, { groups, temperature: config.rollout.temperature })));
  const { advantages, metrics: penalty } = await timed("adv", askAdvantages(inputs, { answers, weights, reference }));
  stack.use(advantages);
  // 6. The policy makes its optimizer steps.
  const update = await timed("update_actor", askUpdate(inputs, { groups, advantages, reference }));
  const entropies = stack.use(hostTensor(memory, concatenated(groups.map(({ answers }) => answers.entropies.toFloats()))));
  const seconds = (performance.now() - start) / 1000;
  const anchors = stack.use(await askAnchors(inputs, { advantages, entropies, seconds, headSeconds: headChoice?.seconds ?? 0 }));
  const stats = await session.policy.peer.request<"stats">(() => ({ type: "stats" }));
  const metrics = {
    ...answerMetrics(answers, { advantages: advantages.toFloats(), n: config.rollout.n }),
    ...update.metrics,
    ...penalty,
    ...anchors.metrics,
    ...headChoice?.metrics,
    ...(classes && classMetrics(answers, { classes, weights, advantages, ...anchors.numbers, config })),
    ...timing,
    "timing_s/step": (performance.now() - start) / 1000,
    ...speedMetrics(answers, { config, stats, seconds, updateSeconds: timing["timing_s/update_actor"]! }),
    ...sampled.metrics,
  };
  const { rewards } = scores, { logprobs } = reference;
  const numbers = {
    advantages,
    weights,
    entropies,
    ...anchors.numbers,
    ...(logprobs && { reference: logprobs }),
    ...(classes && { classes }),
  };
  const rollouts = rolloutLines({ step, groups, rewards, tokenizer: inputs.tokenizer, numbers, limit: config.logging.rolloutSamples });
  const reasons = [...new Set(rewards.flatMap(({ reason }) => reason ?? []))];
  return { metrics, rollouts, skippedInRow: update.skippedInRow, responses: answers.lengths.length, reasons };
}

/** Asks the critic for the weighted advantages. */
async function askAdvantages(
  { memory, session, klCoefficient }: StepInputs,
  { answers, weights, reference }: { answers: GradedAnswers; weights: Tensor; reference: ReferenceOutputs },
): Promise<{ advantages: Tensor; metrics: Readonly<Record<string, number>> }> {
  const { groups, lengths, rewards, totals, baselines } = answers, names = Object.keys(rewards[0]?.parts ?? {});
  const target = session.reference?.term.where === "reward" ? reference.logprobs : undefined;
  using logprobs = target && hostTensor(memory, concatenated(groups.map(({ answers }) => answers.logprobs.toFloats())));
  const { advantages, metrics } = await session.critic.peer.request<"advantages">((carrier) => ({
    type: "advantages",
    rewards: totals,
    parts: Object.fromEntries(names.map((name) => [name, rewards.map(({ parts }) => parts[name] ?? NaN)])),
    keys: groups.flatMap(({ row, answers }) => answers.lengths.map(() => row.id)),
    lengths,
    weights: carrier.lend(weights),
    ...(target && { divergence: { logprobs: carrier.lend(logprobs!), reference: carrier.lend(target) } }),
    klCoefficient,
    ...(baselines && { baselines: groups.flatMap(({ answers }, i) => answers.lengths.map(() => baselines[i]!)) }),
  }));
  return { advantages: memory.receive(advantages), metrics };
}

/** Asks the policy for its update. */
async function askUpdate(
  { session, config, step, lr, klCoefficient }: StepInputs,
  { groups, advantages, reference }: { groups: readonly CountedGroup[]; advantages: Tensor; reference: ReferenceOutputs },
): Promise<PolicyReplies["update"]> {
  const { logprobs, hidden } = reference, matrix = session.reference?.matrix;
  return await session.policy.peer.request<"update">((carrier) => ({
    type: "update",
    groups: groups.map((group) => groupMessage(group, (tensor) => carrier.lend(tensor))),
    advantages: carrier.lend(advantages),
    ...(logprobs && { reference: carrier.lend(logprobs) }),
    ...(hidden && { referenceStates: { hidden: carrier.lend(hidden), ...(matrix && { weight: carrier.lend(matrix) }) } }),
    klCoefficient,
    temperature: config.rollout.temperature,
    entropyCoefficient: config.algorithm.entropyCoefficient,
    step,
    lr,
  }));
}

/** What the anchor detector reports of a step. */
interface AnchorReport extends Disposable {
  readonly metrics: Readonly<Record<string, number>>;
  readonly numbers: { readonly flags?: Tensor; readonly clusters?: Tensor; readonly scores?: Tensor };
}

/** Asks the anchor detector for its report on the step. */
async function askAnchors(
  { memory, session }: StepInputs,
  { advantages, entropies, seconds, headSeconds }: { advantages: Tensor; entropies: Tensor; seconds: number; headSeconds: number },
): Promise<AnchorReport> {
  const { metrics, flags, clusters, scores } = await session.detector.peer.request<"report">((carrier) => ({
    type: "report",
    advantages: carrier.lend(advantages),
    entropies: carrier.lend(entropies),
    stepSeconds: seconds,
    headSeconds,
  }));
  const numbers = {
    ...(flags && { flags: memory.receive(flags) }),
    ...(clusters && { clusters: memory.receive(clusters) }),
    ...(scores && { scores: memory.receive(scores) }),
  };
  return {
    metrics,
    numbers,
    [Symbol.dispose]() {
      for (const tensor of Object.values(numbers)) tensor[Symbol.dispose]();
    },
  };
}
