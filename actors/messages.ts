/**
 * The messages of every actor, and their replies. Tensors are sent as handles; a comment says whether a message lends or moves them.
 *
 * @module
 */
import type { FilePrint } from "../data/file_print.ts";
import type { Finish } from "../model/engine/completion.ts";
import type { ConnectivityOptions } from "../model/connectivity.ts";
import type { HeadConnectivityOptions } from "../model/head_connectivity.ts";
import type { RegionBox } from "../model/regions.ts";
import type { Grid } from "../model/prompt.ts";
import type { CommandArgument, CommandName, CommandReply, RunStatus, Tuning } from "./run_commands.ts";
import type { VisibleKeys } from "../rl/credit/plain_score.ts";
import type { VppoOptions } from "../rl/credit/vppo.ts";
import type { HeadRule, RankedHead } from "../rl/atrl/head_ranking.ts";
import type { AtrlOptions } from "../rl/atrl/options.ts";
import type { RewardInput } from "../verify/reward.ts";
import type { TensorHandle } from "../tensor/handle.ts";

/** A picture or video of a prompt. */
export interface VisualMessage {
  readonly kind: "image" | "video";
  readonly grid: Grid;
  /** u8, host: resized frames. */
  readonly frames: TensorHandle;
  readonly count: number;
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
  readonly secondsPerGrid?: number;
}

/** A prompt as the model reads it. */
export interface PromptMessage {
  /** The key of its random draws: the row's id. */
  readonly key: string;
  /** i32 [tokens], host. */
  readonly tokens: TensorHandle;
  readonly visuals: readonly VisualMessage[];
}

/** The answers to one prompt. Their tokens are packed one after the other, in host memory. */
export interface AnswersMessage {
  /** The number of tokens of each answer. */
  readonly lengths: readonly number[];
  /** Why each answer ended. */
  readonly finish: readonly Finish[];
  /** i32 [tokens] */
  readonly tokens: TensorHandle;
  /** f32 [tokens], as sampled. */
  readonly logprobs: TensorHandle;
  /** f32 [tokens], in nats. */
  readonly entropies: TensorHandle;
  /** f32 [tokens]; undefined where it was not measured. */
  readonly connectivity?: TensorHandle;
  /** f32 [tokens, regions]; undefined where there are none. */
  readonly profile?: TensorHandle;
  /** Columns of `profile`; 0 where there is none. */
  readonly regions: number;
  /** What the regions are, as rectangles of the pictures. */
  readonly boxes: readonly RegionBox[];
  /** Tokens of the prompt that are no sinks: visual ones and others. */
  readonly visible: VisibleKeys;
}

/** How answers are sampled. */
export interface SamplingMessage {
  /** The number of answers to a prompt. */
  readonly n: number;
  /** Divides the logits; 0 takes the likeliest token. */
  readonly temperature: number;
  /** Keeps so many of the likeliest tokens; 0 (default): all. */
  readonly topK?: number;
  /** Keeps the likeliest tokens up to this probability. Default 1: all. */
  readonly topP?: number;
  /** Keeps tokens of at least this share of the likeliest one's probability. Default 0: all. */
  readonly minP?: number;
  /** The most tokens of an answer. */
  readonly maxTokens: number;
  /** The seed. Together with the prompt's key it determines the random draws. */
  readonly seed: number;
  /** How connectivity is measured; undefined: it is not. */
  readonly connectivity?: ConnectivityOptions;
}

/** How answers to a chat are sampled. */
export interface ChatSamplingMessage extends SamplingMessage {
  /** Texts that end an answer, besides the model's own end. */
  readonly stop: readonly string[];
}

/** A token of a "generate" as it comes. */
export interface TokenPart {
  /** Which answer. */
  readonly sample: number;
  /** Its id. */
  readonly token: number;
  /** Natural logarithm of its probability. */
  readonly logprob: number;
}

