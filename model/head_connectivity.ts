import type { AttentionSeen } from "../tensor/ops/mod.ts";
import { Tensor } from "../tensor/tensor.ts";
import { type ConnectivityOptions, measure, measuredMaps, measuredRows } from "./connectivity.ts";
import type { MeasuredRow } from "./measured_row.ts";
import type { VisionLanguageModel } from "./model.ts";
import type { PackedBatch } from "./packed_batch.ts";
import { NO_HEADS_SKIPPED, type RegionMap } from "./regions.ts";

/** Options of {@linkcode HeadConnectivity}: all heads of all layers are measured. */
export type HeadConnectivityOptions = Omit<ConnectivityOptions, "layers" | "heads">;

/** The connectivity of one response of T tokens, by layer and query head. */
export interface HeadShares {
  /** [T, layers, heads]: the share of a head's attention that falls on visual tokens, of all that does not fall on sinks, in [0, 1]. */
  readonly share: Float32Array<ArrayBuffer>;
  /** [T, layers, heads]: the largest share of one region. */
  readonly peak: Float32Array<ArrayBuffer>;
  /** Whether the prompt has visuals; without, all numbers are 0. */
  readonly visual: boolean;
}

/**
 * Measures the connectivity of all response tokens of a batch by layer and head, beside one forward. With m, m_r and n as in `ConnectivityOptions`, a head's share is m / n
 * and its peak the largest m_r / n; with `sinkRenorm` "row", n counts as 0.01 at least. Pass it to `logProbs`, or its `observe` to `hidden` or `predictions`.
 *
 * @example
 * ```ts
 * import { HeadConnectivity, PackedBatch, presetConfig, VisionLanguageModel } from "@kedge/kedge/model";
 * import { openDevice, Tape } from "@kedge/kedge/tensor";
 * import { assert, assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
 * using model = VisionLanguageModel.initialise(presetConfig("tiny", { tokens, vocabSize: 95 }), { device, seed: 1 });
 * const image = { kind: "image" as const, grid: { t: 1, h: 2, w: 4 }, pixels: { patches: new Float32Array(8 * 1176) } };
 * const prompt = { tokens: Int32Array.of(5, 92, 90, 90, 93), visuals: [image] };
 * using batch = PackedBatch.pack(model, [{ prompt, responses: [Int32Array.of(8, 9)] }]);
 * using measured = HeadConnectivity.create(model, batch);
 * using tape = new Tape(device, { record: false });
 * model.logProbs(tape, batch, { connectivity: measured });
 * const [{ share, peak }] = measured.results() as [ReturnType<typeof measured.results>[number]];
 * const { layers, heads } = model.config.text;
 * assertEquals(share.length, 2 * layers * heads);
 * assert(share.every((x, i) => peak[i]! > 0 && peak[i]! <= x && x < 1));
 * ```
 */
export class HeadConnectivity implements Disposable {
  readonly #mass: Tensor; // [rows * heads, 2], of one layer
  readonly #profile: Tensor; // [rows * heads, width], of one layer
  readonly #region: Tensor;
  readonly #rowOut: Tensor;
  readonly #outputs: readonly Int32Array[]; // as of MeasuredRows
  readonly #rows: number;
  readonly #width: number;
  readonly #seen = new Set<number>();
  readonly #share: Float32Array<ArrayBuffer>; // [response tokens, layers, heads]
  readonly #peak: Float32Array<ArrayBuffer>;

  private constructor(
    readonly batch: PackedBatch,
    readonly maps: readonly RegionMap[],
    readonly sizes: { readonly layers: number; readonly heads: number; readonly row: MeasuredRow; readonly leastMass: number },
  ) {
    const { device } = batch, { layers, heads, row } = sizes, { region, rowOut, outputs, rows } = measuredRows(batch, maps, row);
    this.#width = maps.reduce((most, { regions }) => Math.max(most, regions), 0);
    this.#outputs = outputs;
    this.#rows = rows;
    this.#region = Tensor.from(device, region);
    this.#rowOut = Tensor.from(device, rowOut);
    this.#mass = Tensor.zeros(device, [rows * heads, 2]);
    this.#profile = Tensor.zeros(device, [rows * heads, this.#width]);
    this.#share = new Float32Array(batch.count * layers * heads);
    this.#peak = new Float32Array(batch.count * layers * heads);
  }

