import { KedgeError } from "../../ffi/errors.ts";
import type { ModelParts } from "../family.ts";
import { measuresOwnRow } from "../measured_row.ts";
import { visualTokens } from "../prompt.ts";
import { type Completion, type Draw, type Finish, Recorder } from "./completion.ts";
import type { EngineOptions } from "./engine_options.ts";
import { type EngineLimits, KEPT, type Needs, promptBytes, tooSmall } from "./limits.ts";
import type { Piece } from "./prefill.ts";
import { type Plan, planRequest, type Request, stops } from "./request.ts";
import { Job, Prefix, Sequence } from "./sequence.ts";
import { EngineMemory, MemoryPlan } from "./memory.ts";

/** A request that an engine has accepted. */
export interface Ticket {
  /** The completions, by sample. Rejects with the error that ended the request. */
  readonly result: Promise<Completion[]>;
  /** The completions so far, by sample. */
  readonly completions: readonly (Completion | undefined)[];
  /** Whether the request is settled. */
  readonly done: boolean;
  /** Ends the request: samples that are not complete end as "aborted". Does nothing once it is settled. */
  abort(): void;
}

/** Counts since an engine was made. */
export interface EngineStats {
  /** Steps. */
  steps: number;
  /** Prompt tokens read. */
  prefilledTokens: number;
  /** Tokens drawn. */
  drawnTokens: number;
  /** Rows of decode steps. */
  decodedRows: number;
  /** Prompts whose visuals were encoded. */
  encodedPrompts: number;
  /** The maximum number of sequences at once. */
  peakSequences: number;
  /** Seconds on the host's clock. */
  seconds: { vision: number; prefill: number; decode: number; total: number };
}

/** Decides which sequences are in the batch and which requests wait, and runs the steps. */
export class Scheduler implements Disposable {
  readonly stats: EngineStats = {
    steps: 0,
    prefilledTokens: 0,
    drawnTokens: 0,
    decodedRows: 0,
    encodedPrompts: 0,
    peakSequences: 0,
    seconds: { vision: 0, prefill: 0, decode: 0, total: 0 },
  };
  readonly #model: ModelParts;
  readonly #options: EngineOptions;
  readonly #queue: Job[] = [];
  readonly #reading: Prefix[] = [];
  readonly #active: Sequence[] = [];
  #sorted = true;
  #memoryPlan: MemoryPlan | undefined;
  #memory: EngineMemory | undefined;
  #stepping = false;
  readonly #aborted: Job[] = [];

  constructor(model: ModelParts, options: EngineOptions) {
    this.#model = model;
    this.#options = options;
    if (options.memoryBytes !== undefined) this.#memoryPlan = this.#planMemory();
  }

  #planMemory(): MemoryPlan {
    const { memoryBytes, cacheTokens, promptBytes, maxSequences, prefillTokens, packed } = this.#options;
    const limits = { memoryBytes, cacheTokens, promptBytes, maxSequences, prefillTokens, packed };
    return new MemoryPlan(this.#model, Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)));
  }

  get limits(): EngineLimits {
    return this.#memory?.limits ?? (this.#memoryPlan ??= this.#planMemory()).limits(this.#wanted);
  }

