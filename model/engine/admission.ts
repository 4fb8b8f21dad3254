import type { ModelParts } from "../family.ts";
import { AnswerLengths } from "./cache_pages.ts";
import type { EngineOptions } from "./engine_options.ts";
import { type EngineLimits, tooSmall } from "./limits.ts";
import { EngineMemory, MemoryPlan } from "./memory.ts";
import { type Job, Prefix, Sequence } from "./sequence.ts";

/** What has happened to sequences for want of room. */
export interface AdmissionStats {
  /** The maximum number of sequences at once. */
  peakSequences: number;
  /** The maximum number of tokens that prompts and pages held in the cache at once. */
  peakCacheTokens: number;
  /** How often a sequence gave up its place in the cache for others. */
  preemptions: number;
}

/**
 * Says which sequences are in the batch, and which wait: for their first place in the memory, or for another after they gave theirs up.
 *
 * A sequence enters where there is room for what it is expected to need, takes pages as it grows, and where none is left, the youngest sequence gives up its
 * own. It keeps its tokens and numbers. When it returns, the decode kernels run over its tokens again, so that the cache holds the same bits as before; a prompt
 * that left the memory is read again. The oldest sequence never waits for another, so that all end.
 */
export class Admission implements Disposable {
  /** Requests with samples that have not been started. */
  readonly queue: Job[] = [];
  /** Prompts that are not yet read. */
  readonly reading: Prefix[] = [];
  /** The sequences of the batch. */
  readonly active: Sequence[] = [];
  /** Sequences that gave up their places, the oldest first. */
  readonly waiting: Sequence[] = [];
  /** What is allocated; undefined before the first step. */
  memory: EngineMemory | undefined;
  /** Set while one sequence runs without others, since it had no room even so: the room was in pieces. */
  #alone: Sequence | undefined;
  #plan: MemoryPlan | undefined;
  #started = 0;
  #sorted = true;
  readonly #lengths = new AnswerLengths();
  readonly #model: ModelParts;
  readonly #options: EngineOptions;
  readonly #stats: AdmissionStats;

  constructor(model: ModelParts, options: EngineOptions, stats: AdmissionStats) {
    this.#model = model;
    this.#options = options;
    this.#stats = stats;
    if (options.memoryBytes !== undefined) this.#plan = this.#planMemory();
  }

  #planMemory(): MemoryPlan {
    const { memoryBytes, cacheTokens, promptBytes, maxSequences, prefillTokens, pageTokens, packed } = this.#options;
    const limits = { memoryBytes, cacheTokens, promptBytes, maxSequences, prefillTokens, pageTokens, packed };
    return new MemoryPlan(this.#model, Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)));
  }

  /** How the memory is divided. */
  get plan(): MemoryPlan {
    return this.#plan ??= this.#planMemory();
  }

  get limits(): EngineLimits {
    return this.memory?.limits ?? this.plan.limits(this.#wanted);
  }

  /** Needs of all waiting requests: bytes of the largest prompt, and cached tokens. */
  get #wanted() {
    let promptBytes = this.#options.promptBytes ?? 0, tokens = 0;
    for (const { needs, plan } of this.queue) {
      promptBytes = Math.max(promptBytes, needs.promptBytes);
      tokens += needs.prefix + plan.n * needs.own;
    }
    return { promptBytes, tokens };
  }

  /** The jobs that hold a part of the memory, or whose sequences wait for it. */
  get admitted(): Job[] {
    const jobs = [...this.active, ...this.waiting].map(({ job }) => job);
    return [...new Set([...jobs, ...this.queue.filter(({ prefix }) => prefix)])];
  }

  /** Whether there is nothing to do. */
  get idle(): boolean {
    return this.queue.length === 0 && this.active.length === 0 && this.waiting.length === 0;
  }

  /** Allocates memory if there is none, and packs the weights again if they were changed. */
  prepareMemory(): void {
    const working = this.active.length > 0 || this.waiting.length > 0 || this.queue[0]?.prefix !== undefined;
    if (!working) this.#grow();
    const { projections, decode } = this.memory!;
    if (projections.stale) decode[Symbol.dispose]();
    if (working && projections.stale) {
      throw new RangeError("Cannot go on generating: the weights were changed while sequences were under way");
    }
    projections.refresh();
  }