/** A prompt and its answers, for a forward pass. All tensors are lent. */
export interface GroupMessage {
  readonly prompt: PromptMessage;
  readonly lengths: readonly number[];
  /** i32 [tokens], host. */
  readonly tokens: TensorHandle;
  /** f32 [tokens], host: as sampled. */
  readonly logprobs: TensorHandle;
  /** For each response, whether it counts in the loss. */
  readonly counts: readonly boolean[];
}

/** The replies of `policy`, by message. */
export type PolicyMessage =
  /** Prompts are lent; the answers come moved. */
  | { readonly type: "rollout"; readonly prompts: readonly PromptMessage[]; readonly sampling: SamplingMessage }
  /** Groups are lent; f32 [tokens] host comes moved. `blacken`: the seed by which patches of the pictures are blackened (VPPO). `base`: whether
   * adapters are switched off. */
  | {
    readonly type: "logprobs";
    readonly groups: readonly GroupMessage[];
    readonly temperature: number;
    readonly blacken?: number;
    readonly base?: boolean;
  }
  /** The prompt is lent; the answers come moved, and their tokens before them as {@linkcode TokenPart}. */
  | { readonly type: "generate"; readonly prompt: PromptMessage; readonly sampling: ChatSamplingMessage }
  /** Groups are lent; what the output matrix is multiplied with, [tokens, hidden] device, comes moved. `base`: as of "logprobs". */
  | { readonly type: "predictions"; readonly groups: readonly GroupMessage[]; readonly base?: boolean }
  /** Ranks the attention heads by the connectivity of answers. Groups are lent. */
  | {
    readonly type: "rankHeads";
    readonly groups: readonly GroupMessage[];
    readonly rule: HeadRule;
    readonly connectivity: HeadConnectivityOptions;
  }
  /** A copy of the output matrix, [vocab, hidden] device, comes moved. */
  | { readonly type: "outputMatrix" }
  /** Groups and numbers are lent: `advantages` f32 [tokens] device, `reference` f32 [tokens] host. */
  | {
    readonly type: "update";
    readonly groups: readonly GroupMessage[];
    readonly advantages: TensorHandle;
    readonly reference?: TensorHandle;
    /** For divergence "full": [tokens, hidden] and [vocab, hidden] device. Without a weight it is the output matrix of the policy's base. */
    readonly referenceStates?: { readonly hidden: TensorHandle; readonly weight?: TensorHandle };
    readonly klCoefficient: number;
    /** The temperature that the answers were sampled at. */
    readonly temperature: number;
    readonly entropyCoefficient: number;
    readonly step: number;
    readonly lr: number;
  }
  /** Prompts are moved and used up; `answers`: i32 host tensors, moved. */
  | { readonly type: "sft"; readonly prompts: readonly PromptMessage[]; readonly answers: readonly TensorHandle[]; readonly lr: number }
  /** Ends the warm start: the optimizer begins anew. */
  | { readonly type: "reset" }
  | {
    readonly type: "save";
    readonly run: string;
    readonly step: number;
    readonly state: unknown;
    readonly score?: number;
    readonly saveLimit: number;
    readonly saveBest: boolean;
    /** "warm": a checkpoint within the warm start, which counts its own steps. Default "step". */
    readonly kind?: "step" | "warm";
  }
  | { readonly type: "stats" };

/** The replies of `policy`, by message. */
export type PolicyReplies = {
  rollout: { readonly answers: readonly AnswersMessage[]; readonly seconds: Readonly<Record<string, number>> };
  /** `updated`: the step of its last update; undefined where there was none since it was loaded. */
  generate: { readonly answers: AnswersMessage; readonly updated: number | undefined };
  logprobs: { readonly logprobs: TensorHandle };
  predictions: { readonly hidden: TensorHandle };
  /** All heads, the best first; none if no answer is to a prompt with pictures. */
  rankHeads: { readonly heads: readonly RankedHead[] };
  outputMatrix: { readonly weight: TensorHandle };
  update: { readonly metrics: Readonly<Record<string, number>>; readonly skippedInRow: number };
  sft: { readonly loss: number; readonly gradNorm: number; readonly skippedInRow: number };
  reset: null;
  save: { readonly path: string };
  stats: {
    readonly device: string;
    readonly headDim: number;
    readonly heads: number;
    readonly layers: number;
    readonly parameters: number;
    /** Elements that are trained. */
    readonly trained: number;
    readonly used: number;
    readonly peak: number;
    readonly tensors: number;
    readonly bytes: number;
  };
};

