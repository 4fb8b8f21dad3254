/**
 * Asks a model and grades what it answers. How answers come about is the caller's.
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
  /** What it says. */
  readonly text: string;
  /** How many. */
  readonly tokens: number;
  /** Why it ended. */
  readonly finish: Finish;
}

/** A problem, ready to be asked; P: prompts as the generator takes them. */
export interface Question<P> {
  /** Of all questions of an evaluation, its alone. */
  readonly id: string;
  /** What is asked. */
  readonly prompt: P;
  /** What graders are told about it. */
  readonly input: Omit<RewardInput, "response" | "finish" | "tokens">;
}

/** How a generator is to answer. */
export interface AskOptions {
  /** Names the draws of each prompt. */
  readonly keys: readonly string[];
  /** Answers to each prompt. */
  readonly n: number;
  /** 0: the likeliest token. */
  readonly temperature: number;
  /** Keeps the likeliest tokens up to this probability. */
  readonly topP: number;
  /** Of an answer, at most. */
  readonly maxTokens: number;
  /** Of the draws. */
  readonly seed: number;
  /** Gives the call up. */
  readonly signal?: AbortSignal;
}

/** Answers prompts: n answers to each. */
export type Generate<P> = (prompts: readonly P[], options: AskOptions) => Promise<Answer[][]>;

/** A graded answer with all that led to it. */
export interface Prediction extends EvaluationRecord {
  /** As text. */
  readonly prompt: string;
  /** The whole answer. */
  readonly response: string;
  /** What it should say. */
  readonly truth: Truth;
  /** Why it ended. */
  readonly finish: Finish;
  /** Tokens of the response. */
  readonly tokens: number;
  /** Why the reward is 0 although nothing was graded. */
  readonly reason?: string;
}

/** Options of {@linkcode evaluate}. */
export interface EvaluateOptions<P> extends StatisticsOptions {
  /** Answers. */
  readonly generate: Generate<P>;
  /** What is asked; read as it is needed. */
  readonly questions: Iterable<Question<P>> | AsyncIterable<Question<P>>;
  /** Grades. */
  readonly pool: Pick<GraderPool, "grade">;
  /** Answers to each question. Default 1. */
  readonly n?: number | undefined;
  /** Default 1. */
  readonly temperature?: number | undefined;
  /** Default 1. */
  readonly topP?: number | undefined;
  /** Default 512. */
  readonly maxTokens?: number | undefined;
  /** Questions that are held and asked at a time. Default 64. */
  readonly batch?: number | undefined;
  /** Gives the evaluation up. */
  readonly signal?: AbortSignal | undefined;
  /** Told of every batch's answers when they are graded. */
  readonly onBatch?: ((predictions: readonly Prediction[]) => void) | undefined;
}

/** What came of it. */
export interface Evaluation {
  /** In the order of questions, and of answers within. */
  readonly predictions: Prediction[];
  /** Of all questions. */
  readonly overall: Statistics;
  /** By the columns of `by`. */
  readonly groups: GroupStatistics[];
}

/** Messages as one text; "<image>" and "<video>" where pictures stand. */
export function messagesText(messages: readonly Message[]): string {
  return messages.map(({ content }) =>
    typeof content === "string" ? content : content.map((part) => part.type === "text" ? part.text : `<${part.type}>`).join("")
  ).join("\n");
}

/**
 * A row of data as a question.
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
 * @param answers Of each question. Accuracy is the part of that name, or else the whole reward, brought into [0, 1]; the answer is the one that the reward graded or, where it
 * names none, as users' modules, the one that is extracted by default.
 * @returns In the order of questions, and of answers within.
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

/** Lists of `size` items, the last perhaps shorter. */
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
 * Asks every question, grades the answers, and sums up.
 *
 * @throws {RangeError} For no questions, ids that come twice, several answers at temperature 0, a k above n, a column of `by` that no question of the
 * first batch has; what `generate` and the pool throw.
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
    // Before any answer is paid for.
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