  /** Needs of all waiting requests: bytes of the largest prompt, and cached tokens. */
  get #wanted() {
    let promptBytes = this.#options.promptBytes ?? 0, tokens = 0;
    for (const { needs, plan } of this.#queue) {
      promptBytes = Math.max(promptBytes, needs.promptBytes);
      tokens += needs.prefix + plan.n * needs.own;
    }
    return { promptBytes, tokens };
  }

  submit(request: Request, ended: (sample: number, completion: Completion) => void = () => {}): Ticket {
    const plan = planRequest(request, { config: this.#model.config, decode: this.#options.decode !== undefined });
    const needs = this.#needs(plan);
    const memoryPlan = this.#memoryPlan ??= this.#planMemory();
    if (!memoryPlan.fits(needs)) {
      const what = `a prompt of ${needs.prefix} tokens with ${plan.maxTokens} more`;
      throw tooSmall(memoryPlan.bytesFor(needs), { ...this.#options, memoryBytes: memoryPlan.memoryBytes }, what);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Completion[]>();
    promise.catch(() => {}); // a ticket may be left unread
    const job = new Job(plan, needs, (error) => error === undefined ? resolve(job.completions as Completion[]) : reject(error), ended);
    this.#queue.push(job);
    return {
      result: promise,
      completions: job.completions,
      get done() {
        return job.over;
      },
      abort: () => this.#abort(job),
    };
  }

  #needs(plan: Plan): Needs {
    const { prompt: { tokens, visuals }, visualRows, sinkRows, maxTokens, connectivity } = plan;
    const { mergeSize } = this.#model.config.vision;
    const patches = visuals.reduce((sum, { grid }) => sum + visualTokens(grid, mergeSize) * mergeSize ** 2, 0);
    const bytes = promptBytes(this.#model, { patches, visualTokens: visualRows.length, sinkRows });
    return { prefix: tokens.length, own: measuresOwnRow(connectivity?.row) ? maxTokens : maxTokens - 1, ...bytes };
  }

  step(): boolean {
    if (this.#stepping) throw new RangeError("Cannot step the engine: a step is under way");
    if (this.#idle) return false;
    const start = performance.now();
    const { device } = this.#model;
    const before = device.batchInvariant;
    this.#stepping = true;
    try {
      device.batchInvariant = before || (this.#options.deterministic ?? false);
      this.stats.steps++;
      this.#prepareMemory();
      this.#admit();
      this.#prefill();
      this.#decode();
    } catch (error) {
      this.#fail(error);
    } finally {
      device.batchInvariant = before;
      this.#stepping = false;
      for (const job of this.#aborted.splice(0)) this.#abort(job);
      this.stats.seconds.total += (performance.now() - start) / 1000;
    }
    return !this.#idle;
  }

  get #idle(): boolean {
    return this.#queue.length === 0 && this.#active.length === 0;
  }

  /** The jobs that hold a part of the memory. */
  get #admitted(): Job[] {
    return [...new Set([...this.#active.map(({ prefix }) => prefix.job), ...this.#queue.filter(({ prefix }) => prefix)])];
  }

  /** Allocates memory if there is none, and packs the weights again if they were changed. */
  #prepareMemory(): void {
    const working = this.#active.length > 0 || this.#queue[0]?.prefix !== undefined;
    if (!working) this.#grow();
    const { projections } = this.#memory!;
    if (working && projections.stale) {
      throw new RangeError("Cannot go on generating: the weights were changed while sequences were under way");
    }
    projections.refresh();
  }

  /** Allocates the memory, or allocates it anew if the waiting requests can use a larger cache. */
  #grow(): void {
    const wanted = this.#wanted, now = this.#memory?.limits;
    const limits = this.#memoryPlan!.limits({ ...wanted, promptBytes: Math.max(wanted.promptBytes, now?.promptBytes ?? 0) });
    if (!now || limits.cacheTokens > now.cacheTokens) this.#allocate(limits);
  }

  #allocate(limits: EngineLimits): void {
    this.#memory?.[Symbol.dispose]();
    this.#memory = undefined;
    this.#memory = new EngineMemory(this.#model, limits, this.#memoryPlan!);
  }

  /** Admits waiting requests as far as they fit, first come first served. */
  #admit(): void {
    const memory = this.#memory!;
    while (this.#queue.length > 0) {
      const job = this.#queue[0]!;
      if (!job.prefix && !this.#fitsNow(job)) {
        if (this.#admitted.length > 0) return; // the memory is allocated anew once they are done
        this.#reallocate(job);
        if (this.#fitsNow(job)) continue;
        this.#end(job, tooSmall(this.#memoryPlan!.bytesFor(job.needs), this.#memory!.limits, "the first prompt that waits"));
        continue;
      }
      while (job.started < job.plan.n) {
        if (this.#active.length >= memory.limits.maxSequences || !this.#start(job)) return;
      }
      this.#queue.shift();
    }
  }

  /** Whether a job could run alone in the memory as it is allocated now. */
  #fitsNow({ needs }: Job): boolean {
    const { cacheTokens, promptBytes } = this.#memory!.limits;
    return needs.promptBytes <= promptBytes && needs.prefix + needs.own <= cacheTokens;
  }

  #reallocate({ needs }: Job): void {
    const { tokens } = this.#wanted;
    const wide = this.#memoryPlan!.limits({ tokens, promptBytes: Math.max(needs.promptBytes, this.#memory!.limits.promptBytes) });
    const enough = wide.cacheTokens >= needs.prefix + needs.own;
    this.#allocate(enough ? wide : this.#memoryPlan!.limits({ tokens, promptBytes: needs.promptBytes }));
    this.#memory!.projections.refresh();
  }

  /** Starts a job's next sample, and its prompt with the first one. @returns Whether there was room. */
  #start(job: Job): boolean {
    const { ranges } = this.#memory!;
    const fresh = job.prefix ? undefined : this.#allocatePrefix(job);
    const prefix = job.prefix ?? fresh;
    if (!prefix) return false;
    const start = ranges.allocate(job.needs.own);
    if (start === undefined) {
      if (fresh) this.#releasePrefix(fresh);
      return false;
    }
    if (fresh) {
      job.prefix = fresh;
      this.#reading.push(fresh);
    }
    this.#active.push(new Sequence(prefix, job.started++, start));
    this.#sorted = false;
    this.stats.peakSequences = Math.max(this.stats.peakSequences, this.#active.length);
    if (job.plan.connectivity && job.needs.own > 0) this.#memory!.clearRegions(start, job.needs.own);
    return true;
  }

  #allocatePrefix(job: Job): Prefix | undefined {
    const memory = this.#memory!;
    const start = memory.ranges.allocate(job.needs.prefix);
    if (start === undefined) return undefined;
    const mask = memory.allocateMask(job.plan.suppress);
    if (mask === undefined) {
      memory.ranges.release(start, job.needs.prefix);
      return undefined;
    }
    return new Prefix(job, { slot: memory.allocateSlot(), start, mask });
  }

  /** Releases the part of the memory that a prompt holds. */
  #releasePrefix(prefix: Prefix): void {
    const { ranges } = this.#memory!, { start, slot, mask } = prefix.slots;
    ranges.release(start, prefix.length);
    this.#memory!.releaseSlot(slot);
    this.#memory!.releaseMask(mask);
    prefix[Symbol.dispose]();
  }

  /** Reads prompts, at most `prefillTokens` of them in a step. */
  #prefill(): void {
    if (this.#reading.length === 0) return;
    const { prefill, limits: { prefillTokens, promptBytes } } = this.#memory!;
    const room = promptBytes + this.#memoryPlan!.embeddedBytes;
    const pieces: Piece[] = [];
    let rows = 0, kept = 0, held = 0;
    const start = performance.now();
    for (const prefix of [...this.#reading]) {
      const { job, plan } = prefix;
      const measured = plan.connectivity !== undefined;
      if (rows === prefillTokens || (measured && kept === KEPT) || (pieces.length > 0 && held + job.needs.promptBytes > room)) break;
      if (prefix.done === 0) {
        try {
          prefill.prepare(prefix);
          prefill.encode(prefix);
          if (plan.prompt.visuals.length > 0) this.stats.encodedPrompts++;
        } catch (error) {
          this.#end(job, error);
          continue;
        }
      }
      const end = Math.min(prefix.length, prefix.done + prefillTokens - rows);
      pieces.push({ prefix, start: prefix.done, end });
      rows += end - prefix.done;
      kept += measured ? 1 : 0;
      held += job.needs.held;
    }
    const encoded = performance.now();
    if (pieces.length > 0) prefill.run(pieces);
    this.#reading.splice(0, this.#reading.length, ...this.#reading.filter(({ ready }) => !ready));
    this.stats.prefilledTokens += rows;
    this.stats.seconds.vision += (encoded - start) / 1000;
    this.stats.seconds.prefill += (performance.now() - encoded) / 1000;
  }

  /** Decodes a token of each sequence whose prompt is in the cache. */
  #decode(): void {
    this.#sort();
    const ready = this.#active.filter(({ prefix }) => prefix.ready);
    if (ready.length === 0) return;
    const start = performance.now();
    const rows = ready.filter(({ length }) => length > 0), fresh = ready.filter(({ length }) => length === 0);
    const { draws, attentions } = this.#memory!.decode.run(rows, fresh);
    for (const { recorder, prefix } of fresh) {
      if (prefix.lastRow && prefix.plan.connectivity?.row !== "self") recorder.addAttention(prefix.lastRow);
    }
    for (const { sequence, attention } of attentions) sequence.recorder.addAttention(attention);
    for (const sequence of rows) if (sequence.ended) this.#retire(sequence, sequence.ended);
    for (const { sequence, draw } of draws) this.#take(sequence, draw);
    this.stats.decodedRows += rows.length;
    this.stats.seconds.decode += (performance.now() - start) / 1000;
  }

  /** Sorts the sequences, so that rows of one attention call stand together, and among them those of one prompt. */
  #sort(): void {
    if (this.#sorted) return;
    const order = (a: Sequence, b: Sequence) => {
      const [x, y] = [a.prefix, b.prefix];
      if (x === y) return a.sample - b.sample;
      if (x.job.connectivityKey !== y.job.connectivityKey) return x.job.connectivityKey < y.job.connectivityKey ? -1 : 1;
      return x.slots.start - y.slots.start;
    };
    this.#active.sort(order);
    this.#sorted = true;
  }

  /** Records a drawn token, and ends the sequence if the token is its last. */
  #take(sequence: Sequence, draw: Draw): void {
    const { prefix: { job, plan }, recorder, sample } = sequence;
    if (job.over) return; // another sample's token ended it
    try {
      if (draw.token < 0) {
        const words = `Cannot draw token ${sequence.length} of sample ${sample}: the model's logits hold a NaN`;
        throw new KedgeError("Diverged", words, { sample, index: sequence.length });
      }
      recorder.add(draw);
      this.stats.drawnTokens++;
      plan.onToken?.({ type: "token", sample, index: sequence.length - 1, ...draw });
      const finish = stops(plan, recorder.tokens, this.#options.decode)
        ? "stop"
        : sequence.length === plan.maxTokens
        ? "length"
        : undefined;
      if (!finish) return;
      if (measuresOwnRow(plan.connectivity?.row)) sequence.ended = finish;
      else this.#retire(sequence, finish);
    } catch (error) {
      this.#end(job, error);
    }
  }

  /** Removes a finished sequence from the batch. */
  #retire(sequence: Sequence, finish: Finish): void {
    const { prefix, prefix: { job }, recorder, sample } = sequence;
    this.#drop([sequence]);
    job.complete(sample, recorder.finish(finish, prefix.regions));
    if (job.over) this.#forget(job);
  }

  #drop(sequences: readonly Sequence[]): void {
    for (const sequence of sequences) {
      this.#active.splice(this.#active.indexOf(sequence), 1);
      this.#memory!.ranges.release(sequence.start, sequence.prefix.job.needs.own);
    }
  }

  /** Releases everything that a job holds. */
  #forget(job: Job): void {
    this.#drop(this.#active.filter(({ prefix }) => prefix.job === job));
    for (const list of [this.#queue, this.#reading] as unknown[][]) {
      const at = list.findIndex((each) => each === job || each === job.prefix);
      if (at >= 0) list.splice(at, 1);
    }
    if (job.prefix) this.#releasePrefix(job.prefix);
    job.prefix = undefined;
  }

  /** Settles a job with an error. */
  #end(job: Job, error: unknown): void {
    if (job.over) return;
    this.#forget(job);
    job.settle(error);
  }

  /** Ends the jobs that a failed step concerned: all in the batch, or, if there is none, the first that waits. */
  #fail(error: unknown): void {
    const admitted = this.#admitted;
    for (const job of admitted.length > 0 ? admitted : this.#queue.slice(0, 1)) this.#end(job, error);
  }

  #abort(job: Job): void {
    if (job.over) return;
    if (this.#stepping) {
      this.#aborted.push(job);
      return;
    }
    const active = this.#active.filter(({ prefix }) => prefix.job === job);
    const { regions } = job.prefix ?? job.plan;
    this.#forget(job);
    for (const sequence of active) job.complete(sequence.sample, sequence.recorder.finish(sequence.ended ?? "aborted", regions));
    for (const [sample, completion] of [...job.completions].entries()) {
      if (!completion) job.complete(sample, new Recorder().finish("aborted", regions));
    }
  }

  release(): void {
    const { length } = this.#active;
    if (this.#admitted.length > 0) throw new RangeError(`Cannot release the engine's memory: ${length} sequences are under way`);
    this.#memory?.[Symbol.dispose]();
    this.#memory = undefined;
  }

  [Symbol.dispose](): void {
    if (this.#stepping) throw new RangeError("Cannot dispose of the engine: a step is under way");
    const error = new RangeError("Cannot go on generating: the engine was disposed of");
    for (const job of [...this.#admitted, ...this.#queue]) this.#end(job, error);
    this.#memory?.[Symbol.dispose]();
    this.#memory = undefined;
  }
}
