import { KedgeError } from "../../ffi/errors.ts";
import type { ModelParts } from "../family.ts";
import { visualTokens } from "../prompt.ts";
import { type Completion, type Draw, type Finish, Recorder } from "./completion.ts";
import type { EngineOptions } from "./engine_options.ts";
import { type EngineLimits, KEPT, type Needs, promptBytes, tooSmall } from "./limits.ts";
import type { Piece } from "./prefill.ts";
import { type Plan, planRequest, type Request, stops } from "./request.ts";
import { Job, Prefix, Sequence } from "./sequence.ts";
import { Division, Workplace } from "./workplace.ts";

/** A request that was taken in. */
export interface Ticket {
  /** The completions, by sample. Rejects with what went wrong. */
  readonly result: Promise<Completion[]>;
  /** The completions as far as they are there. */
  readonly completions: readonly (Completion | undefined)[];
  /** Whether it was answered. */
  readonly done: boolean;
  /** Ends it: samples under way, or not begun, are "aborted". Nothing where it is done. */
  abort(): void;
}

/** Counts since an engine was made. */
export interface EngineStats {
  /** Steps taken. */
  steps: number;
  /** Prompt tokens read. */
  prefilledTokens: number;
  /** Tokens drawn. */
  drawnTokens: number;
  /** Rows of decode steps. */
  decodedRows: number;
  /** Prompts whose visuals were encoded. */
  encodedPrompts: number;
  /** Most sequences at once. */
  peakSequences: number;
  /** Seconds on the host's clock. */
  seconds: { vision: number; prefill: number; decode: number; total: number };
}

