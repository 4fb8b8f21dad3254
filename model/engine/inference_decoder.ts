import { DTYPE_BYTES } from "../../ffi/device.ts";
import type { Address } from "../../ffi/generated/bindings.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { ModelParts } from "../qwen2_5_vl/vision_tower.ts";
import { textRope } from "../qwen2_5_vl/positions.ts";
import { buffers, type BufferSizes, logitRows } from "./limits.ts";
import type { Projections } from "./projections.ts";

type Buffers = { readonly [Name in keyof ReturnType<typeof buffers>]: Tensor };

/** Keys and values of a layer: [tokens, 2 * kvHeads * headDim], a token's keys before its values. */
export type LayerCache = Tensor;

/** What a pass over the decoder reads. Everything lies on the device. */
export interface Pass {
  readonly rows: number;
  /** i32 [axes, rows]. */
  readonly positions: Address;
  /** 3, or 1 where all three are equal: tokens of a response. */
  readonly axes: 1 | 3;
  /** i32 [rows]: where each row's key and value go. */
  readonly cacheRows: Address;
  /** Attends from `qkv`'s queries into `mixed`, over a cache that holds the pass's own keys. */
  readonly attend: (layer: number) => void;
  /** Final hidden states, normed: [rows, hidden]. */
  readonly out: Address;
}

/**
 * The decoder without a tape: static buffers, raw kernels. It serves prefill and decode, which differ in what `attend` does. Everything that it
 * touches keeps its address from the first pass to the last.
 */
export class InferenceDecoder implements Disposable {
  /** The static buffers. */
  readonly buffers: Buffers;
  /** Keys and values, by layer. */
  readonly cache: readonly LayerCache[];
  /** i32 [cacheTokens]: each cached token's region, as kedge_connectivity takes it. */
  readonly region: Tensor;
  readonly #model: ModelParts;
  readonly #projections: Projections;
  readonly #logitRows: number;

  /** Allocates. @throws {KedgeError} `OutOfMemory`, and then holds nothing. */
  constructor(model: ModelParts, options: BufferSizes & { cacheTokens: number; projections: Projections }) {
    const { device, config } = model;
    const { layers, kvHeads, headDim, vocabSize } = config.text;
    const { cacheTokens, sequences, projections } = options;
    this.#model = model;
    this.#projections = projections;
    this.#logitRows = logitRows(vocabSize, sequences);
    const { dtype } = model.parameters.embedding!.tensor;
    const made: Tensor[] = [];
    const make = (shape: readonly number[], type = dtype) => {
      const tensor = Tensor.empty(device, shape, { dtype: type });
      made.push(tensor);
      return tensor;
    };
    try {
      const specs = Object.entries(buffers(config, dtype, options));
      this.buffers = Object.fromEntries(specs.map(([name, { shape, dtype }]) => [name, make(shape, dtype)])) as Buffers;
      this.cache = Array.from({ length: layers }, () => make([cacheTokens, 2 * kvHeads * headDim]));
      this.region = make([cacheTokens], "i32");
      const { axis, invFreq } = textRope(config.text);
      this.buffers.frequencies.write(Float32Array.from(invFreq));
      this.buffers.axis.write(Int32Array.from([...axis, ...axis.map(() => 0)]));
    } catch (error) {
      for (const tensor of made) tensor[Symbol.dispose]();
      throw error;
    }
  }

