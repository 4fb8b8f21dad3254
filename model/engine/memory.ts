import { plus } from "../../ffi/address.ts";
import type { DType } from "../../ffi/device.ts";
import { DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { familyOf } from "../families.ts";
import type { ModelParts } from "../family.ts";
import { adapterBytes } from "./adapter_products.ts";
import { blockSize } from "./block.ts";
import { CachePages } from "./cache_pages.ts";
import { Decode, decodeSizes } from "./decode.ts";
import { InferenceDecoder } from "./inference_decoder.ts";
import {
  bufferBytes,
  type EngineLimits,
  logitRows,
  MASKS,
  type Needs,
  packedBytes,
  PAGE_TOKENS,
  tokenBytes,
  workspaceBytes,
} from "./limits.ts";
import { Prefill, prefillSizes } from "./prefill.ts";
import { Projections } from "./projections.ts";

/** The most sequences where the caller sets none. A GPU reads the weights once for all of them; a CPU computes no faster with more. */
const MAX_SEQUENCES = { cpu: 256, cuda: 1024 };
/** Where the buffers for that many take more than this share of the memory, there are half as many, and so on down to the least. */
const BUFFER_SHARE = 1 / 4, LEAST_SEQUENCES = 16;

/** How an engine divides its memory: between buffers of a fixed size, the cache, and what a prompt needs while it is read. */
export class MemoryPlan {
  readonly #model: ModelParts;
  readonly #fixed: Partial<EngineLimits>;
  readonly #dtype: DType;
  /** Bytes that are held besides the cache and those of a prompt. */
  readonly fixedBytes: number;
  /** The part of `fixedBytes` that is for what the vision tower gives of further prompts of a step. */
  readonly embeddedBytes: number;
  readonly memoryBytes: number;
  readonly maxSequences: number;
  readonly prefillTokens: number;
  readonly pageTokens: number;
  readonly packed: boolean;

  /** @param fixed Limits that the caller sets. Default of `memoryBytes`: 0.9 of what the device has free now. */
  constructor(model: ModelParts, fixed: Partial<EngineLimits>) {
    for (const [name, value] of Object.entries(fixed)) {
      if (
        typeof value !== "boolean" && value !== undefined && !(Number.isSafeInteger(value) && value >= (name === "promptBytes" ? 0 : 1))
      ) {
        throw new RangeError(`Cannot make an engine: ${name} is ${value}, not a positive integer`);
      }
    }
    this.#model = model;
    this.#fixed = fixed;
    this.#dtype = model.dtype;
    this.memoryBytes = fixed.memoryBytes ?? Math.floor(0.9 * model.device.memory().free);
    this.prefillTokens = fixed.prefillTokens ?? 1024;
    this.pageTokens = fixed.pageTokens ?? PAGE_TOKENS;
    if (this.pageTokens < PAGE_TOKENS || !Number.isInteger(Math.log2(this.pageTokens))) {
      throw new RangeError(`Cannot make an engine: pageTokens is ${this.pageTokens}, not a power of two of ${PAGE_TOKENS} or more`);
    }
    const { config, device } = model;
    const embedded = this.embeddedBytes = familyOf(config).featureCount(config.vision) * this.prefillTokens * config.text.hiddenSize *
      DTYPE_BYTES[this.#dtype];
    let sequences = fixed.maxSequences ?? MAX_SEQUENCES[device.kind];
    const most = BUFFER_SHARE * this.memoryBytes;
    while (fixed.maxSequences === undefined && sequences > LEAST_SEQUENCES && this.#bufferBytes(sequences) > most) sequences /= 2;
    this.maxSequences = sequences;
    const plain = this.#bufferBytes(sequences) + embedded;
    const copy = device instanceof CpuDevice ? packedBytes(model) : 0;
    this.packed = copy > 0 && (fixed.packed ?? plain + copy <= this.memoryBytes / 2);
    this.fixedBytes = plain + (this.packed ? copy : 0);
  }

  /** Bytes of the static buffers, and of the scratch beside them. */
  #bufferBytes(sequences: number): number {
    const model = this.#model, sizes = this.#sizesFor(sequences);
    return bufferBytes(model.config, this.#dtype, sizes) + adapterBytes(model, sizes.rows) + workspaceBytes(model, { sequences });
  }

  /** Sizes of the static buffers. */
  get sizes() {
    return this.#sizesFor(this.maxSequences);
  }

  #sizesFor(sequences: number) {
    const { prefillTokens, memoryBytes } = this;
    const rows = Math.max(sequences, prefillTokens);
    const block = Math.max(blockSize(prefillSizes(prefillTokens, sequences)), blockSize(decodeSizes(sequences)));
    return { rows, sequences, logits: logitRows(this.#model, { sequences, memoryBytes }), block };
  }

  /** Bytes of a cached token. */
  get tokenBytes(): number {
    return tokenBytes(this.#model.config, this.#dtype);
  }

  /** The least `memoryBytes` with which a request can run alone. */
  bytesFor(needs: Needs): number {
    return this.fixedBytes + needs.promptBytes + (needs.prefix + needs.own) * this.tokenBytes;
  }

  /** Whether a request could run alone. */
  fits(needs: Needs): boolean {
    return this.bytesFor(needs) <= this.memoryBytes && needs.prefix + needs.own <= (this.#fixed.cacheTokens ?? Infinity);
  }

  /**
   * The limits for the requests that wait.
   *
   * @param wanted `promptBytes`: bytes for the largest prompt; `tokens`: cached tokens of all waiting requests. Where the caller does not set `cacheTokens`,
   * the cache has room for twice as many, for 4096 at least, and for no more than the memory holds.
   */
  limits({ promptBytes, tokens }: { promptBytes: number; tokens: number }): EngineLimits {
    const { memoryBytes, maxSequences, prefillTokens, pageTokens, packed } = this;
    const left = Math.floor((memoryBytes - this.fixedBytes - promptBytes) / this.tokenBytes);
    const cacheTokens = Math.max(0, Math.min(left, this.#fixed.cacheTokens ?? Math.max(4096, 2 * tokens), 2 ** 31 - 1));
    return { memoryBytes, cacheTokens, promptBytes, maxSequences, prefillTokens, pageTokens, packed };
  }
}

/** What an engine holds while it works: the packed weights, the decoder's buffers and its cache, and the allocators of their parts. */
export class EngineMemory implements Disposable {
  readonly projections: Projections;
  readonly decoder: InferenceDecoder;
  readonly prefill: Prefill;
  readonly decode: Decode;
  /** The places of the cache's tokens. */
  readonly cache: CachePages;
  readonly #slots: number[];
  readonly #masks: { key: string; users: number }[] = Array.from({ length: MASKS }, () => ({ key: "", users: 0 }));
  readonly #model: ModelParts;

  /** Allocates all of it. @param options `capture`: whether decode steps are recorded. @throws {KedgeError} `OutOfMemory`, and then holds nothing. */
  constructor(model: ModelParts, readonly limits: EngineLimits, { plan, capture }: { plan: MemoryPlan; capture: boolean }) {
    const { cacheTokens, maxSequences: sequences, prefillTokens, pageTokens, packed } = limits;
    this.#model = model;
    this.projections = new Projections(model, { packed, rows: plan.sizes.rows });
    this.decoder = new InferenceDecoder(model, { ...plan.sizes, cacheTokens, pageTokens, projections: this.projections });
    this.prefill = new Prefill(model, this.decoder, { rows: prefillTokens, sequences });
    this.cache = new CachePages({ tokens: cacheTokens, page: pageTokens });
    this.decode = new Decode(model, this.decoder, { sequences, cache: this.cache, capture });
    this.clearRegions(0, cacheTokens);
    this.#slots = Array.from({ length: sequences }, (_, i) => sequences - 1 - i);
  }

  /** Rows for prompts' final hidden states that are free. */
  get slotsLeft(): number {
    return this.#slots.length;
  }

  /** Allocates the row for a prompt's final hidden state. */
  allocateSlot(): number {
    return this.#slots.pop()!;
  }

  /** Releases such a row. */
  releaseSlot(slot: number): void {
    this.#slots.push(slot);
  }

  /** Allocates a mask of these tokens, shared with others of the same tokens. @returns Its slot, -1 for no tokens, undefined if every mask is in use. */
  allocateMask(suppress: readonly number[]): number | undefined {
    if (suppress.length === 0) return -1;
    const key = suppress.join();
    let slot = this.#masks.findIndex((mask) => mask.key === key);
    if (slot < 0) {
      slot = this.#masks.findIndex(({ users }) => users === 0);
      if (slot < 0) return undefined;
      const { device, config: { text: { vocabSize } } } = this.#model;
      const mask = new Uint8Array(vocabSize);
      for (const token of suppress) mask[token] = 1;
      device.write(plus(this.decoder.buffers.masks.address, slot * vocabSize), mask);
      this.#masks[slot] = { key, users: 0 };
    }
    this.#masks[slot]!.users++;
    return slot;
  }

  /** Releases a mask. */
  releaseMask(slot: number): void {
    if (slot >= 0) this.#masks[slot]!.users--;
  }

  /** Marks cached tokens as not visual. All are but those of a prompt whose connectivity is measured. */
  clearRegions(start: number, count: number): void {
    this.#model.device.ops.fill(DTYPES.i32, plus(this.decoder.region.address, 4 * start), count, -1);
  }

  /** Frees everything. */
  [Symbol.dispose](): void {
    this.decode[Symbol.dispose]();
    this.decoder[Symbol.dispose]();
    this.projections[Symbol.dispose]();
  }
}
