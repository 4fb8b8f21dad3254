import { plus } from "../../ffi/address.ts";
import type { DType } from "../../ffi/device.ts";
import { DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import type { ModelParts } from "../family.ts";
import { blockSize } from "./block.ts";
import { Decode, decodeSizes } from "./decode.ts";
import { InferenceDecoder } from "./inference_decoder.ts";
import { bufferBytes, type EngineLimits, MASKS, type Needs, packedBytes, tokenBytes, workspaceBytes } from "./limits.ts";
import { Prefill, prefillSizes } from "./prefill.ts";
import { Projections } from "./projections.ts";
import { Ranges } from "./ranges.ts";

/** What a caller fixes of the limits. */
type GivenLimits = Partial<EngineLimits>;

/** How an engine divides its memory. */
export class Division {
  readonly #model: ModelParts;
  readonly #given: GivenLimits;
  readonly #dtype: DType;
  /** What is held besides the cache and a prompt's bytes. */
  readonly fixedBytes: number;
  /** Of that, for visual embeddings of further prompts of a step. */
  readonly embeddedBytes: number;
  readonly memoryBytes: number;
  readonly maxSequences: number;
  readonly prefillTokens: number;
  readonly packed: boolean;

  /** @param given `memoryBytes`: default 0.9 of what the device has free now. */
  constructor(model: ModelParts, given: GivenLimits) {
    for (const [name, value] of Object.entries(given)) {
      if (
        typeof value !== "boolean" && value !== undefined && !(Number.isSafeInteger(value) && value >= (name === "promptBytes" ? 0 : 1))
      ) {
        throw new RangeError(`Cannot make an engine: ${name} is ${value}, not a positive integer`);
      }
    }
    this.#model = model;
    this.#given = given;
    this.#dtype = model.parameters.embedding!.tensor.dtype;
    this.memoryBytes = given.memoryBytes ?? Math.floor(0.9 * model.device.memory().free);
    this.maxSequences = given.maxSequences ?? 256;
    this.prefillTokens = given.prefillTokens ?? 1024;
    const { config, device } = model;
    const embedded = this.embeddedBytes = this.prefillTokens * config.text.hiddenSize * DTYPE_BYTES[this.#dtype];
    const plain = bufferBytes(config, this.#dtype, this.sizes) + workspaceBytes(model, { sequences: this.maxSequences }) +
      embedded;
    const copy = device instanceof CpuDevice ? packedBytes(model) : 0;
    this.packed = copy > 0 && (given.packed ?? plain + copy <= this.memoryBytes / 2);
    this.fixedBytes = plain + (this.packed ? copy : 0);
  }

  /** Sizes of the static buffers. */
  get sizes() {
    const { maxSequences: sequences, prefillTokens } = this;
    const rows = Math.max(sequences, prefillTokens);
    const block = Math.max(blockSize(prefillSizes(prefillTokens, sequences)), blockSize(decodeSizes(sequences)));
    return { rows, sequences, block };
  }

  /** Bytes of a cached token. */
  get tokenBytes(): number {
    return tokenBytes(this.#model.config, this.#dtype);
  }

  /** What the engine must be allowed for a request to run alone. */
  bytesFor(needs: Needs): number {
    return this.fixedBytes + needs.promptBytes + (needs.prefix + needs.own) * this.tokenBytes;
  }

  /** Whether a request could run alone. */
  fits(needs: Needs): boolean {
    return this.bytesFor(needs) <= this.memoryBytes && needs.prefix + needs.own <= (this.#given.cacheTokens ?? Infinity);
  }

  /**
   * The limits for what waits.
   *
   * @param wanted `promptBytes`: set aside for a prompt; `tokens`: that all which waits would take of the cache. Without a given `cacheTokens` the cache has
   * twice as much, and 4096 tokens at least, as far as memory goes.
   */
  limits({ promptBytes, tokens }: { promptBytes: number; tokens: number }): EngineLimits {
    const { memoryBytes, maxSequences, prefillTokens, packed } = this;
    const left = Math.floor((memoryBytes - this.fixedBytes - promptBytes) / this.tokenBytes);
    const cacheTokens = Math.max(0, Math.min(left, this.#given.cacheTokens ?? Math.max(4096, 2 * tokens), 2 ** 31 - 1));
    return { memoryBytes, cacheTokens, promptBytes, maxSequences, prefillTokens, packed };
  }
}

/** What an engine holds while it works: the packed weights, the decoder's buffers with the cache, and who has which part of it. */
export class Workplace implements Disposable {
  readonly projections: Projections;
  readonly decoder: InferenceDecoder;
  readonly prefill: Prefill;
  readonly decode: Decode;
  /** Of the cache's tokens. */
  readonly ranges: Ranges;
  readonly #slots: number[];
  readonly #masks: { key: string; users: number }[] = Array.from({ length: MASKS }, () => ({ key: "", users: 0 }));
  readonly #model: ModelParts;

  /** Allocates. @throws {KedgeError} `OutOfMemory`, and then holds nothing. */
  constructor(model: ModelParts, readonly limits: EngineLimits, division: Division) {
    const { cacheTokens, maxSequences: sequences, prefillTokens, packed } = limits;
    this.#model = model;
    this.projections = new Projections(model, { packed });
    this.decoder = new InferenceDecoder(model, { ...division.sizes, cacheTokens, projections: this.projections });
    this.prefill = new Prefill(model, this.decoder, { rows: prefillTokens, sequences });
    this.decode = new Decode(model, this.decoder, { sequences });
    this.ranges = new Ranges(cacheTokens);
    this.#slots = Array.from({ length: sequences }, (_, i) => sequences - 1 - i);
  }

  /** A place for a prompt's final hidden state. */
  takeSlot(): number {
    return this.#slots.pop()!;
  }

  /** Takes a place back. */
  giveSlot(slot: number): void {
    this.#slots.push(slot);
  }

  /** The slot of a mask of these tokens, -1 for none; undefined where all are in use by others. */
  takeMask(suppress: readonly number[]): number | undefined {
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

  /** Takes a mask back. */
  giveMask(slot: number): void {
    if (slot >= 0) this.#masks[slot]!.users--;
  }

  /** Marks cached tokens as no visual ones. */
  clearRegions(start: number, count: number): void {
    this.#model.device.ops.fill(DTYPES.i32, plus(this.decoder.region.address, 4 * start), count, -1);
  }

  /** Frees everything. */
  [Symbol.dispose](): void {
    this.decoder[Symbol.dispose]();
    this.projections[Symbol.dispose]();
  }
}
