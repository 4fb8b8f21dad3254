import type { ChatAnswer, ChatConnectivity, ChatPiece, ChatReply, ChatToken } from "../../../actors/run_control.ts";
import { ApiError } from "../api_error.ts";
import type { Chunk, Completion } from "./answer_schema.ts";

/** The fields that all parts of an answer have in common. */
export interface Envelope {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  /** Whether tokens include their log-probabilities. */
  readonly logprobs: boolean;
}

type Choice = Completion["choices"][number];
type Usage = Completion["usage"];

const encoder = new TextEncoder();

const logprobsOf = (tokens: readonly ChatToken[], { logprobs }: Envelope): Choice["logprobs"] =>
  logprobs
    ? {
      content: tokens.map(({ text, logprob }) => ({
        token: text,
        // JSON has no infinity. OpenAI uses -9999 for a very small probability.
        logprob: Number.isFinite(logprob) ? logprob : -9999,
        bytes: text.includes("\ufffd") ? null : [...encoder.encode(text)],
        "top_logprobs": [],
      })),
    }
    : null;

const connectivityOf = (of: ChatConnectivity): NonNullable<Choice["connectivity"]> => ({
  values: [...of.values],
  anchors: [...of.anchors],
  clusters: [...of.clusters],
  weights: [...of.weights],
  profiles: of.profiles.map((row) => [...row]),
  regions: of.regions.map(({ visual, left, top, width, height }) => ({ visual, left, top, width, height })),
});

function finishOf({ finish }: ChatAnswer): Choice["finish_reason"] {
  if (finish === "aborted") throw new ApiError(503, "Cannot answer: the answer was cancelled", { code: "aborted" });
  return finish;
}

/** Counts the tokens of a request and its answers. */
function usageOf({ promptTokens, answers }: ChatReply): Usage {
  const completion = answers.reduce((sum, { tokens }) => sum + tokens.length, 0);
  return { "prompt_tokens": promptTokens, "completion_tokens": completion, "total_tokens": promptTokens + completion };
}

/** Names the weights that answered. */
const fingerprint = ({ step }: ChatReply) => `step-${step}`;

/** Makes a complete answer. @throws {ApiError} 503 if one of the answers was cancelled. */
export function completionOf(reply: ChatReply, envelope: Envelope): Completion {
  const { id, created, model } = envelope;
  return {
    id,
    object: "chat.completion",
    created,
    model,
    "system_fingerprint": fingerprint(reply),
    choices: reply.answers.map((answer, index) => ({
      index,
      message: { role: "assistant", content: answer.text, refusal: null },
      logprobs: logprobsOf(answer.tokens, envelope),
      "finish_reason": finishOf(answer),
      ...(answer.connectivity && { connectivity: connectivityOf(answer.connectivity) }),
    })),
    usage: usageOf(reply),
  };
}

/** Makes the chunks of a streamed answer. */
export class Chunks {
  readonly #envelope: Envelope;
  readonly #base: Omit<Chunk, "choices">;

  /** @param options `usage`: whether the client asked for the usage. */
  constructor(envelope: Envelope, options: { usage: boolean }) {
    const { id, created, model } = envelope;
    this.#envelope = envelope;
    this.#base = { id, object: "chat.completion.chunk", created, model, ...(options.usage && { usage: null }) };
  }

  /** The first chunk of an answer. */
  role(index: number): Chunk {
    return this.#chunk([{ index, delta: { role: "assistant", content: "" }, logprobs: null, "finish_reason": null }]);
  }

  /** The chunk for a piece of an answer; undefined if it would be empty. */
  piece({ sample, text, tokens }: ChatPiece): Chunk | undefined {
    const { logprobs } = this.#envelope;
    if (text === "" && !(logprobs && tokens.length > 0)) return undefined;
    return this.#chunk([{ index: sample, delta: { content: text }, logprobs: logprobsOf(tokens, this.#envelope), "finish_reason": null }]);
  }

  /** The last chunk of each answer. @throws {ApiError} 503 if one of the answers was cancelled. */
  ends(reply: ChatReply): Chunk[] {
    return reply.answers.map((answer, index) => ({
      ...this.#chunk([{
        index,
        delta: {},
        logprobs: null,
        "finish_reason": finishOf(answer),
        ...(answer.connectivity && { connectivity: connectivityOf(answer.connectivity) }),
      }]),
      "system_fingerprint": fingerprint(reply),
    }));
  }

  /** The chunk with the usage, after all answers. */
  usage(reply: ChatReply): Chunk {
    return { ...this.#chunk([]), usage: usageOf(reply) };
  }

  #chunk(choices: Chunk["choices"]): Chunk {
    return { ...this.#base, choices };
  }
}