/** The replies of `critic`, by message. */
export type CriticMessage =
  | { readonly type: "score"; readonly samples: readonly RewardInput[] }
  /** All tensors are lent; the advantages, f32 [tokens] device, come moved. */
  | {
    readonly type: "advantages";
    readonly rewards: readonly number[];
    readonly parts: Readonly<Record<string, readonly number[]>>;
    readonly keys: readonly string[];
    readonly lengths: readonly number[];
    /** f32 [tokens] device. */
    readonly weights: TensorHandle;
    /** With a divergence in the reward: the log-probs of the policy, as sampled, and of the reference, f32 [tokens] host each. */
    readonly divergence?: { readonly logprobs: TensorHandle; readonly reference: TensorHandle };
    readonly klCoefficient: number;
    readonly baselines?: readonly number[];
  };

/** A sample's reward. */
export interface RewardMessage {
  readonly overall: number;
  readonly parts: Readonly<Record<string, number>>;
  readonly answer?: string;
  /** Why the sample was not graded, in which case its reward is 0. */
  readonly reason?: string;
}

/** The replies of `critic`, by message. */
export type CriticReplies = {
  score: { readonly rewards: readonly RewardMessage[] };
  advantages: { readonly advantages: TensorHandle; readonly metrics: Readonly<Record<string, number>> };
};

/** The replies of `anchor_detector`, by message. */
export type DetectorMessage =
  /** Everything is lent: f32 host. The weights, f32 [tokens] device, come moved. */
  | {
    readonly type: "detect";
    readonly lengths: readonly number[];
    readonly parts: readonly {
      readonly connectivity: TensorHandle;
      readonly profile?: TensorHandle;
      readonly regions: number;
      readonly responses: number;
      /** For a credit module of the user. */
      readonly logprobs?: TensorHandle;
      /** For a credit module of the user, and for scores with entropy. */
      readonly entropies?: TensorHandle;
      /** Keys that the row of an answer's first token sees. */
      readonly visible: VisibleKeys;
    }[];
    readonly options: Partial<AtrlOptions>;
    readonly keys: readonly { readonly prompt: number; readonly sample: number }[];
    /** u8 [tokens] host: indices into `TOKEN_CLASSES`, where they are known. */
    readonly classes?: TensorHandle;
  }
  /**
   * The same for VPPO. `plain`, `spoilt`: f32 [tokens] host, log-probs with and without the picture; lent. The weights come as of
   * `detect`.
   */
  | {
    readonly type: "vppo";
    readonly lengths: readonly number[];
    readonly plain: TensorHandle;
    readonly spoilt: TensorHandle;
    readonly options: VppoOptions;
  }
  /** The report on the last `detect` or `vppo`. `advantages` f32 [tokens] device, `entropies` f32 [tokens] host: lent. */
  | {
    readonly type: "report";
    readonly advantages: TensorHandle;
    readonly entropies: TensorHandle;
    readonly stepSeconds: number;
    /** The time that the choice of heads took. Default 0. */
    readonly headSeconds?: number;
  };

/** The replies of `anchor_detector`, by message. */
export type DetectorReplies = {
  detect: { readonly weights: TensorHandle };
  vppo: { readonly weights: TensorHandle };
  report: {
    readonly metrics: Readonly<Record<string, number>>;
    /** For each token, u8 host: bit 0 marks an anchor. Moved; absent for VPPO. */
    readonly flags?: TensorHandle;
    /** The number by which each token was told apart, f32 host, where that is not its connectivity. Moved. */
    readonly scores?: TensorHandle;
    /** For each token its cluster, i32 host. Moved; absent if no clusters were made. */
    readonly clusters?: TensorHandle;
  };
};

