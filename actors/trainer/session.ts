import type { AdamWState } from "../../tensor/optimizer.ts";
import type { DivergenceTerm } from "../../rl/divergences/term.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import {
  criticOptions,
  detectorOptions,
  divergenceOf,
  evaluatorOptions,
  laneOptions,
  loaderOptions,
  policyOptions,
  referenceOptions,
} from "../config/for_actors.ts";
import type { Config } from "../config/schema.ts";
import type { LoaderEvent } from "../loader/loader.ts";
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
import type { EvaluatorOptions } from "../evaluator/evaluator.ts";
import type { Place } from "../../ffi/world.ts";
import type { PolicyOptions } from "../policy/policy.ts";
import type { Ranks } from "../runtime/ranks.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import type { Message } from "../runtime/protocol.ts";
import type { SpareThreads } from "../runtime/spare_threads.ts";
import { Actor } from "../runtime/spawn.ts";

type AnyActor = Actor<Message, Record<string, unknown>>;

/** The options that a session begins with. */
export interface Beginning {
  /** The model's folder: a checkpoint, or a new model. */
  readonly model: string;
  /** The folder of the tokenizer, template and image processor. */
  readonly files: string;
  /** The URL that paths of users' modules are relative to. */
  readonly base: string;
  /** URLs of worker modules by actor's name, in place of the built-in ones. */
  readonly modules?: Readonly<Record<string, string>> | undefined;
  /**
   * The folder of the model that a divergence refers to, or "base": the policy's own, with its adapters switched off. Undefined: no reference is loaded yet.
   */
  readonly reference?: string | undefined;
  /** The optimizer's state in the checkpoint. */
  readonly optimizer?: AdamWState;
  /** Receives what a user should know. */
  readonly onNote?: (words: string) => void;
  /** Whether the checkpoint was written within the warm start. */
  readonly warm?: boolean;
  /** The ranks of the run, and how they share its updates. */
  readonly ranks: Ranks;
  /** The place of this process among them, and the lanes of its updates; undefined where there is one of both. */
  readonly world?: { readonly place: Place; readonly lanes: number } | undefined;
  /** Where the actors' threads come from and go to. Default: new threads, which end with the session. */
  readonly spares?: SpareThreads | undefined;
}

/** The frozen model that a divergence refers to. */
export interface Reference {
  readonly actor: Actor<PolicyMessage, PolicyReplies>;
  /** Whether that is the policy, whose base is asked. */
  readonly isPolicy: boolean;
  readonly term: DivergenceTerm;
  /** Its output matrix, [vocab, hidden] device, for a divergence over the whole vocabulary. The policy has that of its base itself. */
  readonly matrix: Tensor | undefined;
}

interface Actors {
  readonly policy: Actor<PolicyMessage, PolicyReplies>;
  readonly critic: Actor<CriticMessage, CriticReplies>;
  readonly detector: Actor<DetectorMessage, DetectorReplies>;
  readonly evaluator: Actor<EvaluatorMessage, EvaluatorReplies>;
  readonly loader: Actor<LoaderMessage, LoaderReplies>;
  readonly reference: Reference | undefined;
}

/** Starts an actor of a session: on the run's device with one thread, where nothing else is said. */
type Spawn = <M extends Message, R extends Record<M["type"], unknown>>(
  name: string,
  folder: string,
  options: unknown,
  on?: { threads?: number | undefined; device?: string; onEvent?: (event: unknown) => void },
) => Promise<Actor<M, R>>;

/** The actors of a run at work. They live and die together: where one dies, the run goes on from its last checkpoint with new ones. */
export class Session implements AsyncDisposable {
  readonly policy: Actors["policy"];
  readonly critic: Actors["critic"];
  readonly detector: Actors["detector"];
  readonly evaluator: Actors["evaluator"];
  readonly loader: Actors["loader"];
  /** Undefined where there is no divergence, or its reference is not loaded yet. */
  readonly reference: Reference | undefined;
  readonly #all: readonly AnyActor[];

  private constructor(actors: Actors, all: readonly AnyActor[], /** The ranks of the run. */ readonly ranks: Ranks) {
    this.policy = actors.policy;
    this.critic = actors.critic;
    this.detector = actors.detector;
    this.evaluator = actors.evaluator;
    this.loader = actors.loader;
    this.reference = actors.reference;
    this.#all = all;
  }

