/**
 * Asks a model questions and grades its answers. The caller chooses how the answers are generated.
 *
 * @module
 */
import type { Sample } from "../../data/sample.ts";
import type { Finish } from "../../model/engine/completion.ts";
import type { Message } from "../../model/processor/messages.ts";
import type { GraderPool } from "../../verify/pool/grader_pool.ts";
import { extractAnswer } from "../../verify/answer/extract.ts";
import type { RewardInput, Truth } from "../../verify/reward.ts";
import {
  checkColumns,
  type EvaluationRecord,
  type GroupStatistics,
  type Statistics,
  statistics,
  type StatisticsOptions,
} from "./statistics.ts";

/** A model's answer. */
export interface Answer {
  /** The text. */
  readonly text: string;
  /** The number of tokens. */
  readonly tokens: number;
  /** Why it ended. */
  readonly finish: Finish;
}

/** A problem whose prompt is prepared. P: the type of prompts that the generator takes. */
export interface Question<P> {
  /** The id, which no other question of the evaluation has. */
  readonly id: string;
  /** The prompt. */
  readonly prompt: P;
  /** What graders need besides the answer. */
  readonly input: Omit<RewardInput, "response" | "finish" | "tokens">;
}

/** How a generator answers. */
export interface AskOptions {
  /** The key of each prompt's random draws. */
  readonly keys: readonly string[];
  /** The number of answers to each prompt. */
  readonly n: number;
  /** Divides the logits; 0 takes the likeliest token. */
  readonly temperature: number;
  /** Keeps the likeliest tokens up to this probability. */
  readonly topP: number;
  /** The most tokens of an answer. */
  readonly maxTokens: number;
  /** The seed of the draws. */
  readonly seed: number;
  /** Cancels the call. */
  readonly signal?: AbortSignal;
}

/** Generates n answers to each prompt. */
export type Generate<P> = (prompts: readonly P[], options: AskOptions) => Promise<Answer[][]>;

/** A graded answer with its question. */
export interface Prediction extends EvaluationRecord {
  /** The prompt as text. */
  readonly prompt: string;
  /** The whole answer. */
  readonly response: string;
  /** The right answer. */
  readonly truth: Truth;
  /** Why it ended. */
  readonly finish: Finish;
  /** The number of tokens of the response. */
  readonly tokens: number;
  /** Why the answer was not graded, in which case its reward is 0. */
  readonly reason?: string;
}

/** Options of {@linkcode evaluate}. */
export interface EvaluateOptions<P> extends StatisticsOptions {
  /** Generates the answers. */
  readonly generate: Generate<P>;
  /** The questions. They are read as they are needed. */
  readonly questions: Iterable<Question<P>> | AsyncIterable<Question<P>>;
  /** Grades the answers. */
  readonly pool: Pick<GraderPool, "grade">;
  /** The number of answers to each question. Default 1. */
  readonly n?: number | undefined;
  /** Divides the logits. Default 1. */
  readonly temperature?: number | undefined;
  /** Keeps the likeliest tokens up to this probability. Default 1. */
  readonly topP?: number | undefined;
  /** The most tokens of an answer. Default 512. */
  readonly maxTokens?: number | undefined;
  /** How many questions are asked at a time. Default 64. */
  readonly batch?: number | undefined;
  /** Cancels the evaluation. */
  readonly signal?: AbortSignal | undefined;
  /** Receives the answers of each batch when they are graded. */
  readonly onBatch?: ((predictions: readonly Prediction[]) => void) | undefined;
}

/** The result of {@linkcode evaluate}. */
export interface Evaluation {
  /** The graded answers, question after question. */
  readonly predictions: Prediction[];
  /** The statistics of all questions. */
  readonly overall: Statistics;
  /** The statistics of the groups by the columns of `by`. */
  readonly groups: GroupStatistics[];
}

/** Returns messages as one text. "<image>" and "<video>" stand for pictures. */
export function messagesText(messages: readonly Message[]): string {
  return messages.map(({ content }) =>
    typeof content === "string" ? content : content.map((part) => part.type === "text" ? part.text : `<${part.type}>`).join("")
  ).join("\n");
}

/**
 * Makes a question of a row of data.
 *
 * @example
 * ```ts
 * import { questionOf } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * const sample = { id: "a:0", messages: [{ role: "user" as const, content: "1 + 1?" }], truth: "2", fields: { level: "easy" } };
 * assertEquals(questionOf(sample, "the prompt"), {
 *   id: "a:0",
 *   prompt: "the prompt",
 *   input: { truth: "2", fields: { level: "easy" }, prompt: "1 + 1?" },
 * });
 * ```
 */
export function questionOf<P>(sample: Sample, prompt: P): Question<P> {
  const { id, truth, options, fields, messages } = sample;
  return { id, prompt, input: { truth, ...(options && { options }), fields, prompt: messagesText(messages) } };
}

