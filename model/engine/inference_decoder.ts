import { DTYPE_BYTES } from "../../ffi/device.ts";
import { type Address, plus } from "../../ffi/address.ts";
import { lookUp } from "../../tensor/ops/product.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { ModelParts } from "../family.ts";
import { familyOf } from "../families.ts";
import type { Block, BlockOperations } from "../transformer/block.ts";
import { buffers, type BufferSizes, pageEntries } from "./limits.ts";
import type { Projections } from "./projections.ts";

type Buffers = { readonly [Name in keyof ReturnType<typeof buffers>]: Tensor };

/** The inputs of a pass over the decoder. All of them are on the device. */
interface Pass {
  readonly rows: number;
  /** i32 [axes, rows]. */
  readonly positions: Address;
  /** 3, or 1 where all three are equal: tokens of a response. */
  readonly axes: 1 | 3;
  /** i32 [rows]: where each row's key and value go. */
  readonly cacheRows: Address;
  /** Attends from `qkv`'s queries into `mixed`, over a cache that holds the pass's own keys. */
  readonly attend: (layer: number) => void;
  /** Runs after each layer, when all but its last branch is in `residual`. */
  readonly after?: (layer: number) => void;
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
  /** Keys and values, by layer: [tokens, 2 * kvHeads * headDim], a token's keys before its values. */
  readonly cache: readonly Tensor[];
  /** i32 [cacheTokens]: each cached token's region, as kedge_connectivity takes it. */
  readonly region: Tensor;
  /** i32: the first row in the cache of each page, as kedge_decode_attention takes it. */
  readonly pages: Tensor;
  readonly #model: ModelParts;
  readonly #projections: Projections;
  readonly #logitRows: number;
  readonly #block: Block;

  /** Allocates. @throws {KedgeError} `OutOfMemory`, and then holds nothing. */
  constructor(model: ModelParts, options: BufferSizes & { cacheTokens: number; pageTokens: number; projections: Projections }) {
    const { device, config, dtype } = model;
    const { layers, kvHeads, headDim } = config.text;
    const { cacheTokens, logits, projections } = options;
    const family = familyOf(config);
    this.#model = model;
    this.#block = family.block;
    this.#projections = projections;
    this.#logitRows = logits;
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
      this.pages = make([pageEntries(options)], "i32");
      const { axis, invFreq } = family.rope(config.text);
      this.buffers.frequencies.write(Float32Array.from(invFreq));
      this.buffers.axis.write(Int32Array.from([...axis, ...axis.map(() => 0)]));
    } catch (error) {
      for (const tensor of made) tensor[Symbol.dispose]();
      throw error;
    }
  }

  /** Embeds tokens into `residual`. @param tokens i32 [rows], on the device. */
  embed(tokens: Address, rows: number): void {
    lookUp(this.#model.device, this.#model.parameters.embedding!.tensor, {
      into: this.buffers.residual.address,
      index: tokens,
      count: rows,
    });
  }

  /** Runs all layers over `residual`. */
  run(pass: Pass): void {
    const { device: { ops }, config: { text: { layers, headDim } } } = this.#model;
    const { cos, sin, frequencies, axis } = this.buffers;
    const half = headDim / 2, axisOf = plus(axis.address, pass.axes === 3 ? 0 : 4 * half);
    ops.ropeTable(cos.address, sin.address, pass.positions, axisOf, frequencies.address, pass.axes, pass.rows, half);
    const operations = new EngineOperations(this, { model: this.#model, projections: this.#projections, pass });
    for (let layer = 0; layer < layers; layer++) {
      operations.layer = layer;
      this.#block(operations);
      pass.after?.(layer);
    }
    operations.finish(pass.out);
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
      const x = plus(picked.address, start * hiddenSize * size);
      this.#projections.multiply(head, { x, y: logits.address, rows: end - start, wide: true });
      use(start, end);
    }
  }

  /** Frees everything. */
  [Symbol.dispose](): void {
    for (const tensor of [...Object.values(this.buffers), ...this.cache, this.region, this.pages]) tensor[Symbol.dispose]();
  }
}

/** The operations of a block over the static buffers. Each result has its own buffer, and is named by its address. */
class EngineOperations implements BlockOperations<Address, Address> {
  /** The block that runs. */
  layer = 0;
  readonly #decoder: InferenceDecoder;
  readonly #model: ModelParts;
  readonly #projections: Projections;
  readonly #pass: Pass;
  /** A branch that the next norm adds to the residual stream; 0 if there is none. */
  #branch: Address = 0;

