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

/** What happened, told to all who listen. */
export type RunEvent =
  | { readonly kind: "status"; readonly data: RunStatus }
  /** A line of metrics.jsonl. */
  | { readonly kind: "metrics"; readonly data: Readonly<Record<string, unknown>> }
  /** A step's answers are there to be read. */
  | { readonly kind: "rollouts"; readonly data: { readonly step: number; readonly samples: number } }
  | { readonly kind: "checkpoint"; readonly data: { readonly step: number } }
  | { readonly kind: "tuned"; readonly data: Tuning }
  /** Words for people. */
  | { readonly kind: "note"; readonly data: { readonly text: string } };

/** A question to the policy as it is. */
export interface ChatRequest {
  /** Pictures as bytes or data URLs: never as paths. */
  readonly messages: readonly Message[];
  /** Answers. */
  readonly n: number;
  /** 0: greedy. */
  readonly temperature: number;
  /** Keeps the likeliest tokens up to this probability; 1: all. */
  readonly topP: number;
  /** Longest answer, in tokens. */
  readonly maxTokens: number;
  /** Texts that end an answer; they are no part of it. */
  readonly stop: readonly string[];
  /** Of the draws: equal questions with equal seeds get equal answers from equal weights. */
  readonly seed: number;
  /** Whether connectivity, anchors and clusters are worked out. */
  readonly connectivity: boolean;
}

/** Text of an answer as it comes. */
export interface ChatPiece {
  /** Which answer. */
  readonly sample: number;
  /** Characters that are certain; may be "". */
  readonly text: string;
  /** The tokens that came since the last piece. */
  readonly tokens: readonly ChatToken[];
}

/** A token of an answer. */
export interface ChatToken {
  /** The token alone, decoded; "\ufffd" for part of a character. */
  readonly text: string;
  /** Natural logarithm of its probability. */
  readonly logprob: number;
}

/** A rectangle of a picture, in its pixels as the model saw it, as a share of width and height in [0, 1]. */
export interface ChatRegion {
  /** Which picture of the conversation. */
  readonly visual: number;
  /** Its left edge. */
  readonly left: number;
  /** Its upper edge. */
  readonly top: number;
  /** From left to right. */
  readonly width: number;
  /** From top to bottom. */
  readonly height: number;
}

/** What the tokens of an answer looked at. */
export interface ChatConnectivity {
  /** By token, [0, 1]. */
  readonly values: readonly number[];
  /** By token: whether it is an anchor. */
  readonly anchors: readonly boolean[];
  /** By token: its cluster. None where AT-RL makes none. */
  readonly clusters: readonly number[];
  /** By token: what AT-RL would multiply its advantage with. */
  readonly weights: readonly number[];
  /** [tokens][regions]. */
  readonly profiles: readonly (readonly number[])[];
  /** What the regions are. */
  readonly regions: readonly ChatRegion[];
}

/** A whole answer. */
export interface ChatAnswer {
  /** Without special tokens, and without the text that stopped it. */
  readonly text: string;
  /** Those of the text. */
  readonly tokens: readonly ChatToken[];
  /** Why it ended: the model or a stop text; the longest length; given up. */
  readonly finish: "stop" | "length" | "aborted";
  /** Where it was asked for, and the question has a picture. */
  readonly connectivity?: ChatConnectivity;
}

/** Answers to a question. */
export interface ChatReply {
  /** The step after whose update the policy answered. */
  readonly step: number;
  /** Tokens of the question. */
  readonly promptTokens: number;
  /** One for each of `n`. */
  readonly answers: readonly ChatAnswer[];
}

/** A checkpoint that is there. */
export interface CheckpointInfo {
  /** The step after which it was written. */
  readonly step: number;
  /** Of its evaluation. */
  readonly score: number | null;
  /** Whether its score is the highest. */
  readonly best: boolean;
  /** Its folder. */
  readonly path: string;
}

/** Answers of one step, as rollouts.jsonl has them. */
export interface StepRollouts {
  /** Null where there are none yet. */
  readonly step: number | null;
  /** Steps whose answers are there, rising. */
  readonly steps: readonly number[];
  /** Lines of rollouts.jsonl. */
  readonly samples: readonly Readonly<Record<string, unknown>>[];
}

/**
 * A run, to be watched and steered. What it is asked in a state that does not allow it is refused with a KedgeError `State`, whose details have the `state`; asked
 * twice for the same, it does it once and answers twice.
 */
export interface RunControl extends Commands {
  /** As it is in use: live-tuned fields have their new values. */
  config(): Config;
  /** Fields that were tuned, by path, with their values now. */
  tuned(): Readonly<Record<string, unknown>>;
  /** How it stands. */
  status(): Promise<RunStatus>;
  /** Starts it, or goes on from its last checkpoint; returns when it is under way. */
  start(): Promise<RunStatus>;
  /**
   * Asks the policy between two of its steps.
   *
   * @param options `signal` gives the answer up. `onPiece` is told as it comes.
   * @throws {KedgeError} `State` where no policy is loaded, `BadData` for a picture that cannot be read, `OutOfMemory`; {RangeError} for what is too long.
   */
  chat(request: ChatRequest, options?: { signal?: AbortSignal; onPiece?: (piece: ChatPiece) => void }): Promise<ChatReply>;
  /** Lines of metrics.jsonl of steps above `since`; -1 for all. At most `limit` of them, the newest. */
  metrics(query: { since: number; limit: number }): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** The answers of a step; of the last one where none is named. */
  rollouts(step?: number): Promise<StepRollouts>;
  /** Those that are there, by rising step. */
  checkpoints(): Promise<readonly CheckpointInfo[]>;
  /** Tells what happens from now on. @returns Ends it. */
  listen(listener: (event: RunEvent) => void): () => void;
}