/**
 * Grades answers.
 *
 * @param graded `answers`: those of each question. The accuracy is the part of that name or else the whole reward, limited to [0, 1]. The
 *   answer is the one that the reward graded; if it names none, as users' modules, it is the one that is extracted by default.
 * @returns The graded answers, question after question.
 *
 * @example
 * ```ts
 * import { gradeAnswers } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * // In the place of a GraderPool.
 * const pool = { grade: () => Promise.resolve([{ overall: 0.9, parts: { accuracy: 1 }, answer: "2" }]) };
 * const questions = [{ id: "a:0", prompt: "1 + 1?", input: { truth: "2" } }];
 * const [prediction] = await gradeAnswers(pool, { questions, answers: [[{ text: "It is 2.", tokens: 5, finish: "stop" }]] });
 * assertEquals([prediction!.accuracy, prediction!.reward, prediction!.answer], [1, 0.9, "2"]);
 * ```
 */
export async function gradeAnswers<P>(
  pool: Pick<GraderPool, "grade">,
  { questions, answers, signal }: {
    questions: readonly Question<P>[];
    answers: readonly (readonly Answer[])[];
    signal?: AbortSignal | undefined;
  },
): Promise<Prediction[]> {
  if (questions.length !== answers.length) {
    throw new RangeError(`Cannot grade: ${answers.length} lists of answers to ${questions.length} questions`);
  }
  const flat = questions.flatMap((question, i) => answers[i]!.map((answer, sample) => ({ question, answer, sample })));
  const inputs = flat.map(({ question, answer: { text, tokens, finish } }): RewardInput => ({
    ...question.input,
    response: text,
    finish: finish === "stop" ? "stop" : "length",
    tokens,
  }));
  const graded = await pool.grade(inputs, { ...(signal && { signal }) });
  return flat.map(({ question: { id, input }, answer: { text, tokens, finish }, sample }, i) => {
    const { overall, parts, reason, answer = extractAnswer(text)?.answer } = graded[i]!;
    return {
      id,
      sample,
      prompt: input.prompt ?? "",
      response: text,
      ...(answer !== undefined && { answer }),
      truth: input.truth,
      accuracy: Math.min(1, Math.max(0, parts["accuracy"] ?? overall)),
      reward: overall,
      fields: input.fields ?? {},
      finish,
      tokens,
      ...(reason !== undefined && { reason }),
    };
  });
}

/** Cuts items into lists of `size`. The last list may be shorter. */
async function* batches<T>(items: Iterable<T> | AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/**
 * Asks every question, grades the answers, and computes statistics.
 *
 * @throws {RangeError} For no questions, an id that comes twice, several answers at temperature 0, a k above n, or a column of `by` that
 *   no question of the first batch has. What `generate` and the pool throw.
 *
 * @example
 * ```ts
 * import { evaluate } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * const { overall } = await evaluate({
 *   questions: [{ id: "a", prompt: 2, input: { truth: 4 } }, { id: "b", prompt: 3, input: { truth: 9 } }],
 *   generate: (prompts) => Promise.resolve(prompts.map((x) => [{ text: `${x + x}`, tokens: 1, finish: "stop" }])),
 *   pool: { grade: (inputs) => Promise.resolve(inputs.map(({ response, truth }) => ({ overall: response === `${truth}` ? 1 : 0, parts: {} }))) },
 * });
 * assertEquals(overall.estimates["accuracy"]!.value, 0.5);
 * ```
 */
export async function evaluate<P>(options: EvaluateOptions<P>): Promise<Evaluation> {
  const { generate, questions, pool, n = 1, temperature = 1, topP = 1, maxTokens = 512, seed = 0, batch = 64, signal, onBatch } = options;
  const refuse = (words: string) => new RangeError(`Cannot evaluate: ${words}`);
  for (const [name, value] of Object.entries({ n, maxTokens, batch })) {
    if (!Number.isSafeInteger(value) || value < 1) throw refuse(`${name} is ${value}, not a positive integer`);
  }
  if (temperature === 0 && n > 1) throw refuse(`at temperature 0 all ${n} answers would be the same`);
  const large = options.k?.find((k) => !(Number.isInteger(k) && k >= 1 && k <= n));
  if (large !== undefined) throw refuse(`pass@${large} takes k from 1 to n, which is ${n}`);
  const predictions: Prediction[] = [], ids = new Set<string>();
  for await (const asked of batches(questions, batch)) {
    // Checked before any answer is generated.
    if (ids.size === 0) checkColumns(asked.map(({ input: { fields = {} } }) => ({ fields })), options.by ?? []);
    for (const { id } of asked) {
      if (ids.has(id)) throw refuse(`question ${id} comes twice`);
      ids.add(id);
    }
    const answers = await generate(asked.map(({ prompt }) => prompt), {
      keys: asked.map(({ id }) => id),
      n,
      temperature,
      topP,
      maxTokens,
      seed,
      ...(signal && { signal }),
    });
    const graded = await gradeAnswers(pool, { questions: asked, answers, signal });
    onBatch?.(graded);
    for (const prediction of graded) predictions.push(prediction);
  }
  return { predictions, ...statistics(predictions, options) };
}