  /** Allocates the memory, or allocates it anew if the waiting requests can use a larger cache. */
  #grow(): void {
    const wanted = this.#wanted, now = this.memory?.limits;
    const limits = this.plan.limits({ ...wanted, promptBytes: Math.max(wanted.promptBytes, now?.promptBytes ?? 0) });
    if (!now || limits.cacheTokens > now.cacheTokens) this.#allocate(limits);
  }

  #allocate(limits: EngineLimits): void {
    this.releaseMemory();
    this.memory = new EngineMemory(this.#model, limits, { plan: this.plan, capture: this.#options.capture ?? true });
  }

  /**
   * Admits sequences as far as they fit, first come first served: those that gave up their places before new ones.
   *
   * @param refuse Called with a job that cannot fit, and why.
   */
  admit(refuse: (job: Job, error: unknown) => void): void {
    while (this.waiting.length > 0) {
      const first = this.waiting[0]!; // the oldest, and so the one that runs alone, if there is one
      if ((this.#alone && this.#alone !== first) || this.#full || !this.#enterAtLast(first)) return;
      this.waiting.shift();
    }
    if (this.#alone) return;
    while (this.queue.length > 0) {
      const job = this.queue[0]!;
      if (!job.prefix && !this.#fitsNow(job)) {
        if (this.admitted.length > 0) return; // the memory is allocated anew once they are done
        this.#reallocate(job);
        if (this.#fitsNow(job)) continue;
        refuse(job, tooSmall(this.plan.bytesFor(job.needs), this.memory!.limits, "the first prompt that waits"));
        continue;
      }
      while (job.started < job.plan.n) {
        if (this.#full || !this.#enter(new Sequence(job, job.started, this.#started))) return;
        job.started++;
        this.#started++;
      }
      this.queue.shift();
    }
  }

  get #full(): boolean {
    return this.active.length >= this.memory!.limits.maxSequences;
  }

  /** Whether a job could run alone in the memory as it is allocated now. */
  #fitsNow({ needs }: Job): boolean {
    const { cacheTokens, promptBytes } = this.memory!.limits;
    return needs.promptBytes <= promptBytes && needs.prefix + needs.own <= cacheTokens;
  }

  #reallocate({ needs }: Job): void {
    const { tokens } = this.#wanted;
    const wide = this.plan.limits({ tokens, promptBytes: Math.max(needs.promptBytes, this.memory!.limits.promptBytes) });
    const enough = wide.cacheTokens >= needs.prefix + needs.own;
    this.#allocate(enough ? wide : this.plan.limits({ tokens, promptBytes: needs.promptBytes }));
    this.memory!.projections.refresh();
  }

  /** The same as {@linkcode Admission.#enter}, but where the batch is empty, prompts that nobody reads now make room, the last ones first. */
  #enterAtLast(sequence: Sequence): boolean {
    while (!this.#enter(sequence)) {
      const unused = this.active.length === 0 ? this.#unusedPrefix() : undefined;
      if (!unused) return false;
      this.#releasePrefix(unused);
    }
    return true;
  }

  /** Takes a sequence into the batch, with its prompt if that has no place. @returns Whether there was room. */
  #enter(sequence: Sequence): boolean {
    const { job } = sequence, { cache } = this.memory!;
    const needed = this.#expected(sequence) + (job.prefix ? 0 : job.needs.prefix);
    const promised = this.active.reduce((sum, each) => sum + this.#expected(each) - cache.held(each), 0);
    if (this.active.length > 0 && promised + needed > cache.free) return false;
    const fresh = job.prefix ? undefined : this.#allocatePrefix(job);
    if (!job.prefix && !fresh) return false;
    if (!cache.grow(sequence, sequence.next)) {
      cache.release(sequence);
      if (fresh) this.#releasePrefix(fresh);
      return false;
    }
    if (fresh) {
      job.prefix = fresh;
      this.reading.push(fresh);
    }
    this.active.push(sequence);
    this.#sorted = false;
    this.#stats.peakSequences = Math.max(this.#stats.peakSequences, this.active.length);
    this.#noteUse();
    return true;
  }

  /** Tokens that a sequence is expected to hold in the end. */
  #expected(sequence: Sequence): number {
    const { cache } = this.memory!;
    return Math.max(cache.held(sequence), this.#lengths.expected(sequence, { tokens: sequence.length, page: cache.page }));
  }

  #noteUse(): void {
    this.#stats.peakCacheTokens = Math.max(this.#stats.peakCacheTokens, this.memory!.cache.used);
  }

  #allocatePrefix(job: Job): Prefix | undefined {
    const memory = this.memory!;
    const start = memory.cache.allocatePrompt(job.needs.prefix);
    if (start === undefined) return undefined;
    const mask = memory.slotsLeft > 0 ? memory.allocateMask(job.plan.suppress) : undefined;
    if (mask === undefined) {
      memory.cache.releasePrompt(start, job.needs.prefix);
      return undefined;
    }
    return new Prefix(job, { slot: memory.allocateSlot(), start, mask });
  }

  /** Releases the part of the memory that a prompt holds. */
  #releasePrefix(prefix: Prefix): void {
    const memory = this.memory!, { job, slots: { start, slot, mask } } = prefix;
    if (prefix.regions) memory.clearRegions(start, prefix.length);
    if (prefix.ready) job.regions = prefix.regions;
    memory.cache.releasePrompt(start, prefix.length);
    memory.releaseSlot(slot);
    memory.releaseMask(mask);
    prefix[Symbol.dispose]();
    remove(this.reading, prefix);
    job.prefix = undefined;
  }

  /** Sees that each sequence that goes on has room for its next tokens; the youngest make room where there is none. */
  makeRoom(): void {
    const { cache } = this.memory!;
    const growing: Sequence[] = [];
    for (const sequence of this.active) if (cache.held(sequence) < sequence.next && sequence.prefix.ready) growing.push(sequence);
    if (growing.length === 0) return;
    for (const sequence of growing.sort((a, b) => a.age - b.age)) {
      while (this.active.includes(sequence) && !cache.grow(sequence, sequence.next)) this.#giveWay(sequence);
    }
    this.#noteUse();
  }

  /** Makes room for a sequence that has none. */
  #giveWay(sequence: Sequence): void {
    const youngest = this.active.reduce((a, b) => b.age > a.age ? b : a);
    if (youngest !== sequence) return this.#preempt(youngest);
    const unused = this.#unusedPrefix();
    if (unused) return this.#releasePrefix(unused);
    this.#preempt(sequence);
    if (this.active.length > 0) return;
    this.#releasePrefix(sequence.prefix);
    this.#alone = sequence;
  }

  /** The last prompt in the memory of which no sequence is in the batch. */
  #unusedPrefix(): Prefix | undefined {
    return this.admitted.findLast(({ prefix }) => prefix && !this.active.some((sequence) => sequence.prefix === prefix))?.prefix;
  }

  #preempt(sequence: Sequence): void {
    remove(this.active, sequence);
    this.memory!.cache.release(sequence);
    sequence.cached = 0;
    const older = this.waiting.findIndex(({ age }) => age > sequence.age);
    this.waiting.splice(older < 0 ? this.waiting.length : older, 0, sequence);
    this.#stats.preemptions++;
  }

  /** Sorts the batch, so that rows of one attention call stand together, and among them those of one prompt. */
  sort(): void {
    if (this.#sorted) return;
    const order = (a: Sequence, b: Sequence) => {
      const [x, y] = [a.prefix, b.prefix];
      if (x === y) return a.sample - b.sample;
      if (x.job.connectivityKey !== y.job.connectivityKey) return x.job.connectivityKey < y.job.connectivityKey ? -1 : 1;
      return x.slots.start - y.slots.start;
    };
    this.active.sort(order);
    this.#sorted = true;
  }

  /** Takes a finished sequence out of the batch. */
  retire(sequence: Sequence): void {
    this.#lengths.add(sequence.length);
    this.#drop(sequence);
  }

  #drop(sequence: Sequence): void {
    remove(this.active, sequence);
    remove(this.waiting, sequence);
    this.memory?.cache.release(sequence);
    if (this.#alone === sequence) this.#alone = undefined;
    sequence.over = true;
  }

  /** Releases everything that a job holds. */
  forget(job: Job): void {
    for (const sequence of [...this.active, ...this.waiting]) if (sequence.job === job) this.#drop(sequence);
    remove(this.queue, job);
    if (job.prefix) this.#releasePrefix(job.prefix);
  }

  /** Frees the memory. */
  releaseMemory(): void {
    this.memory?.[Symbol.dispose]();
    this.memory = undefined;
  }

  [Symbol.dispose](): void {
    this.releaseMemory();
  }
}

function remove<Item>(list: Item[], item: Item): void {
  const at = list.indexOf(item);
  if (at >= 0) list.splice(at, 1);
}