  constructor(decoder: InferenceDecoder, parts: { model: ModelParts; projections: Projections; pass: Pass }) {
    this.#decoder = decoder;
    this.#model = parts.model;
    this.#projections = parts.projections;
    this.#pass = parts.pass;
  }

  norm(weight: string): Address {
    return this.#norm(this.#decoder.buffers.normed.address, `layers.${this.layer}.${weight}`);
  }

  /** The bias of queries, keys and values is left to {@linkcode rotate}, which adds it in the same pass. */
  linear(x: Address, weight: "qkv" | "out" | "gateUp" | "down"): Address {
    const { buffers } = this.#decoder, { rows } = this.#pass;
    const { address: y, cols, dtypeCode } = weight === "qkv" || weight === "gateUp" ? buffers[weight] : buffers.branch;
    const name = `layers.${this.layer}.${weight}`;
    this.#projections.multiply(`${name}.weight`, { x, y, rows });
    const bias = weight === "qkv" ? 0 : this.#bias(weight);
    if (bias) this.#model.device.ops.biasAdd(dtypeCode, y, cols, y, cols, bias, rows, cols);
    return y;
  }

  /** The address of a layer's bias; 0 if it has none. */
  #bias(weight: "qkv" | "out" | "gateUp" | "down"): Address {
    return this.#model.parameters[`layers.${this.layer}.${weight}.bias`]?.tensor.address ?? 0;
  }

  /** Adds the bias, rotates queries and keys, and writes keys and values into the cache. */
  rotate(qkv: Address): Address {
    return this.#cacheRotated(qkv, this.#bias("qkv"));
  }

  #cacheRotated(qkv: Address, bias: Address): Address {
    const { device: { ops }, config: { text: { heads, kvHeads, headDim } } } = this.#model;
    const { buffers: { qkv: { cols, dtypeCode }, cos, sin }, cache } = this.#decoder, { rows, cacheRows } = this.#pass;
    const { address, rows: cached, cols: width } = cache[this.layer]!;
    // deno-fmt-ignore
    ops.ropeCache(dtypeCode, qkv, cols, bias, address, width, cacheRows, cos.address, sin.address, rows, heads, kvHeads, headDim, cached);
    return qkv;
  }

  normAndRotate(qkv: Address): Address {
    const { device: { ops }, config: { text: { heads, kvHeads, headDim, rmsNormEps: eps } }, parameters } = this.#model;
    const { cols, dtype, dtypeCode } = this.#decoder.buffers.qkv, { rows } = this.#pass, bias = this.#bias("qkv");
    if (bias) ops.biasAdd(dtypeCode, qkv, cols, qkv, cols, bias, rows, cols);
    const norm = (first: number, count: number, name: string) => {
      const at = plus(qkv, first * headDim * DTYPE_BYTES[dtype]), weight = parameters[`layers.${this.layer}.${name}`]!.tensor.address;
      ops.headRmsnormFwd(dtypeCode, at, cols, 0, at, cols, weight, rows, count, headDim, eps);
    };
    norm(0, heads, "queryNorm");
    norm(heads, kvHeads, "keyNorm");
    return this.#cacheRotated(qkv, 0);
  }

  attend(_qkv: Address): Address {
    this.#pass.attend(this.layer);
    return this.#decoder.buffers.mixed.address;
  }

  gate(gateUp: Address): Address {
    const { gateUp: { cols }, gated } = this.#decoder.buffers, { rows } = this.#pass, half = gated.cols;
    const up = plus(gateUp, half * DTYPE_BYTES[gated.dtype]);
    this.#model.device.ops.swigluFwd(gated.dtypeCode, gated.address, half, gateUp, cols, up, cols, rows, half);
    return gated.address;
  }

  add(branch: Address): void {
    if (this.#branch) throw new RangeError("Cannot add to the residual stream: what was added before has not been normed yet");
    this.#branch = branch;
  }

  /** Writes the final norm of the residual stream. */
  finish(out: Address): void {
    this.#norm(out, "norm");
  }

  /** Adds the branch to the residual stream, in place, and writes the norm of the sum. */
  #norm(y: Address, weight: string): Address {
    const { device, config: { text: { hiddenSize, rmsNormEps } }, parameters } = this.#model;
    const { residual: { address: h, dtypeCode }, rstd } = this.#decoder.buffers, branch = this.#branch;
    const [sum, x, other] = branch ? [h, branch, h] as const : [0, h, 0] as const;
    const scale = parameters[weight]!.tensor.address;
    device.ops.rmsnormFwd(dtypeCode, y, sum, rstd.address, x, other, scale, this.#pass.rows, hiddenSize, rmsNormEps);
    this.#branch = 0;
    return y;
  }
}
