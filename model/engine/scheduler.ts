import { KedgeError } from "../../ffi/errors.ts";
import type { ModelParts } from "../family.ts";
import { measuresOwnRow } from "../measured_row.ts";
import { visualTokens } from "../prompt.ts";
import { Admission, type AdmissionStats } from "./admission.ts";
import { type Completion, type Draw, type Finish, Recorder } from "./completion.ts";
import type { DecodeRow, LaunchedStep } from "./decode.ts";
import type { EngineOptions } from "./engine_options.ts";
import { type EngineLimits, KEPT, type Needs, promptBytes, tooSmall } from "./limits.ts";
import type { Piece } from "./prefill.ts";
import { type Plan, planRequest, type Request, stops } from "./request.ts";
import { Job, type Sequence } from "./sequence.ts";

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
export interface EngineStats extends AdmissionStats {
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
  /** Seconds on the host's clock. */
  seconds: { vision: number; prefill: number; decode: number; total: number };
}

/** Runs the steps of an engine over the sequences that {@linkcode Admission} admits, and settles the requests. */
export class Scheduler implements Disposable {
  readonly stats: EngineStats = {
    steps: 0,
    prefilledTokens: 0,
    drawnTokens: 0,
    decodedRows: 0,
    encodedPrompts: 0,
    peakSequences: 0,
    peakCacheTokens: 0,
    preemptions: 0,
    seconds: { vision: 0, prefill: 0, decode: 0, total: 0 },
  };
  readonly #model: ModelParts;
  readonly #options: EngineOptions;
  readonly #admission: Admission;
  /** The step whose tokens are not read yet. */
  #under: LaunchedStep | undefined;
  #stepping = false;
  readonly #aborted: Job[] = [];

  constructor(model: ModelParts, options: EngineOptions) {
    this.#model = model;
    this.#options = options;
    this.#admission = new Admission(model, options, this.stats);
  }

  get limits(): EngineLimits {
    return this.#admission.limits;
  }

