/**
 * The interface of a run for the outside, which connects the HTTP endpoint with a trainer.
 *
 * @module
 */
import type { Config } from "./config/schema.ts";
import type { Message } from "../model/processor/messages.ts";
import type { Commands, RunStatus, Tuning } from "./run_commands.ts";

export {
  type CommandArgument,
  type CommandName,
  type CommandReply,
  COMMANDS,
  type Commands,
  type CommandWords,
  RUN_STATES,
  type RunState,
  type RunStatus,
  type TunedField,
  type Tuning,
} from "./run_commands.ts";

/** An event of a run, for all of its listeners. */
export type RunEvent =
  | { readonly kind: "status"; readonly data: RunStatus }
  /** A line of metrics.jsonl. */
  | { readonly kind: "metrics"; readonly data: Readonly<Record<string, unknown>> }
  /** The answers of a step are available. */
  | { readonly kind: "rollouts"; readonly data: { readonly step: number; readonly samples: number } }
  | { readonly kind: "checkpoint"; readonly data: { readonly step: number } }
  | { readonly kind: "tuned"; readonly data: Tuning }
  /** A message for people. */
  | { readonly kind: "note"; readonly data: { readonly text: string } };

/** A question to the current policy. */
export interface ChatRequest {
  /** The conversation. Pictures are bytes or data URLs, never paths. */
  readonly messages: readonly Message[];
  /** The number of answers. */
  readonly n: number;
  /** The sampling temperature. 0 always takes the likeliest token. */
  readonly temperature: number;
  /** Samples only from the likeliest tokens up to this total probability. 1 keeps all. */
  readonly topP: number;
  /** The maximum length of an answer, in tokens. */
  readonly maxTokens: number;
  /** Texts that end an answer. They are not part of it. */
  readonly stop: readonly string[];
  /** The seed of sampling. Equal questions with equal seeds get equal answers from equal weights. */
  readonly seed: number;
  /** Whether to compute connectivity, anchors and clusters. */
  readonly connectivity: boolean;
}

/** A piece of an answer's text. */
export interface ChatPiece {
  /** The index of the answer. */
  readonly sample: number;
  /** Characters that cannot change any more; may be "". */
  readonly text: string;
  /** The tokens since the last piece. */
  readonly tokens: readonly ChatToken[];
}

/** A token of an answer. */
export interface ChatToken {
  /** The token's own text; "\ufffd" for part of a character. */
  readonly text: string;
  /** The natural logarithm of its probability. */
  readonly logprob: number;
}

/** A rectangle of a picture, as fractions of its width and height in [0, 1]. */
export interface ChatRegion {
  /** The index of the picture in the conversation. */
  readonly visual: number;
  /** Its left edge. */
  readonly left: number;
  /** Its upper edge. */
  readonly top: number;
  /** The distance from left to right. */
  readonly width: number;
  /** The distance from top to bottom. */
  readonly height: number;
}

/** Where the tokens of an answer attend. */
export interface ChatConnectivity {
  /** The connectivity of each token, in [0, 1]. */
  readonly values: readonly number[];
  /** Whether each token is an anchor. */
  readonly anchors: readonly boolean[];
  /** The cluster of each token; empty if AT-RL makes no clusters. */
  readonly clusters: readonly number[];
  /** The factor that AT-RL would apply to each token's advantage. */
  readonly weights: readonly number[];
  /** The distribution of attention: [tokens][regions]. */
  readonly profiles: readonly (readonly number[])[];
  /** The rectangles of the regions. */
  readonly regions: readonly ChatRegion[];
}

/** A complete answer. */
export interface ChatAnswer {
  /** The text, without special tokens and without the stop text. */
  readonly text: string;
  /** The tokens of the text. */
  readonly tokens: readonly ChatToken[];
  /** Why it ended: "stop" by the model or a stop text, "length" at the maximum length, "aborted" when it was cancelled. */
  readonly finish: "stop" | "length" | "aborted";
  /** Where the tokens attend, if it was requested and the question has a picture. */
  readonly connectivity?: ChatConnectivity;
}

/** The answers to a question. */
export interface ChatReply {
  /** The step whose update made the weights that answered. */
  readonly step: number;
  /** The number of tokens of the question. */
  readonly promptTokens: number;
  /** One answer for each of `n`. */
  readonly answers: readonly ChatAnswer[];
}

/** An existing checkpoint. */
export interface CheckpointInfo {
  /** The step after which it was written. */
  readonly step: number;
  /** The score of its evaluation; null if there was none. */
  readonly score: number | null;
  /** Whether its score is the highest. */
  readonly best: boolean;
  /** Its folder. */
  readonly path: string;
}

/** The answers of one step, as lines of rollouts.jsonl. */
export interface StepRollouts {
  /** The step; null if there are no answers yet. */
  readonly step: number | null;
  /** The steps whose answers are available, in ascending order. */
  readonly steps: readonly number[];
  /** Lines of rollouts.jsonl. */
  readonly samples: readonly Readonly<Record<string, unknown>>[];
}

/**
 * A run that can be watched and steered. A request that the state does not allow is refused with a KedgeError `State`, whose details have
 * the `state`. A repeated request has the same effect as one request.
 */
export interface RunControl extends Commands {
  /** Returns the configuration in use, including changes during the run. */
  config(): Config;
  /** Returns the fields that were changed during the run, by path, with their current values. */
  tuned(): Readonly<Record<string, unknown>>;
  /** Returns the status. */
  status(): Promise<RunStatus>;
  /** Starts the run, or resumes it from its last checkpoint. Returns when it is active. */
  start(): Promise<RunStatus>;
  /**
   * Asks the policy a question, which it answers between two steps.
   *
   * @param options `signal` cancels the answer. `onPiece` receives its pieces.
   * @throws {KedgeError} `State` if no policy is loaded, `BadData` for a picture that cannot be read, `OutOfMemory`; {RangeError} for a
   * question that is too long.
   */
  chat(request: ChatRequest, options?: { signal?: AbortSignal; onPiece?: (piece: ChatPiece) => void }): Promise<ChatReply>;
  /** Returns lines of metrics.jsonl for steps above `since` (-1: all steps): the newest, at most `limit`. */
  metrics(query: { since: number; limit: number }): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** Returns the answers of a step, by default of the last one. */
  rollouts(step?: number): Promise<StepRollouts>;
  /** Returns the existing checkpoints, in ascending order of steps. */
  checkpoints(): Promise<readonly CheckpointInfo[]>;
  /** Calls the listener for every event from now on. @returns A function that stops this. */
  listen(listener: (event: RunEvent) => void): () => void;
}