  /** Embeds tokens into `residual`. @param tokens i32 [rows], on the device. */
  embed(tokens: Address, rows: number): void {
    const { tensor } = this.#model.parameters.embedding!;
    const { hiddenSize, vocabSize } = this.#model.config.text;
    const { residual } = this.buffers;
    this.#model.device.ops.gatherRows(
      residual.dtypeCode,
      residual.address,
      hiddenSize,
      tensor.address,
      hiddenSize,
      tokens,
      rows,
      vocabSize,
      hiddenSize,
      0,
    );
  }

  /** Runs all layers over `residual`. */
  run({ rows, positions, axes, cacheRows, attend, out }: Pass): void {
    const { device: { ops }, config: { text } } = this.#model;
    const { hiddenSize, intermediateSize, layers, heads, kvHeads, headDim, rmsNormEps: eps } = text;
    const { residual, normed, branch, qkv, mixed, gateUp, gated, rstd, cos, sin, frequencies, axis } = this.buffers;
    const type = residual.dtypeCode, size = DTYPE_BYTES[residual.dtype], half = headDim / 2;
    const width = (heads + 2 * kvHeads) * headDim, keys = 2 * kvHeads * headDim;
    const weight = (name: string) => this.#model.parameters[name]!.tensor.address;
    const norm = (y: Address, name: string, from: Address) =>
      ops.rmsnormFwd(
        type,
        y,
        from && residual.address,
        rstd.address,
        from || residual.address,
        from && residual.address,
        weight(name),
        rows,
        hiddenSize,
        eps,
      );
    const axisOf = axis.address + (axes === 3 ? 0 : 4 * half);
    ops.ropeTable(cos.address, sin.address, positions, axisOf, frequencies.address, axes, rows, half);
    for (let i = 0; i < layers; i++) {
      const at = `layers.${i}.`;
      norm(normed.address, `${at}norm1`, i === 0 ? 0 : branch.address);
      this.#projections.multiply(`${at}qkv.weight`, { x: normed.address, y: qkv.address, rows });
      ops.biasAdd(type, qkv.address, width, qkv.address, width, weight(`${at}qkv.bias`), rows, width);
      ops.rope(type, qkv.address, width, qkv.address, width, cos.address, sin.address, rows, heads + kvHeads, headDim, 0, 0);
      const cache = this.cache[i]!;
      ops.scatterRows(type, cache.address, keys, qkv.address + heads * headDim * size, width, cacheRows, rows, cache.rows, keys);
      attend(i);
      this.#projections.multiply(`${at}out.weight`, { x: mixed.address, y: branch.address, rows });
      norm(normed.address, `${at}norm2`, branch.address);
      this.#projections.multiply(`${at}gateUp.weight`, { x: normed.address, y: gateUp.address, rows });
      const up = gateUp.address + intermediateSize * size;
      ops.swigluFwd(
        type,
        gated.address,
        intermediateSize,
        gateUp.address,
        2 * intermediateSize,
        up,
        2 * intermediateSize,
        rows,
        intermediateSize,
      );
      this.#projections.multiply(`${at}down.weight`, { x: gated.address, y: branch.address, rows });
    }
    norm(out, "norm", branch.address);
  }

  /**
   * Logits of final hidden states, a chunk of rows at a time.
   *
   * @param rows i32 [count] on the device: rows of `final`.
   * @param use Called with each chunk's rows [start, end), whose logits lie in `logits`.
   */
  project(rows: Address, count: number, use: (start: number, end: number) => void): void {
    const { hiddenSize } = this.#model.config.text;
    const { final, picked, logits } = this.buffers;
    const size = DTYPE_BYTES[final.dtype];
    const { ops } = this.#model.device;
    ops.gatherRows(final.dtypeCode, picked.address, hiddenSize, final.address, hiddenSize, rows, count, final.rows, hiddenSize, 0);
    const head = this.#model.config.text.tied ? "embedding" : "head";
    for (let start = 0; start < count; start += this.#logitRows) {
      const end = Math.min(count, start + this.#logitRows);
      const x = picked.address + start * hiddenSize * size;
      this.#projections.multiply(head, { x, y: logits.address, rows: end - start, wide: true });
      use(start, end);
    }
  }

  /** Frees everything. */
  [Symbol.dispose](): void {
    for (const tensor of [...Object.values(this.buffers), ...this.cache, this.region]) tensor[Symbol.dispose]();
  }
}