  submit(request: Request, ended: (sample: number, completion: Completion) => void = () => {}): Ticket {
    const plan = planRequest(request, { config: this.#model.config, decode: this.#options.decode !== undefined });
    const needs = this.#needs(plan);
    const memoryPlan = this.#admission.plan;
    if (!memoryPlan.fits(needs)) {
      const what = `a prompt of ${needs.prefix} tokens with ${plan.maxTokens} more`;
      throw tooSmall(memoryPlan.bytesFor(needs), { ...this.#options, memoryBytes: memoryPlan.memoryBytes }, what);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Completion[]>();
    promise.catch(() => {}); // a ticket may be left unread
    const job = new Job(plan, needs, (error) => error === undefined ? resolve(job.completions as Completion[]) : reject(error), ended);
    this.#admission.queue.push(job);
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
    if (this.#admission.idle) return false;
    const start = performance.now();
    const { device } = this.#model;
    const before = device.batchInvariant;
    this.#stepping = true;
    try {
      device.batchInvariant = before || (this.#options.deterministic ?? false);
      this.stats.steps++;
      this.#admission.prepareMemory();
      this.#admission.admit((job, error) => this.#end(job, error));
      this.#prefill();
      this.#decode();
    } catch (error) {
      this.#fail(error);
    } finally {
      device.batchInvariant = before;
      this.#stepping = false;
      for (const job of this.#aborted.splice(0)) this.#abort(job);
      if (this.#admission.idle) this.#giveUp();
      this.stats.seconds.total += (performance.now() - start) / 1000;
    }
    return !this.#admission.idle;
  }

  /** Reads prompts, at most `prefillTokens` of them in a step. */
  #prefill(): void {
    const { reading, memory, plan } = this.#admission;
    if (reading.length === 0) return;
    const { prefill, limits: { prefillTokens, promptBytes } } = memory!;
    const room = promptBytes + plan.embeddedBytes;
    const pieces: Piece[] = [];
    let rows = 0, kept = 0, held = 0;
    const start = performance.now();
    for (const prefix of [...reading]) {
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
    reading.splice(0, reading.length, ...reading.filter(({ ready }) => !ready));
    this.stats.prefilledTokens += rows;
    this.stats.seconds.vision += (encoded - start) / 1000;
    this.stats.seconds.prefill += (performance.now() - encoded) / 1000;
  }

  /**
   * Decodes a token of each sequence whose prompt is in the cache, and runs again over tokens of those that are back after they gave up their places. With
   * overlap, the step before is read once this one is under way.
   */
  #decode(): void {
    const start = performance.now(), last = this.#under;
    this.#under = this.#launch(last);
    if (last) this.#collect(last);
    if (this.#under && !this.#overlaps) {
      const now = this.#under;
      this.#under = undefined;
      this.#collect(now);
    }
    this.stats.seconds.decode += (performance.now() - start) / 1000;
  }

  get #overlaps(): boolean {
    return (this.#options.overlap ?? true) && this.#model.device.readLater !== undefined;
  }

  /** Starts a step, unless no sequence has anything to do in it. */
  #launch(last: LaunchedStep | undefined): LaunchedStep | undefined {
    this.#admission.makeRoom();
    this.#admission.sort();
    const ready = this.#admission.active.filter(({ prefix }) => prefix.ready);
    const rows = this.#rows(ready), fresh = ready.filter(({ drawn }) => drawn === 0);
    if (rows.length === 0 && fresh.length === 0) return undefined;
    for (const { recorder, prefix } of fresh) {
      if (prefix.lastRow && prefix.plan.connectivity?.row !== "self") recorder.addAttention(prefix.lastRow);
    }
    this.stats.decodedRows += rows.length;
    return this.#admission.memory!.decode.launch(rows, fresh, last);
  }

  /** Takes what a step gives. What it did for sequences that had ended before goes to nobody. */
  #collect(step: LaunchedStep): void {
    const { ends, draws, attentions } = step.collect();
    for (const { sequence, attention } of attentions) if (!sequence.over) sequence.recorder.addAttention(attention);
    for (const { sequence } of ends) if (sequence.ended && !sequence.over) this.#retire(sequence, sequence.ended);
    for (const { sequence, draw } of draws) if (!sequence.over && !sequence.ended) this.#take(sequence, draw);
  }

  /** The rows of a step: each sequence's next token, and as many more of those that are back as there is room for. */
  #rows(ready: readonly Sequence[]): DecodeRow[] {
    let spare = this.#admission.memory!.limits.maxSequences - ready.length;
    const rows: DecodeRow[] = [];
    for (const sequence of ready) {
      const { cached, next } = sequence, end = Math.min(next, cached + 1 + spare);
      for (let index = cached; index < end; index++) rows.push({ sequence, index });
      spare -= Math.max(0, end - cached - 1);
    }
    return rows;
  }

  /** Records a drawn token, and ends the sequence if the token is its last. */
  #take(sequence: Sequence, draw: Draw): void {
    const { job, job: { plan }, recorder, sample } = sequence;
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
    const { job, recorder, sample } = sequence;
    this.#admission.retire(sequence);
    job.complete(sample, recorder.finish(finish, job.profileRegions));
    if (job.over) this.#admission.forget(job);
  }

  /** Settles a job with an error. */
  #end(job: Job, error: unknown): void {
    if (job.over) return;
    this.#admission.forget(job);
    job.settle(error);
  }

  /** Ends the jobs that a failed step concerned: all in the batch, or, if there is none, the first that waits. */
  #fail(error: unknown): void {
    this.#giveUp();
    const { admitted, queue } = this.#admission;
    for (const job of admitted.length > 0 ? admitted : queue.slice(0, 1)) this.#end(job, error);
  }

  /** Forgets a step under way, whose results nobody wants. */
  #giveUp(): void {
    this.#under?.[Symbol.dispose]();
    this.#under = undefined;
  }

  #abort(job: Job): void {
    if (job.over) return;
    if (this.#stepping) {
      this.#aborted.push(job);
      return;
    }
    const { active, waiting } = this.#admission, under = [...active, ...waiting].filter((sequence) => sequence.job === job);
    const regions = job.profileRegions;
    this.#admission.forget(job);
    for (const sequence of under) job.complete(sequence.sample, sequence.recorder.finish(sequence.ended ?? "aborted", regions));
    for (const [sample, completion] of [...job.completions].entries()) {
      if (!completion) job.complete(sample, new Recorder().finish("aborted", regions));
    }
  }

  release(): void {
    const { length } = this.#admission.active;
    if (this.#admission.admitted.length > 0) throw new RangeError(`Cannot release the engine's memory: ${length} sequences are under way`);
    this.#giveUp();
    this.#admission.releaseMemory();
  }

  [Symbol.dispose](): void {
    if (this.#stepping) throw new RangeError("Cannot dispose of the engine: a step is under way");
    const error = new RangeError("Cannot go on generating: the engine was disposed of");
    for (const job of [...this.#admission.admitted, ...this.#admission.queue]) this.#end(job, error);
    this.#giveUp();
    this.#admission[Symbol.dispose]();
  }
}