/** The replies of `evaluator`, by message. */
export type EvaluatorMessage = { readonly type: "evaluate"; readonly step: number };

/** The replies of `evaluator`, by message. */
export type EvaluatorReplies = { evaluate: { readonly metrics: Readonly<Record<string, number>> } };

/** A row whose prompt is prepared. The prompt is moved. */
export interface ReadyRow {
  readonly id: string;
  readonly index: number;
  readonly prompt: PromptMessage;
  readonly text: string;
  readonly input: Omit<RewardInput, "response">;
  /** The answer of supervised data: i32 host, moved. */
  readonly answer?: TensorHandle;
  /** A data URL of the first picture for reports, if it was requested. */
  readonly image?: string | undefined;
}

/** A part of the data. "warm": the rows of the supervised warm start. */
export type Split = "train" | "val" | "warm";

/** The replies of `loader`, by message. */
export type LoaderMessage =
  | {
    readonly type: "load";
    readonly split: Split;
    readonly indices: readonly number[];
    /** For how many rows, from the first one, a picture is wanted for reports. Default 0. */
    readonly images?: number;
  }
  | { readonly type: "sizes" }
  | { readonly type: "prints" };

/** The prints of a run's data files. The built-in task has none, because its rows are generated. */
export interface DataPrints {
  readonly train: readonly FilePrint[];
  readonly val: readonly FilePrint[];
}

/** The replies of `loader`, by message. */
export type LoaderReplies = {
  /** `bad`: rows that cannot be read; `overlong`: ids of those whose prompts are too long. */
  load: {
    readonly rows: readonly ReadyRow[];
    readonly bad: readonly { readonly id: string; readonly reason: string }[];
    readonly overlong: readonly string[];
  };
  sizes: Readonly<Record<Split, number>>;
  /** The prints of the files of rows. */
  prints: DataPrints;
};

/** A command to `trainer`. */
export type CommandMessage = {
  readonly [C in CommandName]: { readonly type: C; readonly argument?: CommandArgument<C> | undefined };
}[CommandName];

/** The replies of `trainer`, by message. A message that the run's state does not allow is refused with a KedgeError `State`. */
export type TrainerMessage =
  | CommandMessage
  /** Trains; the reply comes at the end. */
  | { readonly type: "start" }
  | { readonly type: "status" }
  /**
   * Asks the policy between two messages of the run. The prompt and the answers are moved; before the reply the tokens are sent as
   * {@linkcode TokenPart}.
   */
  | { readonly type: "generate"; readonly prompt: PromptMessage; readonly sampling: ChatSamplingMessage };

/** The state of a run. */
export type TrainerStatus = RunStatus;

/** A change of live-tunable fields. */
export type TuningReply = Tuning;

/** The replies of `trainer`, by message. */
export type TrainerReplies =
  & { readonly [C in CommandName]: CommandReply<C> }
  & {
    readonly start: RunStatus;
    readonly status: RunStatus;
    readonly generate: { readonly step: number; readonly answers: AnswersMessage };
  };

/** The events that `trainer` emits. */
export type TrainerEvent =
  | { readonly kind: "status"; readonly status: RunStatus }
  /** A line of metrics.jsonl. */
  | { readonly kind: "metrics"; readonly line: Readonly<Record<string, unknown>> }
  /** A step's answers have been written to rollouts.jsonl. */
  | { readonly kind: "rollouts"; readonly step: number; readonly samples: number }
  | { readonly kind: "checkpoint"; readonly step: number }
  | { readonly kind: "tuned"; readonly tuning: Tuning }
  | { readonly kind: "note"; readonly text: string };
