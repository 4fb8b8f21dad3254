/**
 * Connectivity of response tokens with the prompt's pictures, measured beside a training forward: the share of a token's attention that falls on visual tokens,
 * without sinks, and its profile over regions of the pictures. Jiao et al., arXiv 2602.11455.
 *
 * With m and n the sums of attention probabilities over visual tokens and over all tokens, sinks in neither, for each chosen layer and query head: "pooled" gives
 * sum m / sum n, "row" the mean of m / max(n, 0.01). The profile is the same with m over one region.
 *
 * @module
 */
import { KedgeError } from "../ffi/errors.ts";
import type { AttentionSeen } from "../tensor/ops/mod.ts";
import { Tape } from "../tensor/tape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { type MeasuredRow, measuresOwnRow } from "./measured_row.ts";
import { PackedBatch } from "./packed_batch.ts";
import { familyOf } from "./families.ts";
import type { Prompt } from "./prompt.ts";
import type { VisionLanguageModel } from "./model.ts";
import { NO_HEADS_SKIPPED, type RegionMap, regionMap, SINK_LIMITS, type SkippedHeads, skippedHeads, visualSinks } from "./regions.ts";

export * from "./regions.ts";

/** Options of the measurement. */
export interface ConnectivityOptions {
  /** The row whose attention is measured: the one that predicts the token (default), the token's own, or the mean over both. */
  row?: MeasuredRow;
  /** First positions that count as sinks. Default 1. */
  sinkTokens?: number;
  /** Factor of the rule for visual sinks. Default 0: none. */
  visualSinkFactor?: number;
  /** Layers that count. Default "all". */
  layers?: "all" | "last-half" | number[];
  /** Query heads of these layers that count, as [layer, head]. Default "all". */
  heads?: "all" | (readonly [layer: number, head: number])[];
  /** Default "pooled". */
  sinkRenorm?: "pooled" | "row";
  /** Regions of a profile, at most. Default 64. */
  profileRegions?: number;
}

/** The connectivity of one response of T tokens over R regions. */
export interface Connectivity {
  /** [T], in [0, 1]. */
  readonly connectivity: Float32Array<ArrayBuffer>;
  /** [T, R]. */
  readonly profile: Float32Array<ArrayBuffer>;
  /** R; 0 where the prompt has no visuals, and connectivity is 0 then. */
  readonly regions: number;
}

/**
 * Accumulates the connectivity of all response tokens of a batch over the layers of one forward. Pass it to `logProbs`, then read `results`.
 *
 * @example
 * ```ts
 * import { ConnectivityAccumulator, PackedBatch, presetConfig, VisionLanguageModel } from "@kedge/kedge/model";
 * import { openDevice, Tape } from "@kedge/kedge/tensor";
 * import { assert, assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
 * using model = VisionLanguageModel.initialise(presetConfig("tiny", { tokens, vocabSize: 95 }), { device, seed: 1 });
 * const image = { kind: "image" as const, grid: { t: 1, h: 2, w: 2 }, pixels: { patches: new Float32Array(4 * 1176) } };
 * const prompt = { tokens: Int32Array.of(5, 92, 90, 93), visuals: [image] };
 * using batch = PackedBatch.pack(model, [{ prompt, responses: [Int32Array.of(8, 9)] }]);
 * using measured = ConnectivityAccumulator.create(model, batch);
 * using tape = new Tape(device);
 * model.logProbs(tape, batch, { connectivity: measured });
 * const [{ connectivity, regions }] = measured.results() as [ReturnType<typeof measured.results>[number]];
 * assertEquals([connectivity.length, regions], [2, 1]);
 * assert(connectivity.every((share) => share > 0 && share < 1));
 * ```
 */
export class ConnectivityAccumulator implements Disposable {
  /** The regions of each group's prompt. */
  readonly maps: readonly RegionMap[];
  readonly #mass: Tensor;
  readonly #profile: Tensor;
  readonly #region: Tensor;
  readonly #rowOut: Tensor;
  readonly #outputs: readonly Int32Array[]; // as of MeasuredRows
  readonly #skipped: readonly (SkippedHeads | undefined)[]; // by layer
  readonly #width: number;
  readonly #seen = new Set<number>();

  /** Called by `create`. */
  private constructor(
    readonly batch: PackedBatch,
    parts: { maps: readonly RegionMap[]; skipped: readonly (SkippedHeads | undefined)[]; row: MeasuredRow; readonly renorm: number },
  ) {
    const { device } = batch;
    this.maps = parts.maps;
    this.renorm = parts.renorm;
    this.#skipped = parts.skipped;
    this.#width = this.maps.reduce((most, { regions }) => Math.max(most, regions), 0);
    const { region, rowOut, outputs, rows } = measuredRows(batch, this.maps, parts.row);
    this.#outputs = outputs;
    this.#region = Tensor.from(device, region);
    this.#rowOut = Tensor.from(device, rowOut);
    this.#mass = Tensor.zeros(device, [rows, 2]);
    this.#profile = Tensor.zeros(device, [rows, this.#width]);
  }

