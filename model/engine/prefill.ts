import { type Address, plus } from "../../ffi/address.ts";
import { DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import type { AttentionShape } from "../../ffi/generated/bindings.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { NO_HEADS_SKIPPED, regionMap, type SkippedHeads, skippedHeads, visualSinks } from "../regions.ts";
import { familyOf } from "../families.ts";
import type { ModelParts } from "../family.ts";
import { Block } from "./block.ts";
import type { InferenceDecoder } from "./inference_decoder.ts";
import { ATTENTION_SCRATCH, KEPT, MAX_REGIONS, sinkRowBytes } from "./limits.ts";
import type { Prefix } from "./sequence.ts";

/** Rows [start, end) of a prompt that a pass reads. */
export interface Piece {
  readonly prefix: Prefix;
  readonly start: number;
  readonly end: number;
}

/** A piece with its rows in the pass. */
interface PassPiece extends Piece {
  /** Its first row in the pass. */
  readonly at: number;
  /** Index among the kept rows, if the piece ends its prompt and connectivity is measured. */
  readonly kept: number | undefined;
  /** Entries [first, end) of the table `sinkSegments`. */
  readonly sinks: readonly [first: number, end: number];
}

/** Sizes of the block of a prefill pass. */
export function prefillSizes(rows: number, sequences: number) {
  return {
    tokens: rows,
    positions: 3 * rows,
    cacheRows: rows,
    /** The index of each row in the final hidden states, or -1. */
    last: rows,
    /** The row that each visual embedding replaces. */
    visual: rows,
    /** The index of each row among the kept ones, or -1. */
    kept: rows,
    iota: rows,
    segments: 8 * sequences,
    keptSegments: 8 * KEPT,
    sinkSegments: 8 * rows,
  };
}

/** Reads prompts into the cache, several packed in a pass, a long one in several passes. */
export class Prefill {
  readonly #model: ModelParts;
  readonly #decoder: InferenceDecoder;
  readonly #block: Block<keyof ReturnType<typeof prefillSizes>>;
  readonly #sequences: number;

  /** @param limits `rows`: most rows of a pass. */
  constructor(model: ModelParts, decoder: InferenceDecoder, { rows, sequences }: { rows: number; sequences: number }) {
    this.#model = model;
    this.#decoder = decoder;
    this.#sequences = sequences;
    this.#block = new Block(decoder.buffers.block.address, prefillSizes(rows, sequences));
    for (let i = 0; i < rows; i++) this.#block.ints.iota[i] = i;
  }

  /** Runs the vision tower over a prompt's visuals. */
  encode(prefix: Prefix): void {
    const { visuals } = prefix.plan.prompt;
    if (visuals.length === 0) return;
    const { device } = this.#model;
    using tape = new Tape(device, { record: false });
    const values = familyOf(this.#model.config).encodeVisuals(tape, this.#model, visuals);
    prefix.features = values.map(({ tensor }) => tensor.view());
  }

  /**
   * Prepares the measurement of connectivity: writes the regions of the cached tokens. To find visual sinks, each visual token is a region at first; a prompt
   * that is read again has its sinks already.
   */
  prepare(prefix: Prefix): void {
    const { job, plan: { visualRows }, length, slots: { start } } = prefix;
    const regions = job.regions ?? prefix.plan.regions, sinkRows = job.regions ? 0 : prefix.plan.sinkRows;
    if (!regions) return;
    const { device } = this.#model;
    prefix.regions = regions;
    if (regions.regions === 0) prefix.lastRow = { numbers: new Float32Array(2), mass: 0, profile: 2, regions: 0 };
    let { region } = regions;
    if (sinkRows > 0) {
      const tensor = Tensor.zeros(device, [sinkRows * (2 + visualRows.length)]);
      prefix.sinks = { tensor, first: length - sinkRows, rows: sinkRows };
      region = new Int32Array(length).fill(-1);
      for (const [i, row] of visualRows.entries()) region[row] = i;
    }
    device.write(plus(this.#decoder.region.address, 4 * start), region);
  }

  /** Reads pieces of prompts into the cache, in one pass. */
  run(read: readonly Piece[]): void {
    const { pieces, rows } = this.#fill(read);
    const { device } = this.#model;
    const decoder = this.#decoder;
    this.#block.write(device);
    decoder.embed(this.#block.at.tokens, rows);
    for (const piece of pieces) this.#placeVisuals(piece);
    const { normed, final } = decoder.buffers;
    const { positions, cacheRows, last } = this.#block.at;
    const observed = this.#observed(pieces);
    decoder.run({
      rows,
      positions,
      axes: 3,
      cacheRows,
      out: normed.address,
      attend: (layer) => {
        this.#attend(layer, { pieces, rows });
        observed(layer, rows);
      },
      after: (layer) => {
        for (const piece of pieces) this.#addFeatures(layer, piece);
      },
    });
    const { cols } = final;
    device.ops.scatterRows(final.dtypeCode, final.address, cols, normed.address, cols, last, rows, final.rows, cols);
    for (const { prefix, end } of pieces) {
      prefix.done = end;
      if (end > (prefix.plan.visualRows.at(-1) ?? -1)) prefix.releaseFeatures();
    }
    this.#measureLastRows(pieces);
  }

  /** Fills the block that goes to the device. */
  #fill(read: readonly Piece[]): { pieces: PassPiece[]; rows: number } {
    const { ints } = this.#block;
    const rows = read.reduce((sum, { start, end }) => sum + end - start, 0);
    const pieces: PassPiece[] = [];
    let at = 0, kept = 0, sinks = 0;
    for (const [i, piece] of read.entries()) {
      const { prefix, start, end } = piece;
      const { prompt, positions: { axes }, visualRows } = prefix.plan;
      const cached = prefix.slots.start, length = end - start;
      ints.tokens.set(prompt.tokens.subarray(start, end), at);
      for (const [axis, positions] of axes.entries()) ints.positions.set(positions.subarray(start, end), axis * rows + at);
      for (let r = 0; r < length; r++) ints.cacheRows[at + r] = cached + start + r;
      ints.last.fill(-1, at, at + length);
      ints.kept.fill(-1, at, at + length);
      ints.segments.set([at, length, cached, end, -1, 0, 0, 0], 8 * i);
      let next = at;
      for (const row of visualRows) if (row >= start && row < end) ints.visual[next++] = at + row - start;
      let mine: number | undefined;
      if (end === prefix.length) {
        ints.last[at + length - 1] = this.#sequences + prefix.slots.slot;
        if (prefix.lastRow === undefined && prefix.regions) {
          mine = kept++;
          ints.kept[at + length - 1] = mine;
          ints.keptSegments.set([0, 1, cached, end, -1, 0, 0, 0], 8 * mine);
        }
      }
      const firstSinks = sinks;
      if (prefix.sinks) {
        for (let from = Math.max(start, prefix.sinks.first); from < end; from += this.#sinkRows(prefix)) {
          const to = Math.min(end, from + this.#sinkRows(prefix));
          ints.sinkSegments.set([0, to - from, cached, to, -1, 0, 0, 0], 8 * sinks++);
        }
      }
      pieces.push({ ...piece, at, kept: mine, sinks: [firstSinks, sinks] });
      at += length;
    }
    return { pieces, rows };
  }

  /** Replaces the placeholders of a piece by the visual embeddings. */
  #placeVisuals(piece: PassPiece): void {
    const source = this.#rowsOf(piece, 0);
    if (!source) return;
    const { ops } = this.#model.device, { residual } = this.#decoder.buffers, { address, cols, dtypeCode, rows } = residual;
    ops.scatterRows(dtypeCode, address, cols, source.address, cols, source.index, source.count, rows, cols);
  }

  /** Adds to the hidden states of a piece's visual tokens what the tower gave for after this layer. */
  #addFeatures(layer: number, piece: PassPiece): void {
    const source = this.#rowsOf(piece, layer + 1);
    if (!source) return;
    const { ops } = this.#model.device, { residual } = this.#decoder.buffers, { address, cols, dtypeCode, rows } = residual;
    ops.scatterAddRows(dtypeCode, address, dtypeCode, cols, source.address, cols, source.index, source.count, rows, cols);
  }

  /** The rows of the i-th feature that a piece reads, and the places of the block that say where they go; undefined if it reads none. */
  #rowsOf({ prefix, start, end, at }: PassPiece, i: number): { address: Address; index: Address; count: number } | undefined {
    const { features, plan: { visualRows } } = prefix, feature = features[i];
    const first = lowerBound(visualRows, start), count = lowerBound(visualRows, end) - first;
    if (!feature || count === 0) return undefined;
    const address = plus(feature.address, first * feature.cols * DTYPE_BYTES[feature.dtype]);
    return { address, index: plus(this.#block.at.visual, 4 * at), count };
  }

  #attend(layer: number, { pieces, rows }: { pieces: readonly PassPiece[]; rows: number }): void {
    const { kvHeads, headDim } = this.#model.config.text;
    const { qkv, mixed, lse } = this.#decoder.buffers;
    const cache = this.#decoder.cache[layer]!;
    const shape = this.#shape(layer, {
      qStride: qkv.cols,
      segments: pieces.length,
      maxQ: pieces.reduce((most, { start, end }) => Math.max(most, end - start), 0),
      maxKv: pieces.reduce((most, { end }) => Math.max(most, end), 0),
      rows,
    });
    const values = plus(cache.address, kvHeads * headDim * DTYPE_BYTES[cache.dtype]);
    const { segments } = this.#block.at;
    this.#model.device.ops.attentionFwd(qkv.dtypeCode, shape, mixed.address, lse.address, qkv.address, cache.address, values, segments);
  }

  /** The shape of a call over a layer's cache. */
  #shape(layer: number, call: { qStride: number; segments: number; maxQ: number; maxKv: number; rows: number }): AttentionShape {
    const { heads, kvHeads, headDim } = this.#model.config.text;
    const { cols, rows: kvTokens } = this.#decoder.cache[layer]!;
    return {
      qStride: call.qStride,
      kStride: cols,
      vStride: cols,
      outStride: this.#decoder.buffers.mixed.cols,
      nSegments: call.segments,
      maxQ: call.maxQ,
      maxKv: call.maxKv,
      qTokens: call.rows,
      kvTokens,
      heads,
      kvHeads,
      headDim,
      scale: 1 / Math.sqrt(headDim),
      causal: 1,
    };
  }

  /** Runs after each layer's attention: copies the queries of the kept rows, and adds to the sums for visual sinks. */
  #observed(pieces: readonly PassPiece[]): (layer: number, rows: number) => void {
    const keeping = pieces.some(({ kept }) => kept !== undefined), sinking = pieces.filter(({ sinks: [first, end] }) => end > first);
    const { heads, headDim } = this.#model.config.text;
    const { qkv, lse, keptQ, keptLse } = this.#decoder.buffers;
    const { ops } = this.#model.device;
    const width = heads * headDim, size = DTYPE_BYTES[keptQ.dtype];
    return (layer, rows) => {
      if (keeping) {
        const { kept } = this.#block.at, first = layer * KEPT;
        const queries = plus(keptQ.address, first * width * size), sums = plus(keptLse.address, 4 * first * heads);
        ops.scatterRows(keptQ.dtypeCode, queries, width, qkv.address, qkv.cols, kept, rows, KEPT, width);
        ops.scatterRows(DTYPES.f32, sums, heads, lse.address, heads, kept, rows, KEPT, heads);
      }
      for (const piece of sinking) this.#addSinks(layer, piece);
    };
  }

  /** Adds a layer's attention of a piece's rows on each visual token. */
  #addSinks(layer: number, { prefix, start, end, at, sinks: [firstSegment] }: PassPiece): void {
    const { heads } = this.#model.config.text;
    const { qkv, lse } = this.#decoder.buffers;
    const size = DTYPE_BYTES[qkv.dtype], { tensor, first, rows } = prefix.sinks!;
    const visual = prefix.plan.visualRows.length;
    let segment = firstSegment;
    for (let from = Math.max(start, first); from < end; from += this.#sinkRows(prefix)) {
      const to = Math.min(end, from + this.#sinkRows(prefix));
      const row = at + from - start, out = from - first;
      this.#connectivity(layer, {
        mass: plus(tensor.address, 4 * 2 * out),
        profile: plus(tensor.address, 4 * (2 * rows + out * visual)),
        q: plus(qkv.address, row * qkv.cols * size),
        qStride: qkv.cols,
        lse: plus(lse.address, 4 * row * heads),
        regions: visual,
        rows: to - from,
        segments: plus(this.#block.at.sinkSegments, 4 * 8 * segment++),
        keys: to,
        renorm: "pooled",
        skipped: NO_HEADS_SKIPPED,
      });
    }
  }

  /** The maximum number of rows of a connectivity call in which each visual token is a region. */
  #sinkRows(prefix: Prefix): number {
    if (this.#model.device.kind === "cpu") return Infinity;
    return Math.max(1, Math.floor(ATTENTION_SCRATCH / sinkRowBytes(prefix.plan.visualRows.length)));
  }

  #connectivity(
    layer: number,
    call: {
      mass: Address;
      profile: Address;
      q: Address;
      qStride: number;
      lse: Address;
      regions: number;
      rows: number;
      segments: Address;
      keys: number;
      renorm: "pooled" | "row";
      skipped: SkippedHeads;
    },
  ): void {
    const { region } = this.#decoder, cache = this.#decoder.cache[layer]!;
    this.#model.device.ops.connectivity(
      cache.dtypeCode,
      this.#shape(layer, { qStride: call.qStride, segments: 1, maxQ: call.rows, maxKv: call.keys, rows: call.rows }),
      call.mass,
      call.regions > 0 ? call.profile : 0,
      call.q,
      cache.address,
      call.lse,
      region.address,
      this.#block.at.iota,
      call.regions,
      call.rows,
      call.segments,
      call.renorm === "row" ? 1 : 0,
      ...call.skipped,
    );
  }

  /** Finds the visual sinks of the prompts that are complete, and measures the attention of their last rows. */
  #measureLastRows(pieces: readonly PassPiece[]): void {
    const complete = pieces.filter(({ kept }) => kept !== undefined);
    if (complete.length === 0) return;
    const { device, config: { text } } = this.#model, { heads, headDim } = text;
    const { keptQ, keptLse, keptMass } = this.#decoder.buffers;
    for (const { prefix } of complete) this.#settleSinks(prefix);
    keptMass.fill(0);
    const size = DTYPE_BYTES[keptQ.dtype];
    for (const { prefix, kept } of complete) {
      const options = prefix.plan.connectivity!;
      for (const [layer, skipped] of skippedHeads(options, text).entries()) {
        if (skipped === undefined) continue;
        const row = layer * KEPT + kept!;
        this.#connectivity(layer, {
          mass: plus(keptMass.address, 4 * 2 * kept!),
          profile: plus(keptMass.address, 4 * (2 * KEPT + kept! * MAX_REGIONS)),
          q: plus(keptQ.address, row * heads * headDim * size),
          qStride: heads * headDim,
          lse: plus(keptLse.address, 4 * row * heads),
          regions: prefix.regions!.regions,
          rows: 1,
          segments: plus(this.#block.at.keptSegments, 4 * 8 * kept!),
          keys: prefix.length,
          renorm: options.sinkRenorm ?? "pooled",
          skipped,
        });
      }
    }
    const numbers = new Float32Array(keptMass.size);
    device.read(numbers, keptMass.address);
    for (const { prefix, kept } of complete) {
      prefix.lastRow = { numbers, mass: 2 * kept!, profile: 2 * KEPT + kept! * MAX_REGIONS, regions: prefix.regions!.regions };
    }
  }

  /** Finds the visual sinks of a prompt, and writes its regions with them. */
  #settleSinks(prefix: Prefix): void {
    const { sinks, plan: { prompt, visualRows, connectivity } } = prefix;
    if (!sinks) return;
    const { config, config: { text: { layers, heads } }, device } = this.#model;
    const [rows, tokens] = [sinks.rows, visualRows.length];
    const attention = Float64Array.from(sinks.tensor.toFloats().subarray(2 * rows), (sum) => sum / (layers * heads));
    const sinkTokens = visualSinks({ attention, rows, tokens, factor: connectivity!.visualSinkFactor! });
    prefix.regions = regionMap(prompt, config, { ...connectivity, visualSinks: sinkTokens });
    device.write(plus(this.#decoder.region.address, 4 * prefix.slots.start), prefix.regions.region);
    sinks.tensor[Symbol.dispose]();
    prefix.sinks = undefined;
  }
}

/** The first index whose value is not below `bound`, of an ascending array. */
function lowerBound(ascending: Int32Array, bound: number): number {
  let low = 0, high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
