import type { OpenOptions } from "../../data/open.ts";
import type { AdamWState } from "../../tensor/optimizer.ts";
import { type DivergenceTerm, needsReference } from "../../rl/divergences/term.ts";
import type { PolicyLoss } from "../../rl/losses/policy_loss.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { AnchorDetector } from "../anchor_detector/anchor_detector.ts";
import type { Config } from "../config/schema.ts";
import type { CriticOptions } from "../critic/critic.ts";
import type { EvaluatorOptions } from "../evaluator/evaluator.ts";
import type { LoaderEvent, LoaderOptions } from "../loader/loader.ts";
import type {
  CriticMessage,
  CriticReplies,
  DetectorMessage,
  DetectorReplies,
  EvaluatorMessage,
  EvaluatorReplies,
  LoaderMessage,
  LoaderReplies,
  PolicyMessage,
  PolicyReplies,
} from "../messages.ts";
import type { LearnerOptions } from "../policy/learner.ts";
import type { PolicyOptions } from "../policy/policy.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import type { Message } from "../runtime/protocol.ts";
import { Actor } from "../runtime/spawn.ts";

type Any = Actor<Message, Record<string, unknown>>;

/** Where a session begins. */
export interface Beginning {
  /** Model folder: a checkpoint, or a new model. */
  readonly model: string;
  /** Folder of the tokenizer, template and image processor. */
  readonly files: string;
  /** What paths of reward modules are relative to: a URL. */
  readonly base: string;
  /** Worker modules by actor's name, in place of the built-in ones: URLs. */
  readonly modules?: Readonly<Record<string, string>> | undefined;
  /** The model that a divergence refers to; undefined: none is loaded yet. */
  readonly reference?: string | undefined;
  /** Of a checkpoint. */
  readonly optimizer?: AdamWState;
  /** Is told of what a user should know. */
  readonly onNote?: (words: string) => void;
  /** Whether that is a checkpoint within the warm start. */
  readonly warm?: boolean;
}

/** The actors of a run at work. They live and die together: where one dies, the run goes on from its last checkpoint with new ones. */
export class Session implements AsyncDisposable {
  private constructor(
    readonly policy: Actor<PolicyMessage, PolicyReplies>,
    readonly critic: Actor<CriticMessage, CriticReplies>,
    readonly detector: Actor<DetectorMessage, DetectorReplies>,
    readonly evaluator: Actor<EvaluatorMessage, EvaluatorReplies>,
    readonly loader: Actor<LoaderMessage, LoaderReplies>,
    /** The reference's output matrix, where a divergence is over the whole vocabulary. */
    readonly referenceMatrix: Tensor | undefined,
    readonly all: readonly Any[],
  ) {}

  /** Starts the actors side by side. @throws what the first to fail threw; none is left then. */
  static async open(
    memory: ActorMemory,
    config: Config,
    { model, files, base, reference, optimizer, warm = false, modules, onNote }: Beginning,
  ): Promise<Session> {
    let matrix: Tensor | undefined;
    const started: Any[] = [], { device } = config, threads = config.threads ?? undefined;
    const spawn = async <M extends Message, R extends Record<M["type"], unknown>>(
      name: string,
      folder: string,
      options: unknown,
      own: { threads?: number | undefined; device?: string; onEvent?: (event: unknown) => void } = {},
    ): Promise<Actor<M, R>> => {
      const module = new URL(modules?.[name] ?? `../${folder}/worker.ts`, import.meta.url);
      const actor = await Actor.spawn<M, R>(memory, {
        name,
        module,
        device: own.device ?? device,
        threads: "threads" in own ? own.threads : 1,
        options,
        ...(own.onEvent && { onEvent: own.onEvent }),
      });
      started.push(actor as unknown as Any);
      return actor;
    };
    const policyOptions: PolicyOptions = {
      model,
      files,
      dtype: config.model.dtype,
      freezeVision: config.model.freezeVision,
      learner: learnerOptions(config),
      engine: {
        ...(config.rollout.maxSequences !== null && { maxSequences: config.rollout.maxSequences }),
        ...(config.rollout.memoryBytes !== null && { memoryBytes: config.rollout.memoryBytes }),
      },
      ...(optimizer && { restore: { folder: model, optimizer, warm } }),
    };
    const { reward, grader, seed, data, val } = config, { read, net, env } = grader;
    const pool = { timeLimit: grader.timeLimit, workers: grader.workers ?? 1, read, net, env };
    const term = divergenceOf(config);
    const criticOptions: CriticOptions = {
      reward,
      base,
      grader: pool,
      estimator: config.algorithm.advEstimator,
      ...(term && { divergence: term }),
    };
    const evaluatorOptions: EvaluatorOptions = {
      model: files,
      reward,
      base,
      grader: pool,
      limit: val.limit,
      n: val.n,
      temperature: val.temperature,
      topP: val.topP,
      greedy: val.greedy,
      maxTokens: data.maxResponseLength,
      seed,
    };
    const { maxPromptLength, overlongPrompts } = data;
    const loaderOptions: LoaderOptions = {
      model: files,
      board: data.board as LoaderOptions["board"],
      seed,
      maxPromptLength,
      overlongPrompts,
      ...(data.task === "files" && { files: { train: list(data.trainFiles), val: list(data.valFiles), columns: columnsOf(data) } }),
    };
    try {
      const [policy, critic, detector, evaluator, loader] = await Promise.all([
        spawn<PolicyMessage, PolicyReplies>("policy", "policy", policyOptions, { threads }),
        spawn<CriticMessage, CriticReplies>("critic", "critic", criticOptions),
        spawn<DetectorMessage, DetectorReplies>(
          "anchor_detector",
          "anchor_detector",
          {} satisfies ConstructorParameters<typeof AnchorDetector>[0] | object,
        ),
        spawn<EvaluatorMessage, EvaluatorReplies>("evaluator", "evaluator", evaluatorOptions, { device: "cpu", threads: 1 }),
        spawn<LoaderMessage, LoaderReplies>("loader", "loader", loaderOptions, {
          device: "cpu",
          threads: 1,
          onEvent: (event) => onNote?.((event as LoaderEvent).note),
        }),
      ]);
      if (term && reference !== undefined) {
        const { learner: _, restore: __, ...plain } = policyOptions;
        const frozen = await spawn<PolicyMessage, PolicyReplies>(
          "reference",
          "policy",
          { ...plain, model: reference } satisfies PolicyOptions,
          { threads },
        );
        await (frozen as unknown as Any).introduce(critic as unknown as Any, "reference");
        if (term.kind === "full") {
          const { weight } = await frozen.peer.request<"outputMatrix">(() => ({ type: "outputMatrix" }));
          matrix = memory.account(weight.device).receive(weight);
        }
      }
      await (policy as unknown as Any).introduce(evaluator as unknown as Any, "policy");
      await (loader as unknown as Any).introduce(evaluator as unknown as Any, "loader");
      return new Session(policy, critic, detector, evaluator, loader, matrix, started);
    } catch (error) {
      matrix?.[Symbol.dispose]();
      await Promise.allSettled(started.map((actor) => actor.close()));
      throw error;
    }
  }