  /** 0: pooled, 1: by row. */
  readonly renorm: number;

  /**
   * Prepares the measurement. With a `visualSinkFactor` and without `visualSinks`, it first runs the prompts alone through the model, since which
   * tokens are sinks depends on all layers.
   *
   * @param options `visualSinks`: those of each group, from {@linkcode promptSinks}.
   * @throws {RangeError} for row "self" or "both" with a batch that was not packed with `closing`, and for options out of range.
   */
  static create(
    model: VisionLanguageModel,
    batch: PackedBatch,
    options: ConnectivityOptions & { visualSinks?: readonly Int32Array[] } = {},
  ): ConnectivityAccumulator {
    const { row = "predict", sinkRenorm = "pooled" } = options, maps = measuredMaps(model, batch, options);
    const skipped = skippedHeads(options, model.config.text);
    return new ConnectivityAccumulator(batch, { maps, skipped, row, renorm: sinkRenorm === "row" ? 1 : 0 });
  }

  /** Adds the attention of a layer; the model calls it. */
  observe(layer: number, seen: AttentionSeen): void {
    if (this.#seen.has(layer)) throw new RangeError(`Cannot add layer ${layer} to connectivity: it was added; use another accumulator`);
    this.#seen.add(layer);
    const skipped = this.#skipped[layer];
    if (skipped === undefined || this.#mass.rows === 0) return;
    measure(this.batch, seen, {
      mass: this.#mass,
      profile: this.#profile,
      region: this.#region,
      rowOut: this.#rowOut,
      regions: this.#width,
      renorm: this.renorm,
      skipped,
    });
  }

  /**
   * The connectivity of each response, in the order of `batch.responses`.
   *
   * @throws {RangeError} before the forward has run; {KedgeError} `Diverged` for a sum that is not finite.
   */
  results(): Connectivity[] {
    const missing = this.#skipped.findIndex((skipped, layer) => skipped !== undefined && !this.#seen.has(layer));
    if (missing >= 0) throw new RangeError(`Cannot give connectivity: layer ${missing} has not run`);
    const [mass, sums] = [this.#mass.toFloats(), this.#profile.toFloats()];
    return this.batch.responses.map(({ group, offset, length }, response) => {
      const { regions } = this.maps[group]!;
      const connectivity = new Float32Array(length), profile = new Float32Array(length * regions);
      for (let t = 0; regions > 0 && t < length; t++) {
        const rows = this.#outputs.map((output) => output[offset + t]!);
        let sum = 0;
        for (const row of rows) {
          const [m, n] = [mass[2 * row]!, mass[2 * row + 1]!];
          if (!Number.isFinite(m) || !Number.isFinite(n)) {
            const words = `Cannot give connectivity: that of token ${t} of response ${response} is ${m} / ${n}`;
            throw new KedgeError("Diverged", words, { response, t });
          }
          if (n > 0) sum += m / n; // n is 0 where all attention is on sinks
        }
        connectivity[t] = sum / rows.length;
        for (let r = 0; r < regions; r++) {
          let part = 0;
          for (const row of rows) if (mass[2 * row + 1]! > 0) part += sums[row * this.#width + r]! / mass[2 * row + 1]!;
          profile[t * regions + r] = part / rows.length;
        }
      }
      return { connectivity, profile, regions };
    });
  }

  /** Frees the sums. */
  [Symbol.dispose](): void {
    for (const tensor of [this.#mass, this.#profile, this.#region, this.#rowOut]) tensor[Symbol.dispose]();
  }
}

/**
 * Returns the regions of each group's prompt, with its visual sinks.
 *
 * @throws {RangeError} for row "self" or "both" with a batch that was not packed with `closing`, and for options out of range.
 */
export function measuredMaps(
  model: VisionLanguageModel,
  batch: PackedBatch,
  options: ConnectivityOptions & { visualSinks?: readonly Int32Array[] },
): RegionMap[] {
  if (measuresOwnRow(options.row) && !batch.closing) {
    throw new RangeError(
      `Cannot measure connectivity by row "${options.row}": the batch lacks the rows of last tokens; pack it with closing`,
    );
  }
  const prompts = batch.groups.map(({ prompt }) => prompt),
    sinks = options.visualSinks ?? promptSinks(model, prompts, options.visualSinkFactor ?? 0);
  return prompts.map((prompt, i) => regionMap(prompt, model.config, { ...options, visualSinks: sinks[i]! }));
}

/** The rows of a batch that are measured, as kedge_connectivity takes them. */
export interface MeasuredRows {
  /** [rows of the batch]: the region of each key. */
  readonly region: Int32Array<ArrayBuffer>;
  /** [rows of the batch]: the output row of each query row, or -1. */
  readonly rowOut: Int32Array<ArrayBuffer>;
  /**
   * [rows that count for a token: 1, or 2 with "both"][response tokens]: the output row of each response token. A response to a prompt without visuals has none,
   * and 0 here.
   */
  readonly outputs: readonly Int32Array<ArrayBuffer>[];
  /** Output rows. */
  readonly rows: number;
}

/** Plans which rows of a batch are measured: those of response tokens to prompts with visuals. */
export function measuredRows(batch: PackedBatch, maps: readonly RegionMap[], row: MeasuredRow): MeasuredRows {
  const region = new Int32Array(batch.rows).fill(-1), rowOut = new Int32Array(batch.rows).fill(-1);
  for (const { group, start } of batch.prompts) region.set(maps[group]!.region, start);
  const predict = batch.predictRows;
  let rows = 0;
  const outputs = (row === "both" ? ["predict", "self"] as const : [row]).map((which) => {
    const output = new Int32Array(batch.count);
    for (const { offset, length, start, group } of batch.responses) {
      if (maps[group]!.regions === 0) continue;
      for (let t = 0; t < length; t++) {
        const at = which === "self" ? start + t : predict[offset + t]!;
        if (rowOut[at] === -1) rowOut[at] = rows++;
        output[offset + t] = rowOut[at]!;
      }
    }
    return output;
  });
  return { region, rowOut, outputs, rows };
}

/**
 * Finds the visual sinks of prompts, by the rule of {@linkcode visualSinks}. It runs the prompts through the model once, without recording.
 *
 * @param factor 0: none, and no pass.
 * @returns By prompt: indices among its visual tokens.
 */
export function promptSinks(model: VisionLanguageModel, prompts: readonly Prompt[], factor: number): Int32Array<ArrayBuffer>[] {
  const sinks = prompts.map(() => new Int32Array());
  if (!(factor >= 0)) throw new RangeError(`Cannot find visual sinks: the factor is ${factor}, it takes 0 or more`);
  if (factor === 0) return sinks;
  const family = familyOf(model.config), spans = prompts.map((prompt) => family.visualSpans(prompt, model.config));
  const sizes = prompts.map((prompt, i) => {
    const tokens = spans[i]!.reduce((sum, { start, end }) => sum + end - start, 0);
    return { tokens, rows: prompt.tokens.length - (spans[i]!.at(-1)?.end ?? 0) };
  });
  const worth = [...prompts.keys()].filter((i) => sizes[i]!.rows >= SINK_LIMITS.rows && sizes[i]!.tokens >= SINK_LIMITS.tokens);
  if (worth.length === 0) return sinks;
  const { device, config: { text } } = model;
  using batch = PackedBatch.pack(model, worth.map((i) => ({ prompt: prompts[i]!, responses: [] })));
  const width = worth.reduce((most, i) => Math.max(most, sizes[i]!.tokens), 0);
  const region = new Int32Array(batch.rows).fill(-1), rowOut = new Int32Array(batch.rows).fill(-1);
  let rows = 0;
  for (const [place, i] of worth.entries()) {
    const { start } = batch.prompts[place]!;
    let token = 0;
    for (const span of spans[i]!) for (let at = span.start; at < span.end; at++) region[start + at] = token++;
    for (let at = spans[i]!.at(-1)!.end; at < prompts[i]!.tokens.length; at++) rowOut[start + at] = rows++;
  }
  using mass = Tensor.zeros(device, [rows, 2]);
  using profile = Tensor.zeros(device, [rows, width]);
  using regions = Tensor.from(device, region);
  using outputs = Tensor.from(device, rowOut);
  {
    using tape = new Tape(device, { record: false });
    const observe = (_: number, seen: AttentionSeen) =>
      measure(batch, seen, { mass, profile, region: regions, rowOut: outputs, regions: width, renorm: 0, skipped: NO_HEADS_SKIPPED });
    model.hidden(tape, batch, { observe });
  }
  const sums = profile.toFloats();
  let row = 0;
  for (const i of worth) {
    const { tokens, rows: promptRows } = sizes[i]!;
    const attention = new Float64Array(promptRows * tokens);
    for (let r = 0; r < promptRows; r++, row++) {
      for (let t = 0; t < tokens; t++) attention[r * tokens + t] = sums[row * width + t]! / (text.layers * text.heads);
    }
    sinks[i] = visualSinks({ attention, rows: promptRows, tokens, factor });
  }
  return sinks;
}

/** Adds a layer's attention to sums. `rows`: output rows. `renorm`: as of kedge_connectivity. */
export function measure(
  batch: PackedBatch,
  seen: AttentionSeen,
  into: {
    mass: Tensor;
    profile: Tensor;
    region: Tensor;
    rowOut: Tensor;
    regions: number;
    rows?: number;
    renorm: number;
    skipped: SkippedHeads;
  },
): void {
  const { q, k, lse, shape } = seen;
  const { mass, profile, region, rowOut, regions, renorm, skipped } = into;
  batch.device.ops.connectivity(
    q.dtypeCode,
    shape,
    mass.address,
    profile.address,
    q.address,
    k.address,
    lse.address,
    region.address,
    rowOut.address,
    regions,
    into.rows ?? mass.rows,
    batch.segments.table.address,
    renorm,
    ...skipped,
  );
}