  /**
   * Prepares the measurement.
   *
   * @param options `visualSinks`: those of each group, from `promptSinks`.
   * @throws {RangeError} for row "self" or "both" with a batch that was not packed with `closing`, and for options out of range.
   */
  static create(
    model: VisionLanguageModel,
    batch: PackedBatch,
    options: HeadConnectivityOptions & { visualSinks?: readonly Int32Array[] } = {},
  ): HeadConnectivity {
    const { layers, heads } = model.config.text, { row = "predict", sinkRenorm = "pooled" } = options;
    const leastMass = sinkRenorm === "row" ? 0.01 : 0;
    return new HeadConnectivity(batch, measuredMaps(model, batch, options), { layers, heads, row, leastMass });
  }

  /** Measures a layer's attention; the model calls it. */
  observe(layer: number, seen: AttentionSeen): void {
    if (this.#seen.has(layer)) throw new RangeError(`Cannot measure the heads of layer ${layer}: it was measured; use another measurement`);
    this.#seen.add(layer);
    if (this.#rows === 0) return;
    this.#mass.fill(0);
    this.#profile.fill(0);
    measure(this.batch, seen, {
      mass: this.#mass,
      profile: this.#profile,
      region: this.#region,
      rowOut: this.#rowOut,
      regions: this.#width,
      rows: this.#rows,
      renorm: 2,
      skipped: NO_HEADS_SKIPPED,
    });
    const { layers, heads } = this.sizes, mass = this.#mass.toFloats(), profile = this.#profile.toFloats();
    for (const { group, offset, length } of this.batch.responses) {
      if (this.maps[group]!.regions === 0) continue;
      for (let t = offset; t < offset + length; t++) {
        for (let head = 0; head < heads; head++) {
          const rows = this.#outputs.map((output) => output[t]! * heads + head), to = (t * layers + layer) * heads + head;
          [this.#share[to], this.#peak[to]] = this.#shareOf(rows, mass, profile);
        }
      }
    }
  }

  /** The share on the picture, and the largest share on one region, of the mean over output rows of a head. */
  #shareOf(rows: readonly number[], mass: Float32Array, profile: Float32Array): [share: number, peak: number] {
    // 0: all attention is on sinks.
    const seen = rows.map((row) => ({ row, n: Math.max(mass[2 * row + 1]!, this.sizes.leastMass) })).filter(({ n }) => n !== 0);
    let most = 0;
    for (let r = 0; r < this.#width; r++) {
      let part = 0;
      for (const { row, n } of seen) part += profile[row * this.#width + r]! / n;
      most = Math.max(most, part);
    }
    return [seen.reduce((sum, { row, n }) => sum + mass[2 * row]! / n, 0) / rows.length, most / rows.length];
  }

  /**
   * The shares of each response, in the order of `batch.responses`.
   *
   * @throws {RangeError} before the forward has run.
   */
  results(): HeadShares[] {
    const { layers, heads } = this.sizes, width = layers * heads;
    if (this.#seen.size < layers) throw new RangeError(`Cannot give the shares of heads: ${this.#seen.size} of ${layers} layers have run`);
    return this.batch.responses.map(({ group, offset, length }) => {
      const own = (of: Float32Array<ArrayBuffer>) => of.slice(offset * width, (offset + length) * width);
      return { share: own(this.#share), peak: own(this.#peak), visual: this.maps[group]!.regions > 0 };
    });
  }

  /** Frees the sums. */
  [Symbol.dispose](): void {
    for (const tensor of [this.#mass, this.#profile, this.#region, this.#rowOut]) tensor[Symbol.dispose]();
  }
}