  /** Bytes that each actor holds. */
  accounts(): Record<string, number> {
    return Object.fromEntries(this.all.map((actor) => [actor.peer.name, actor.report().bytes]));
  }

  /** Ends all actors: first those that ask others. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.referenceMatrix?.[Symbol.dispose]();
    const last = (actor: Any) => Number(["policy", "loader", "reference"].includes(actor.peer.name));
    for (const actor of this.all.toSorted((a, b) => last(a) - last(b))) {
      // deno-lint-ignore no-await-in-loop -- in this order
      await actor.close().catch(() => {});
    }
  }
}

/**
 * The divergence that a configuration asks for; undefined where there is none, or its coefficient is 0.
 */
export function divergenceOf({ algorithm: { kl } }: Config): DivergenceTerm | undefined {
  if (!needsReference(kl ?? undefined)) return undefined;
  return kl!;
}

/** What the policy's updates take from a configuration. */
function learnerOptions(config: Config): LearnerOptions {
  const { algorithm, batch, optim, data, model } = config, term = divergenceOf(config);
  return {
    loss: algorithm.loss as PolicyLoss,
    aggregation: algorithm.lossAvgMode === "seq_sum_norm"
      ? { kind: "seq_sum_norm", length: data.maxResponseLength }
      : { kind: algorithm.lossAvgMode },
    oldLogprobs: algorithm.oldLogprobs,
    correction: algorithm.correction as LearnerOptions["correction"] ?? undefined,
    divergence: term?.where === "loss" ? term as LearnerOptions["divergence"] : undefined,
    globalBatchSize: batch.globalBatchSize ?? undefined,
    epochs: batch.ppoEpochs,
    microTokens: batch.microTokens,
    checkpointing: model.checkpointing,
    optimizer: {
      beta1: optim.beta1,
      beta2: optim.beta2,
      eps: optim.eps,
      weightDecay: optim.weightDecay,
      maxNorm: optim.maxGradNorm,
      moments: optim.moments,
      seed: config.seed,
    },
    warmOptimizer: config.sft ? { weightDecay: config.sft.weightDecay, maxNorm: config.sft.maxGradNorm } : undefined,
  };
}

/** A prompt's format: what is written there, or what the file holds that it names. */
function formatOf(format: string): string {
  return /^(?:\.{1,2})?\//.test(format) ? Deno.readTextFileSync(format).replace(/\n$/, "") : format;
}

function list(files: string | readonly string[]): readonly string[] {
  return typeof files === "string" ? [files] : files;
}

/** How rows of files are read. */
function columnsOf(data: Config["data"]): Omit<OpenOptions, "onNote"> {
  const { format, imageRoots, allowRemote } = data, formatPrompt = formatOf(data.formatPrompt);
  const given = {
    promptKey: data.promptKey,
    answerKey: data.answerKey,
    imageKey: data.imageKey,
    videoKey: data.videoKey,
    optionsKey: data.optionsKey,
    imageDir: data.imageDir,
    idKey: data.idKey,
    demonstrationKey: data.demonstrationKey,
    systemPrompt: data.systemPrompt,
    minPixels: data.minPixels,
    maxPixels: data.maxPixels,
  };
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));
  return { format, imageRoots, allowRemote, formatPrompt, ...set };
}
