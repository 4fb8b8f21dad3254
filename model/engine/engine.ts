import { setImmediate } from "node:timers";
import type { Prompt } from "../prompt.ts";
import type { ModelParts } from "../family.ts";
import type { Completion, GenerationEvent } from "./completion.ts";
import type { EngineOptions } from "./engine_options.ts";
import type { EngineLimits } from "./limits.ts";
import type { Request, SamplingOptions } from "./request.ts";
import { type EngineStats, Scheduler, type Ticket } from "./scheduler.ts";

export type { EngineOptions } from "./engine_options.ts";

/** Options of {@linkcode Engine.generate} and {@linkcode Engine.stream}. */
export interface GenerateOptions extends SamplingOptions {
  /** Keys the random draws of each prompt, in place of its content. */
  keys?: readonly string[];
  /** Stops the call within a step; its sequences end as "aborted". */
  signal?: AbortSignal;
}

/**
 * Generates answers to any number of requests at once, within a bound on memory. At each step, finished sequences leave the batch and waiting ones enter.
 * The samples of a prompt share its prefill and its cache.
 *
 * A sequence depends on the weights, the prompt (or its key), the seed and the sample's index only, not on what else runs: on the CPU to the bit, on CUDA
 * to the bit with `deterministic`.
 *
 * Memory is allocated at the first step, and freed by `release` or at the end. The weights must not change while sequences are under way.
 *
 * @example
 * ```ts
 * import { Engine, initialiseParameters, presetConfig, VisionLanguageModel } from "@kedge/kedge/model";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * const tokens = { image: 300, video: 301, visionStart: 302, visionEnd: 303, eos: [304], bos: 304, pad: 304 };
 * const config = presetConfig("tiny", { tokens, vocabSize: 305 });
 * using model = new VisionLanguageModel(device, config, initialiseParameters(device, config, { seed: 7 }));
 * using engine = new Engine(model, { memoryBytes: 2 ** 27 });
 * const prompt = { tokens: Int32Array.of(1, 2, 3), visuals: [] };
 * const [samples] = await engine.generate([prompt], { n: 2, maxTokens: 4, stop: [] });
 * assertEquals(samples!.map(({ tokens }) => tokens.length), [4, 4]);
 * assertEquals(engine.stats.prefilledTokens, 3);
 * ```
 */
export class Engine implements Disposable {
  readonly #scheduler: Scheduler;
  #scheduled = false;
  #disposed = false;

  /** An engine for a model, whose parameters stay the caller's. @throws {RangeError} for a limit that is not a positive integer. */
  constructor(model: ModelParts, options: EngineOptions = {}) {
    this.#scheduler = new Scheduler(model, options);
  }

  /**
   * Its bounds. `memoryBytes` is set at the first use, from what the device has free then. Between requests the cache grows within it, if more requests
   * wait.
   */
  get limits(): EngineLimits {
    return this.#scheduler.limits;
  }

  /** Counts of what it has done so far. */
  get stats(): Readonly<EngineStats> {
    return this.#scheduler.stats;
  }

  /**
   * Accepts a request. Calls of `step` work on it, and so does any `generate` or `stream` under way.
   *
   * @throws {RangeError} for what makes no sense; {KedgeError} `BadData` if placeholders and visuals do not fit; `OutOfMemory` for what can never fit,
   * with the bytes that it needs.
   */
  submit(request: Request): Ticket {
    this.#live();
    return this.#scheduler.submit(request);
  }

  /**
   * Admits waiting requests, reads prompts (at most `prefillTokens` tokens), and decodes a token of each sequence. An error ends the requests that
   * it concerns; their tickets reject.
   *
   * @returns Whether there is more to do.
   */
  step(): boolean {
    this.#live();
    return this.#scheduler.step();
  }

  /**
   * Answers prompts.
   *
   * @returns For each prompt its n completions.
   * @throws {RangeError} and {KedgeError} as of `submit`, and what went wrong in a step; the other prompts of the call are then given up.
   */
  async generate(prompts: readonly Prompt[], options: GenerateOptions = {}): Promise<Completion[][]> {
    const { signal } = options;
    const tickets = this.#submitAll(prompts, options, () => {});
    const abort = () => tickets.forEach((ticket) => ticket.abort());
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await Promise.all(tickets.map(({ result }) => result));
    } catch (error) {
      abort();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Like `generate`, but yields each token when it is drawn. Leaving the loop aborts the rest. Tokens queue, without bound, for a slow reader. */
  stream(prompts: readonly Prompt[], options: GenerateOptions = {}): AsyncIterable<GenerationEvent> {
    const { signal } = options;
    let tickets: Ticket[] = [], open = true;
    const abort = () => tickets.forEach((ticket) => ticket.abort());
    const done = () => signal?.removeEventListener("abort", abort);
    return new ReadableStream<GenerationEvent>({
      start: (controller) => {
        tickets = this.#submitAll(prompts, options, (event) => {
          if (open) controller.enqueue(event);
        });
        if (signal?.aborted) abort();
        signal?.addEventListener("abort", abort, { once: true });
        Promise.all(tickets.map(({ result }) => result)).then(() => {
          if (open) controller.close();
        }, (error) => {
          abort();
          controller.error(error);
        }).finally(done);
      },
      cancel: () => {
        open = false;
        abort();
        done();
      },
    });
  }

  #submitAll(prompts: readonly Prompt[], options: GenerateOptions, event: (event: GenerationEvent) => void): Ticket[] {
    const { keys, signal: _, ...sampling } = options;
    if (keys && keys.length !== prompts.length) throw new RangeError(`Cannot generate: ${keys.length} keys for ${prompts.length} prompts`);
    const tickets: Ticket[] = [];
    try {
      for (const [i, prompt] of prompts.entries()) {
        const key = keys?.[i];
        tickets.push(this.#scheduler.submit({
          ...sampling,
          prompt,
          ...(key !== undefined && { key }),
          onToken: (token) => event({ ...token, prompt: i }),
        }, (sample, completion) => event({ type: "end", prompt: i, sample, completion })));
      }
    } catch (error) {
      for (const ticket of tickets) ticket.abort();
      throw error;
    }
    this.#wake();
    return tickets;
  }

  /** Runs steps while there is work, one in each turn of the event loop, so that signals and other requests are seen. */
  #wake(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#disposed && this.#scheduler.step()) this.#wake();
    });
  }

  /** Frees the memory; the next request allocates it again. @throws {RangeError} while sequences are under way. */
  release(): void {
    this.#scheduler.release();
  }

  /** Ends all requests with an error, and frees the memory. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#scheduler[Symbol.dispose]();
    this.#disposed = true;
  }

  #live(): void {
    if (this.#disposed) throw new RangeError("Cannot use the engine: it was disposed of");
  }
}
