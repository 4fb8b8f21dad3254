import { plus } from "../../ffi/address.ts";
import { DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import type { DecodeShape } from "../../ffi/generated/bindings.ts";
import type { ConnectivityOptions } from "../connectivity.ts";
import { NO_HEADS_SKIPPED, type SkippedHeads, skippedHeads } from "../regions.ts";
import type { ModelParts } from "../family.ts";
import { CapturedSteps } from "./captured_steps.ts";
import { Block } from "./block.ts";
import type { CachePages } from "./cache_pages.ts";
import type { Draw, RowAttention } from "./completion.ts";
import type { InferenceDecoder } from "./inference_decoder.ts";
import { ATTENTION_SCRATCH, MAX_REGIONS } from "./limits.ts";
import type { Sequence } from "./sequence.ts";

/** Sizes of the block of a decode step. */
export function decodeSizes(sequences: number) {
  return {
    tokens: sequences,
    positions: sequences,
    cacheRows: sequences,
    /** { own_start, own_len } of kedge_decode_attention: the first of the sequence's entries in the table of pages, and the keys that the row sees. */
    own: 2 * sequences,
    groups: 4 * sequences,
    /** The row of each draw in the final hidden states. */
    picks: sequences,
    temperature: sequences,
    topK: sequences,
    topP: sequences,
    minP: sequences,
    keys: 4 * sequences,
    indices: sequences,
    /** The row of each token that the last step drew, or -1. */
    carried: sequences,
  };
}

/** Bounds of lengths are multiples of this, the chunk of keys of kedge_decode_attention on CUDA, so that steps after one another have the same bounds. */
const BOUND = 256;

/** Rows [start, end) of a step that one attention call serves. */
interface AttentionCall {
  readonly start: number;
  readonly end: number;
  /** Entries [first, end) of the table `groups`. */
  readonly groups: readonly [first: number, end: number];
  readonly maxPrefix: number;
  readonly maxOwn: number;
  /** The most regions of a row; 0 if no connectivity is measured. */
  readonly regions: number;
  /** The connectivity options as text. */
  readonly options: string;
  /** `skipped`: by layer. */
  readonly connectivity: { readonly skipped: readonly (SkippedHeads | undefined)[]; readonly renorm: 0 | 1 } | undefined;
}

/** Draws [start, end) of a step that one kedge_sample call serves. */
interface SampleCall {
  readonly start: number;
  readonly end: number;
  /** Slot of the mask, -1 for none. */
  readonly mask: number;
}

/** A row of a step: a token of a sequence. */
export interface DecodeRow {
  readonly sequence: Sequence;
  /** The token's index in its sequence. Tokens before the last were forwarded once already: their keys are put back into the cache. */
  readonly index: number;
}

/** Whether a row's token is its sequence's last. */
function isLast({ sequence, index }: DecodeRow): boolean {
  return index === sequence.drawn - 1;
}

/** A row of a step whose token is its sequence's last, or of a prompt's end. */
interface End {
  readonly sequence: Sequence;
  /** Its row among the final hidden states. */
  readonly row: number;
  /** Slot of its mask, -1 for none. */
  readonly mask: number;
  /** Regions of its profile. */
  readonly regions: number;
}

/** A step under way. */
export interface LaunchedStep extends Disposable {
  /** The rows from which a token is drawn. */
  readonly drawing: readonly End[];
  /** Waits for the step, and gives its results. Once. */
  collect(): Step;
}

/**
 * The results of a step: a drawn token for each sequence that goes on, and the attention of each last token's row, which the next step overwrites. `ends`: the
 * sequences whose last token the step has run.
 */
interface Step {
  readonly ends: readonly { readonly sequence: Sequence }[];
  readonly draws: readonly { readonly sequence: Sequence; readonly draw: Draw }[];
  readonly attentions: readonly { readonly sequence: Sequence; readonly attention: RowAttention }[];
}

/** Decodes one token of every sequence. */
export class Decode implements Disposable {
  readonly #model: ModelParts;
  readonly #decoder: InferenceDecoder;
  readonly #block: Block<keyof ReturnType<typeof decodeSizes>>;
  readonly #sequences: number;
  readonly #cache: CachePages;
  readonly #pages: Int32Array<ArrayBuffer>;
  #pagesUsed = 0;
  readonly #results: Float32Array<ArrayBuffer>;
  readonly #captured: CapturedSteps;
  readonly #skipped = new WeakMap<ConnectivityOptions, readonly (SkippedHeads | undefined)[]>();

  /** @param limits `sequences`: most rows of a step. */
  constructor(
    model: ModelParts,
    decoder: InferenceDecoder,
    { sequences, cache, capture }: { sequences: number; cache: CachePages; capture: boolean },
  ) {
    this.#captured = new CapturedSteps(model.device, { enabled: capture });
    this.#model = model;
    this.#decoder = decoder;
    this.#sequences = sequences;
    this.#cache = cache;
    this.#pages = new Int32Array(decoder.pages.size);
    this.#block = new Block(decoder.buffers.block.address, decodeSizes(sequences));
    this.#results = new Float32Array(decoder.buffers.results.size);
  }

  /**
   * Forwards tokens of sequences, then draws a token for each of them whose last token is among these and that goes on, and for each sequence in `fresh`. The
   * device may work on it when this returns.
   *
   * @param rows Those with the same connectivity options stand together, among them those of one prefix, and among them those of one sequence.
   * @param fresh Sequences without a token, whose prompts are in the cache.
   * @param last The step before, if its tokens are not read yet: the device itself takes them from there.
   */
  launch(rows: readonly DecodeRow[], fresh: readonly Sequence[], last?: LaunchedStep): LaunchedStep {
    const calls = this.#fillRows(rows), carried = this.#fillCarried(rows, last);
    const ends: End[] = [], drawing: End[] = [];
    let sorted = true;
    const draws = (end: End) => {
      sorted &&= drawing.length === 0 || drawing.at(-1)!.mask <= end.mask;
      drawing.push(end);
    };
    for (let row = 0; row < rows.length; row++) {
      if (!isLast(rows[row]!)) continue;
      const { sequence } = rows[row]!, { regions, slots: { mask } } = sequence.prefix;
      const end = { sequence, row, mask, regions: regions?.regions ?? 0 };
      ends.push(end);
      if (sequence.goesOn) draws(end);
    }
    for (const sequence of fresh) {
      const { slots: { slot, mask } } = sequence.prefix;
      draws({ sequence, row: this.#sequences + slot, mask, regions: 0 });
    }
    if (!sorted) drawing.sort((a, b) => a.mask - b.mask);
    const runs = this.#fillDraws(drawing);
    this.#block.write(this.#model.device);
    if (this.#pagesUsed > 0) this.#model.device.write(this.#decoder.pages.address, this.#pages.subarray(0, this.#pagesUsed));
    this.#captured.run([rows.length, carried, drawing.length, calls, runs], () => {
      if (carried > 0) this.#carry(carried, rows.length);
      if (rows.length > 0) this.#forward(rows.length, calls);
      if (drawing.length > 0) this.#sample(drawing.length, runs);
    });
    for (const { sequence, index } of rows) sequence.cached = index + 1;
    for (let i = 0; i < drawing.length; i++) {
      const { sequence } = drawing[i]!;
      sequence.draw = i;
      sequence.pending++;
    }
    return this.#launched({ ends, drawing, calls });
  }

  /** Says which rows take tokens that the last step drew. @returns The draws of that step, 0 if no row takes any. */
  #fillCarried(rows: readonly DecodeRow[], last: LaunchedStep | undefined): number {
    if (!last) return 0;
    const { carried } = this.#block.ints, { length } = last.drawing;
    let any = false;
    carried.fill(-1, 0, length);
    for (const [i, { sequence, index }] of rows.entries()) {
      if (index < sequence.length) continue;
      carried[sequence.draw] = i;
      any = true;
    }
    return any ? length : 0;
  }

  /** Moves tokens that the last step drew to the rows that take them. */
  #carry(draws: number, rows: number): void {
    const { carried, tokens } = this.#block.at;
    this.#model.device.ops.scatterRows(DTYPES.f32, tokens, 1, this.#decoder.buffers.results.address, 1, carried, draws, rows, 1);
  }

  /** Frees recorded steps: they are of no use once the weights have moved. */
  [Symbol.dispose](): void {
    this.#captured[Symbol.dispose]();
  }

  #fillRows(rows: readonly DecodeRow[]): AttentionCall[] {
    const { ints } = this.#block;
    const calls: AttentionCall[] = [];
    let start = 0, group = 0, pages = 0;
    this.#pagesUsed = 0;
    while (start < rows.length) {
      const { job } = rows[start]!.sequence, options = job.plan.connectivity;
      const firstGroup = group;
      let end = start, maxPrefix = 0, maxOwn = 0, regions = 0;
      while (end < rows.length && rows[end]!.sequence.job.connectivityKey === job.connectivityKey) {
        const { sequence, index } = rows[end]!, { prefix, recorder } = sequence, own = index + 1;
        const longest = [
          Math.max(maxPrefix, prefix.length),
          Math.max(maxOwn, own),
          Math.max(regions, prefix.regions?.regions ?? 0),
        ] as const;
        if (end > start && end + 1 - start > this.#callRows(...longest)) break;
        [maxPrefix, maxOwn, regions] = longest;
        if (end === 0 || rows[end - 1]!.sequence !== sequence) pages = this.#fillPages(sequence);
        ints.tokens[end] = recorder.tokens[index] ?? 0; // a token that is not read yet is moved there
        ints.positions[end] = prefix.plan.positions.next + index;
        ints.cacheRows[end] = this.#cache.row(sequence, index);
        ints.own[2 * end] = pages;
        ints.own[2 * end + 1] = own;
        if (end === start || rows[end - 1]!.sequence.prefix !== prefix) {
          ints.groups.set([prefix.slots.start, prefix.length, end - start, end - start], 4 * group++);
        }
        end++;
        ints.groups[4 * (group - 1) + 3] = end - start;
      }
      calls.push({
        start,
        end,
        groups: [firstGroup, group],
        maxPrefix: Math.ceil(maxPrefix / BOUND) * BOUND,
        maxOwn: Math.ceil(maxOwn / BOUND) * BOUND,
        regions,
        options: job.connectivityKey,
        connectivity: options && { skipped: this.#skippedBy(options), renorm: options.sinkRenorm === "row" ? 1 : 0 },
      });
      start = end;
    }
    return calls;
  }

  /** Enters a sequence's pages into the table. @returns The first of its entries. */
  #fillPages({ pages }: Sequence): number {
    const first = this.#pagesUsed;
    this.#pages.set(pages, first);
    this.#pagesUsed += pages.length;
    return first;
  }

  /** The maximum number of rows of a call, so that its scratch on CUDA stays small. */
  #callRows(prefix: number, own: number, regions: number): number {
    if (this.#model.device.kind === "cpu") return Infinity;
    const { heads, headDim } = this.#model.config.text;
    const chunks = Math.ceil(prefix / 256) + Math.ceil(own / 256);
    return Math.max(1, Math.floor(ATTENTION_SCRATCH / (4 * heads * (chunks + 1) * (headDim + 4 + regions))));
  }

  #skippedBy(options: ConnectivityOptions): readonly (SkippedHeads | undefined)[] {
    let skipped = this.#skipped.get(options);
    if (!skipped) this.#skipped.set(options, skipped = skippedHeads(options, this.#model.config.text));
    return skipped;
  }

  #fillDraws(drawing: readonly End[]): SampleCall[] {
    const { ints, floats } = this.#block;
    const runs: SampleCall[] = [];
    let start = 0;
    for (let i = 0; i < drawing.length; i++) {
      const { sequence, row, mask } = drawing[i]!, { plan } = sequence.job;
      ints.picks[i] = row;
      floats.temperature[i] = plan.temperature;
      ints.topK[i] = plan.topK;
      floats.topP[i] = plan.topP;
      floats.minP[i] = plan.minP;
      ints.keys[4 * i] = plan.seed[0];
      ints.keys[4 * i + 1] = plan.seed[1];
      ints.keys[4 * i + 2] = sequence.words[0];
      ints.keys[4 * i + 3] = sequence.words[1];
      ints.indices[i] = sequence.drawn;
      if (mask !== drawing[start]!.mask) {
        runs.push({ start, end: i, mask: drawing[start]!.mask });
        start = i;
      }
    }
    if (drawing.length > 0) runs.push({ start, end: drawing.length, mask: drawing[start]!.mask });
    return runs;
  }

  /** Offsets in the results at which the masses of a step's rows begin, and their profiles. */
  get #attentionAt(): readonly [mass: number, profile: number] {
    return [4 * this.#sequences, 6 * this.#sequences];
  }

  #forward(rows: number, calls: readonly AttentionCall[]): void {
    const { device: { ops }, config: { text: { heads, kvHeads, headDim } } } = this.#model;
    const { qkv, mixed, results, final } = this.#decoder.buffers;
    const { region, pages } = this.#decoder;
    const { tokens, positions, cacheRows, own, groups } = this.#block.at;
    const size = DTYPE_BYTES[qkv.dtype], scale = 1 / Math.sqrt(headDim);
    const [massAt, profileAt] = this.#attentionAt;
    const [mass, profile] = [plus(results.address, 4 * massAt), plus(results.address, 4 * profileAt)];
    if (calls.some(({ connectivity }) => connectivity)) {
      ops.fill(DTYPES.f32, mass, 2 * this.#sequences + rows * MAX_REGIONS, 0);
    }
    this.#decoder.embed(tokens, rows);
    this.#decoder.run({
      rows,
      positions,
      axes: 1,
      cacheRows,
      out: final.address,
      attend: (layer) => {
        const cache = this.#decoder.cache[layer]!;
        for (const { start, end, groups: [first, last], maxPrefix, maxOwn, regions, connectivity } of calls) {
          const skipped = connectivity?.skipped[layer], measured = skipped !== undefined;
          const shape: DecodeShape = {
            qStride: qkv.cols,
            kStride: cache.cols,
            vStride: cache.cols,
            outStride: mixed.cols,
            nGroups: last - first,
            n: end - start,
            maxPrefix,
            maxOwn,
            cacheTokens: cache.rows,
            page: this.#cache.page,
            nPages: pages.size,
            heads,
            kvHeads,
            headDim,
            scale,
          };
          ops.decodeAttention(
            qkv.dtypeCode,
            shape,
            plus(mixed.address, start * mixed.cols * size),
            measured ? plus(mass, 4 * 2 * start) : 0,
            measured && regions > 0 ? plus(profile, 4 * start * MAX_REGIONS) : 0,
            plus(qkv.address, start * qkv.cols * size),
            cache.address,
            plus(cache.address, kvHeads * headDim * size),
            region.address,
            regions,
            plus(groups, 4 * 4 * first),
            plus(own, 4 * 2 * start),
            pages.address,
            connectivity?.renorm ?? 0,
            ...(skipped ?? NO_HEADS_SKIPPED),
          );
        }
      },
    });
  }

  #sample(count: number, runs: readonly SampleCall[]): void {
    const { device: { ops }, config: { text: { vocabSize } } } = this.#model;
    const { logits, masks, results } = this.#decoder.buffers;
    const { picks, temperature, topK, topP, minP, keys, indices } = this.#block.at;
    const column = (i: number, row: number) => plus(results.address, 4 * (i * this.#sequences + row));
    this.#decoder.project(picks, count, (start, end) => {
      for (const run of runs) {
        const from = Math.max(start, run.start), to = Math.min(end, run.end);
        if (from >= to) continue;
        ops.sample(
          DTYPES.f32,
          column(0, from),
          column(1, from),
          column(2, from),
          column(3, from),
          plus(logits.address, 4 * (from - start) * vocabSize),
          vocabSize,
          plus(temperature, 4 * from),
          plus(topK, 4 * from),
          plus(topP, 4 * from),
          plus(minP, 4 * from),
          plus(keys, 16 * from),
          plus(indices, 4 * from),
          run.mask < 0 ? 0 : plus(masks.address, run.mask * vocabSize),
          to - from,
          vocabSize,
        );
      }
    });
  }

  /** Starts to read what the step gives, in one piece. */
  #launched(step: { ends: readonly End[]; drawing: readonly End[]; calls: readonly AttentionCall[] }): LaunchedStep {
    const { device } = this.#model, { address } = this.#decoder.buffers.results, [, profile] = this.#attentionAt;
    const measured = step.calls.filter(({ connectivity }) => connectivity);
    const used = measured.reduce(
      (most, { start, end, regions }) => Math.max(most, profile + start * MAX_REGIONS + (end - start) * regions),
      4 * this.#sequences,
    );
    const numbers = this.#results.subarray(0, used), later = device.readLater?.(address, numbers.byteLength);
    return {
      drawing: step.drawing,
      collect: () => {
        if (later) later.take(numbers);
        else device.read(numbers, address);
        for (const { sequence } of step.drawing) sequence.pending--;
        return this.#stepOf(numbers, { ...step, measured });
      },
      [Symbol.dispose]: () => later?.[Symbol.dispose](),
    };
  }

  #stepOf(
    numbers: Float32Array<ArrayBuffer>,
    { ends, drawing, measured }: { ends: readonly End[]; drawing: readonly End[]; measured: readonly AttentionCall[] },
  ): Step {
    const [mass, profile] = this.#attentionAt;
    const tokens = new Int32Array(numbers.buffer, 0, this.#sequences);
    const number = (i: number, row: number) => numbers[i * this.#sequences + row]!;
    const draws = drawing.map(({ sequence }, i) => {
      const draw = { token: tokens[i]!, logprob: number(1, i), filteredLogprob: number(2, i), entropy: number(3, i) };
      return { sequence, draw };
    });
    const attentions: Step["attentions"][number][] = [];
    let at = 0;
    for (const { start, end, regions: width } of measured) {
      while (at < ends.length && ends[at]!.row < start) at++;
      for (; at < ends.length && ends[at]!.row < end; at++) {
        const { sequence, row, regions } = ends[at]!;
        const attention = { numbers, mass: mass + 2 * row, profile: profile + start * MAX_REGIONS + (row - start) * width, regions };
        attentions.push({ sequence, attention });
      }
    }
    return { ends, draws, attentions };
  }
}