  /** Starts the actors side by side. @throws What the first to fail threw; none is left then. */
  static async open(memory: ActorMemory, config: Config, beginning: Beginning): Promise<Session> {
    const started: AnyActor[] = [], { modules, spares } = beginning;
    const spawn: Spawn = async <M extends Message, R extends Record<M["type"], unknown>>(
      name: string,
      folder: string,
      options: unknown,
      on = {},
    ) => {
      const module = new URL(modules?.[name] ?? `../${folder}/worker.ts`, import.meta.url);
      const actor = await Actor.spawn<M, R>(memory, { name, module, options, device: config.device, threads: 1, spares, ...on });
      started.push(actor as unknown as AnyActor);
      return actor;
    };
    try {
      return new Session(await startActors(memory, spawn, { config, beginning }), started, beginning.ranks);
    } catch (error) {
      await Promise.allSettled(started.map((actor) => actor.close()));
      throw error;
    }
  }

  /** Bytes that each actor holds. */
  accounts(): Record<string, number> {
    return Object.fromEntries(this.#all.map((actor) => [actor.peer.name, actor.report().bytes]));
  }

  /** Ends all actors: first those that ask others. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.reference?.matrix?.[Symbol.dispose]();
    const isLast = (actor: AnyActor) => Number(["policy", "loader", "reference"].includes(actor.peer.name));
    for (const actor of this.#all.toSorted((a, b) => isLast(a) - isLast(b))) {
      // deno-lint-ignore no-await-in-loop -- in this order
      await actor.close().catch(() => {});
    }
  }
}

async function startActors(
  memory: ActorMemory,
  spawn: Spawn,
  { config, beginning }: { config: Config; beginning: Beginning },
): Promise<Actors> {
  const { model, files, base, reference: folder, optimizer, warm = false, onNote, world } = beginning;
  const threads = { threads: config.threads ?? undefined }, onCpu = { device: "cpu" };
  const restore = optimizer && { folder: model, optimizer, warm };
  const [policy, critic, detector, evaluator, loader] = await Promise.all([
    spawn<PolicyMessage, PolicyReplies>(
      "policy",
      "policy",
      {
        ...policyOptions(config, { model, files, base }),
        ...(restore && { restore }),
        ...(world && { lanes: laneOptions(config, { ...world, channel: "policy" }) }),
      } satisfies PolicyOptions,
      threads,
    ),
    spawn<CriticMessage, CriticReplies>("critic", "critic", criticOptions(config, base)),
    spawn<DetectorMessage, DetectorReplies>("anchor_detector", "anchor_detector", detectorOptions(config, base), threads),
    spawn<EvaluatorMessage, EvaluatorReplies>(
      "evaluator",
      "evaluator",
      {
        ...evaluatorOptions(config, { files, base }),
        ...(world && { place: world.place }),
      } satisfies EvaluatorOptions,
      onCpu,
    ),
    spawn<LoaderMessage, LoaderReplies>("loader", "loader", loaderOptions(config, files), {
      ...onCpu,
      onEvent: (event) => onNote?.((event as LoaderEvent).note),
    }),
  ]);
  await (policy as unknown as AnyActor).introduce(evaluator as unknown as AnyActor, "policy");
  await (loader as unknown as AnyActor).introduce(evaluator as unknown as AnyActor, "loader");
  const term = divergenceOf(config);
  if (!term || folder === undefined) return { policy, critic, detector, evaluator, loader, reference: undefined };
  if (folder === "base") {
    return { policy, critic, detector, evaluator, loader, reference: { actor: policy, isPolicy: true, term, matrix: undefined } };
  }
  const actor = await spawn<PolicyMessage, PolicyReplies>(
    "reference",
    "policy",
    {
      ...referenceOptions(config, { model: folder, files, base }),
      ...(world && { lanes: laneOptions(config, { ...world, channel: "reference" }) }),
    } satisfies PolicyOptions,
    threads,
  );
  const reference = { actor, isPolicy: false, term, matrix: term.kind === "full" ? await outputMatrix(memory, actor) : undefined };
  return { policy, critic, detector, evaluator, loader, reference };
}

async function outputMatrix(memory: ActorMemory, actor: Reference["actor"]): Promise<Tensor> {
  const { weight } = await actor.peer.request<"outputMatrix">(() => ({ type: "outputMatrix" }));
  return memory.receive(weight);
}