/** Who is in the batch, who waits, and what each step does. */
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
  #division: Division | undefined;
  #workplace: Workplace | undefined;
  #stepping = false;
  readonly #aborted: Job[] = [];

  constructor(model: ModelParts, options: EngineOptions) {
    this.#model = model;
    this.#options = options;
    if (options.memoryBytes !== undefined) this.#division = this.#divide();
  }

  #divide(): Division {
    const { memoryBytes, cacheTokens, promptBytes, maxSequences, prefillTokens, packed } = this.#options;
    const given = { memoryBytes, cacheTokens, promptBytes, maxSequences, prefillTokens, packed };
    return new Division(this.#model, Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)));
  }

  get limits(): EngineLimits {
    return this.#workplace?.limits ?? (this.#division ??= this.#divide()).limits(this.#wanted);
  }

  /** What would do for all that wait: bytes for the largest prompt, and tokens of the cache. */
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
    const division = this.#division ??= this.#divide();
    if (!division.fits(needs)) {
      const what = `a prompt of ${needs.prefix} tokens with ${plan.maxTokens} more`;
      throw tooSmall(division.bytesFor(needs), { ...this.#options, memoryBytes: division.memoryBytes }, what);
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
    return { prefix: tokens.length, own: connectivity?.row === "self" ? maxTokens : maxTokens - 1, ...bytes };
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
      this.#ready();
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

  /** The jobs that have a place. */
  get #admitted(): Job[] {
    return [...new Set([...this.#active.map(({ prefix }) => prefix.job), ...this.#queue.filter(({ prefix }) => prefix)])];
  }

  /** Has memory and fresh weights. */
  #ready(): void {
    const working = this.#active.length > 0 || this.#queue[0]?.prefix !== undefined;
    if (!working) this.#grow();
    const { projections } = this.#workplace!;
    if (working && projections.stale) {
      throw new RangeError("Cannot go on generating: the weights were changed while sequences were under way");
    }
    projections.refresh();
  }

  /** Allocates, or allocates anew where a larger cache serves what waits. */
  #grow(): void {
    const wanted = this.#wanted, now = this.#workplace?.limits;
    const limits = this.#division!.limits({ ...wanted, promptBytes: Math.max(wanted.promptBytes, now?.promptBytes ?? 0) });
    if (!now || limits.cacheTokens > now.cacheTokens) this.#allocate(limits);
  }

  #allocate(limits: EngineLimits): void {
    this.#workplace?.[Symbol.dispose]();
    this.#workplace = undefined;
    this.#workplace = new Workplace(this.#model, limits, this.#division!);
  }

  /** Lets in what fits, first come first served. */
  #admit(): void {
    const workplace = this.#workplace!;
    while (this.#queue.length > 0) {
      const job = this.#queue[0]!;
      if (!job.prefix && !this.#fitsNow(job)) {
        if (this.#admitted.length > 0) return; // the memory is divided anew once all are done
        this.#redivide(job);
        if (this.#fitsNow(job)) continue;
        this.#end(job, tooSmall(this.#division!.bytesFor(job.needs), this.#workplace!.limits, "the first prompt that waits"));
        continue;
      }
      while (job.started < job.plan.n) {
        if (this.#active.length >= workplace.limits.maxSequences || !this.#start(job)) return;
      }
      this.#queue.shift();
    }
  }

  /** Whether a job could run alone in the memory as it is divided now. */
  #fitsNow({ needs }: Job): boolean {
    const { cacheTokens, promptBytes } = this.#workplace!.limits;
    return needs.promptBytes <= promptBytes && needs.prefix + needs.own <= cacheTokens;
  }

  #redivide({ needs }: Job): void {
    const { tokens } = this.#wanted;
    const wide = this.#division!.limits({ tokens, promptBytes: Math.max(needs.promptBytes, this.#workplace!.limits.promptBytes) });
    const enough = wide.cacheTokens >= needs.prefix + needs.own;
    this.#allocate(enough ? wide : this.#division!.limits({ tokens, promptBytes: needs.promptBytes }));
    this.#workplace!.projections.refresh();
  }

  /** Starts a job's next sample, and its prompt with the first one; false where there is no room. */
  #start(job: Job): boolean {
    const { ranges } = this.#workplace!;
    const fresh = job.prefix ? undefined : this.#place(job);
    const prefix = job.prefix ?? fresh;
    if (!prefix) return false;
    const start = ranges.take(job.needs.own);
    if (start === undefined) {
      if (fresh) this.#leave(fresh);
      return false;
    }
    if (fresh) {
      job.prefix = fresh;
      this.#reading.push(fresh);
    }
    this.#active.push(new Sequence(prefix, job.started++, start));
    this.#sorted = false;
    this.stats.peakSequences = Math.max(this.stats.peakSequences, this.#active.length);
    if (job.plan.connectivity && job.needs.own > 0) this.#workplace!.clearRegions(start, job.needs.own);
    return true;
  }

  #place(job: Job): Prefix | undefined {
    const workplace = this.#workplace!;
    const start = workplace.ranges.take(job.needs.prefix);
    if (start === undefined) return undefined;
    const mask = workplace.takeMask(job.plan.suppress);
    if (mask === undefined) {
      workplace.ranges.give(start, job.needs.prefix);
      return undefined;
    }
    return new Prefix(job, { slot: workplace.takeSlot(), start, mask });
  }

  /** Gives a prompt's place back. */
  #leave(prefix: Prefix): void {
    const { ranges } = this.#workplace!, { start, slot, mask } = prefix.place;
    ranges.give(start, prefix.length);
    this.#workplace!.giveSlot(slot);
    this.#workplace!.giveMask(mask);
    prefix[Symbol.dispose]();
  }

  /** Reads prompts, as many as a step takes. */
  #prefill(): void {
    if (this.#reading.length === 0) return;
    const { prefill, limits: { prefillTokens, promptBytes } } = this.#workplace!;
    const room = promptBytes + this.#division!.embeddedBytes;
    const pieces: Piece[] = [];
    let rows = 0, kept = 0, held = 0;
    const start = performance.now();
    for (const prefix of [...this.#reading]) {
      const { job, plan } = prefix;
      const looks = plan.connectivity !== undefined;
      if (rows === prefillTokens || (looks && kept === KEPT) || (pieces.length > 0 && held + job.needs.promptBytes > room)) break;
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
      kept += looks ? 1 : 0;
      held += job.needs.held;
    }
    const encoded = performance.now();
    if (pieces.length > 0) prefill.run(pieces);
    this.#reading.splice(0, this.#reading.length, ...this.#reading.filter(({ ready }) => !ready));
    this.stats.prefilledTokens += rows;
    this.stats.seconds.vision += (encoded - start) / 1000;
    this.stats.seconds.prefill += (performance.now() - encoded) / 1000;
  }

  /** Gives each sequence that is ready a token. */
  #decode(): void {
    this.#sort();
    const ready = this.#active.filter(({ prefix }) => prefix.ready);
    if (ready.length === 0) return;
    const start = performance.now();
    const rows = ready.filter(({ length }) => length > 0), fresh = ready.filter(({ length }) => length === 0);
    const { draws, looks } = this.#workplace!.decode.run(rows, fresh);
    for (const { recorder, prefix } of fresh) if (prefix.look && prefix.plan.connectivity?.row !== "self") recorder.look(prefix.look);
    for (const { sequence, look } of looks) sequence.recorder.look(look);
    for (const sequence of rows) if (sequence.ended) this.#retire(sequence, sequence.ended);
    for (const { sequence, draw } of draws) this.#take(sequence, draw);
    this.stats.decodedRows += rows.length;
    this.stats.seconds.decode += (performance.now() - start) / 1000;
  }

  /** Rows that share an attention call come together, and in them those of a prompt. */
  #sort(): void {
    if (this.#sorted) return;
    const order = (a: Sequence, b: Sequence) => {
      const [x, y] = [a.prefix, b.prefix];
      if (x === y) return a.sample - b.sample;
      if (x.job.look !== y.job.look) return x.job.look < y.job.look ? -1 : 1;
      return x.place.start - y.place.start;
    };
    this.#active.sort(order);
    this.#sorted = true;
  }

  /** Notes a drawn token, and ends the sequence where it is its last. */
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
      if (plan.connectivity?.row === "self") sequence.ended = finish;
      else this.#retire(sequence, finish);
    } catch (error) {
      this.#end(job, error);
    }
  }

  /** Takes a finished sequence out of the batch. */
  #retire(sequence: Sequence, finish: Finish): void {
    const { prefix, prefix: { job }, recorder, sample } = sequence;
    this.#drop([sequence]);
    job.complete(sample, recorder.finish(finish, prefix.regions));
    if (job.over) this.#forget(job);
  }

  #drop(sequences: readonly Sequence[]): void {
    for (const sequence of sequences) {
      this.#active.splice(this.#active.indexOf(sequence), 1);
      this.#workplace!.ranges.give(sequence.start, sequence.prefix.job.needs.own);
    }
  }

  /** Gives up all that a job holds. */
  #forget(job: Job): void {
    this.#drop(this.#active.filter(({ prefix }) => prefix.job === job));
    for (const list of [this.#queue, this.#reading] as unknown[][]) {
      const at = list.findIndex((each) => each === job || each === job.prefix);
      if (at >= 0) list.splice(at, 1);
    }
    if (job.prefix) this.#leave(job.prefix);
    job.prefix = undefined;
  }

  /** Ends a job with an error. */
  #end(job: Job, error: unknown): void {
    if (job.over) return;
    this.#forget(job);
    job.settle(error);
  }

  /** Ends what a failed step touched: all that were in the batch; where none was, the one that was to enter. */
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
    this.#workplace?.[Symbol.dispose]();
    this.#workplace = undefined;
  }

  [Symbol.dispose](): void {
    if (this.#stepping) throw new RangeError("Cannot dispose of the engine: a step is under way");
    const error = new RangeError("Cannot go on generating: the engine was disposed of");
    for (const job of [...this.#admitted, ...this.#queue]) this.#end(job, error);
    this.#workplace?.[Symbol.dispose]();
    this.#workplace = undefined;
  }
}
