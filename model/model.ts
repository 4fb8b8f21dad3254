import type { Device, DType } from "../ffi/device.ts";
import { activationType } from "../tensor/ops/product.ts";
import {
  type AttentionSeen,
  gatherRows,
  linear,
  linearLogProb,
  type LogProb,
  rmsnorm,
  scatterAddRows,
  scatterRows,
} from "../tensor/ops/mod.ts";
import type { Parameter, Parameters } from "../tensor/parameter.ts";
import type { Tape } from "../tensor/tape.ts";
import { describe, type Tensor } from "../tensor/tensor.ts";
import type { Value } from "../tensor/value.ts";
import { openModelFolder, saveModel, type SaveModelOptions } from "./folder/checkpoint.ts";
import type { Frozen, WeightType } from "./folder/weight_storage.ts";
import { loadAdapters, saveAdapters } from "./lora/adapter_folder.ts";
import { Adapters, planAdapters } from "./lora/adapters.ts";
import { type AdapterBase, type GivenBase, isAdapterFolder, newBase, openBase } from "./lora/base.ts";
import type { LoraOptions } from "./lora/options.ts";
import { type Checkpointing, recomputed, runBlocks } from "./checkpointing.ts";
import type { ModelConfig } from "./config/config.ts";
import { familyOf } from "./families.ts";
import type { Family, VisualFeatures } from "./family.ts";
import { initialiseParameters, type InitialOptions } from "./folder/initialise.ts";
import type { PackedBatch } from "./packed_batch.ts";
import { parameterSpecs } from "./parameters.ts";
import type { Visual } from "./prompt.ts";
import { tapeBlock } from "./transformer/tape_block.ts";

/** Called with queries, keys and log-sum-exp of each layer's attention, once, even if a checkpoint runs the layer again. */
export type LayerObserver = (layer: number, seen: AttentionSeen) => void;

/** Options of {@linkcode VisionLanguageModel.logProbs}. */
export interface LogProbsOptions {
  /** Divides the logits. Default 1. */
  temperature?: number;
  /** u8 [vocab]: tokens with a nonzero mark are left out of the distribution. */
  suppress?: Tensor;
  /** What a forward keeps for the backward. Default "off". */
  checkpointing?: Checkpointing;
  /** Rows of logits that are computed at a time. Default: that of `linearLogProb`. */
  chunk?: number;
  /** Another model for the same rows: its `predictions` [count, hidden] and its output matrix. With it, `kl` is computed. */
  reference?: { hidden: Tensor; weight: Tensor };
  /** Accumulates the connectivity of this pass. */
  connectivity?: { readonly observe: LayerObserver };
}

/** Options of {@linkcode VisionLanguageModel.load}. */
export interface LoadOptions {
  /** The device that the model runs on. */
  readonly device: Device;
  /**
   * Type of the weights. Default: the folder's. On a CPU, which computes in f32, it holds for frozen weights: their matrices are packed if it is "bf16", and
   * what is trained is f32.
   */
  readonly dtype?: WeightType;
  /** The parameters that are not trained. Default: all beneath adapters, else "vision" with `freezeVision`, else "none". */
  readonly frozen?: Frozen;
  /** Whether the vision tower is not trained. Default false. */
  readonly freezeVision?: boolean;
  /** Makes new low-rank adapters on the model, which are trained in its place. Not for a folder of adapters, which says how they are. */
  readonly lora?: LoraOptions & { readonly seed?: number };
  /** The base of adapters. */
  readonly base?: GivenBase;
}

/**
 * A model that answers about pictures: a vision tower and a decoder over its parameters. Its config names the family that it belongs to.
 *
 * Everything runs on a tape of the caller: one that records, for training, or one with `record: false`, for inference.
 *
 * @example
 * ```ts
 * import { PackedBatch, presetConfig, VisionLanguageModel } from "@kedge/kedge/model";
 * import { dot, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assert, assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
 * using model = VisionLanguageModel.initialise(presetConfig("tiny", { tokens, vocabSize: 95 }), { device, seed: 1 });
 *
 * // Two answers to one prompt; the first is rewarded.
 * const prompt = { tokens: Int32Array.of(5, 6, 7), visuals: [] };
 * using batch = PackedBatch.pack(model, [{ prompt, responses: [Int32Array.of(8, 9), Int32Array.of(10)] }]);
 * using tape = new Tape(device);
 * const { logprob } = model.logProbs(tape, batch, { checkpointing: "blocks" });
 * assertEquals(logprob.shape, [3]);
 * using weights = Tensor.from(device, [-0.5, -0.5, 1]);
 * tape.backward(dot(logprob, tape.constant(weights)));
 * assert(model.parameters["layers.0.qkv.weight"]!.grad!.toFloats().some((x) => x !== 0));
 * ```
 */
export class VisionLanguageModel implements Disposable {
  /** Type of the activations. A frozen weight may be stored in another type. */
  readonly dtype: DType;
  /** Low-rank adapters. With them, the weights are frozen and the adapters are trained. */
  readonly adapters: Adapters | undefined;
  readonly #family: Family;
  /** All weights of the base, and the same with those that the adapters train whole. */
  readonly #weights: { readonly base: Parameters; readonly adapted: Parameters };
  readonly #base: AdapterBase | undefined;

  /**
   * A model of given parameters, which it takes over.
   *
   * @param parameters By the names of `parameterSpecs`.
   * @param adapted Adapters, which it takes over too, and the folder of its parameters.
   * @throws {RangeError} that lists the parameters that are missing, surplus, misshapen, or of another type or device.
   */
  constructor(
    readonly device: Device,
    readonly config: ModelConfig,
    parameters: Parameters,
    adapted?: { readonly adapters: Adapters; readonly base: AdapterBase },
  ) {
    this.adapters = adapted?.adapters;
    this.#base = adapted?.base;
    this.#weights = { base: parameters, adapted: { ...parameters, ...adapted?.adapters.saved } };
    const specs = parameterSpecs(config);
    this.#family = familyOf(config);
    const plain = specs.find(({ name }) => parameters[name] && !parameters[name].tensor.isPacked);
    this.dtype = plain ? parameters[plain.name]!.tensor.dtype : config.dtype;
    const faults: string[] = [];
    for (const { name, shape } of specs) {
      const tensor = parameters[name]?.tensor;
      if (!tensor) faults.push(`${name} is missing`);
      else if (tensor.shape.join() !== shape.join() || activationType(tensor) !== this.dtype || tensor.device !== device) {
        faults.push(`${name} is ${describe(tensor)} on ${tensor.device.name}, not ${describe({ dtype: this.dtype, shape })}`);
      }
    }
    const names = new Set(specs.map(({ name }) => name));
    for (const name of Object.keys(parameters)) if (!names.has(name)) faults.push(`${name} is not of this model`);
    if (faults.length > 0) throw new RangeError(`Cannot make a model: ${faults.join("; ")}`);
    if (adapted) { for (const parameter of Object.values(parameters)) parameter.requiresGrad = false; }
  }

  /** The weights that it computes with, by name: those of its folder, but for modules that its adapters train whole. */
  get parameters(): Parameters {
    return this.adapters?.enabled === false ? this.#weights.base : this.#weights.adapted;
  }

  /**
   * Loads a model folder, or a folder of low-rank adapters with its base.
   *
   * @throws {KedgeError} `BadCheckpoint` with all that is wrong with the folder; `OutOfMemory`.
   * @throws {RangeError} if `lora` does not fit the model.
   */
  static load(folder: string, options: LoadOptions): VisionLanguageModel {
    const { device, lora, freezeVision = false } = options, isAdapter = isAdapterFolder(folder);
    if (isAdapter && lora) {
      throw new RangeError(`Cannot make adapters on ${folder}: it holds adapters itself, which are trained further without lora`);
    }
    const base = isAdapter ? openBase(folder, options.base) : lora && newBase(folder, options.base);
    const frozen = base ? "all" : options.frozen ?? (freezeVision ? "vision" : "none");
    const { config, parameters } = openModelFolder(base?.folder ?? folder, { ...options, frozen });
    if (!base) return new VisionLanguageModel(device, config, parameters);
    try {
      const parts = { device, config, dtype: activationType(parameters["embedding"]!.tensor) };
      const adapters = lora
        ? Adapters.initialise(planAdapters(config, { ...lora, freezeVision }), { ...parts, base: parameters, seed: lora.seed ?? 0 })
        : loadAdapters(folder, parts);
      if (freezeVision) adapters.freezeVision();
      return new VisionLanguageModel(device, config, parameters, { adapters, base });
    } catch (error) {
      for (const parameter of Object.values(parameters)) parameter[Symbol.dispose]();
      throw error;
    }
  }

  /** A model of random weights: the same for the same seed. */
  static initialise(config: ModelConfig, options: InitialOptions & { device: Device; dtype?: WeightType }): VisionLanguageModel {
    return new VisionLanguageModel(options.device, config, initialiseParameters(options.device, config, options));
  }

  /**
   * Saves the model as a folder that transformers loads; with adapters, the adapters alone as a folder that PEFT loads, in f32.
   *
   * @param folder A new one, or an empty one.
   * @throws {RangeError} if the folder holds something.
   */
  save(folder: string, options: SaveModelOptions = {}): void {
    const { adapters, config } = this;
    if (adapters) saveAdapters({ adapters, config }, folder, { base: this.#base!, from: options.from });
    else saveModel(this, folder, options);
  }

  /**
   * Runs something with the adapters switched off: the model computes what its base does, to the bit. Without adapters nothing changes.
   *
   * @returns The result.
   */
  withoutAdapters<T>(run: () => T): T {
    const { adapters } = this, before = adapters?.enabled ?? true;
    if (adapters) adapters.enabled = false;
    try {
      return run();
    } finally {
      if (adapters) adapters.enabled = before;
    }
  }

  /** What is trained: the adapters, or the weights that are not frozen. `plain`: norms and biases, which have no weight decay. */
  trained(): { parameter: Parameter; plain: boolean }[] {
    if (this.adapters) return this.adapters.trained();
    return parameterSpecs(this.config).map(({ name, kind }) => ({
      parameter: this.parameters[name]!,
      plain: kind === "norm" || kind === "bias",
    })).filter(({ parameter }) => parameter.requiresGrad);
  }

  /** Freezes the vision tower, or trains it again. */
  freezeVision(frozen: boolean): void {
    if (this.adapters) {
      throw new RangeError(
        "Cannot freeze the vision tower of a model with adapters: its base is frozen, and the adapters are chosen when they are made",
      );
    }
    for (const { name, vision } of parameterSpecs(this.config)) if (vision) this.parameters[name]!.requiresGrad = !frozen;
  }

  /**
   * Embeds pictures and videos, packed in one pass.
   *
   * @param visuals One at least.
   * @returns [merged tokens, hidden], in the order of the visuals.
   */
  encodeVisuals(tape: Tape, visuals: readonly Visual[], options: { checkpointing?: Checkpointing } = {}): Value {
    return tape.scope(() => this.visualFeatures(tape, visuals, options)[0]);
  }

  /**
   * Embeds pictures and videos, packed in one pass.
   *
   * @param visuals One at least.
   * @returns Their embeddings; then what the family adds to the hidden states of their tokens after the decoder's first blocks, block by block.
   */
  visualFeatures(tape: Tape, visuals: readonly Visual[], options: { checkpointing?: Checkpointing } = {}): VisualFeatures {
    return this.#family.encodeVisuals(tape, this, visuals, options);
  }

  /**
   * Runs the tower once over all visuals of the batch, and the decoder over all its rows.
   *
   * @returns [rows, hidden]: hidden states after the last block, before the final norm.
   */
  hidden(tape: Tape, batch: PackedBatch, options: { checkpointing?: Checkpointing; observe?: LayerObserver } = {}): Value {
    const { config: { text } } = this;
    const { checkpointing = "off", observe } = options;
    const { segments, table } = batch;
    return tape.scope(() => {
      const [embedded, ...added] = this.#embed(tape, batch, checkpointing);
      const { heads, kvHeads, headDim, intermediateSize, rmsNormEps: eps } = text;
      const sizes = { heads, kvHeads, headDim, intermediateSize, eps };
      const pass = { block: this.#family.block, model: this, prefix: "layers", sizes, segments, table, observe };
      const block = (x: Value, i: number) => {
        const y = tapeBlock(x, i, pass), rows = added[i];
        return rows ? scatterAddRows(y, { rows, index: batch.visualRows, inPlace: true }) : y;
      };
      return runBlocks(embedded, { tape, count: text.layers, again: recomputed(checkpointing, "text", text.layers), block });
    });
  }

  /** Embeds the batch's tokens, and its visuals over their placeholders. @returns Also the features that are added later, a row for each placeholder. */
  #embed(tape: Tape, batch: PackedBatch, checkpointing: Checkpointing): VisualFeatures {
    const { visuals, visualRows: index, visualSource } = batch;
    const words = gatherRows(tape.param(this.parameters.embedding!), batch.tokens);
    if (visuals.length === 0) return [words];
    return tape.scope(() => {
      const features = this.visualFeatures(tape, visuals, { checkpointing });
      const [rows, ...added] = visualSource ? features.map((each) => gatherRows(each, visualSource)) : features;
      const embedded = scatterRows(words, { rows: rows!, index, inPlace: true });
      words[Symbol.dispose]();
      return [embedded, ...added];
    });
  }

  /**
   * Logits of hidden states: final norm, then the output matrix.
   *
   * @param hidden [rows, hidden].
   * @returns [rows, vocab].
   */
  logits(tape: Tape, hidden: Value): Value {
    return tape.scope(() => linear(this.#normed(hidden), this.outputMatrix));
  }

  /**
   * Log-probability of every response token, and the entropy of its distribution in nats: f32 [count], in the order of `batch.target`. With a `reference` also
   * `kl`: the divergence of this distribution from the reference's over the whole vocabulary, f32 [count].
   */
  logProbs(tape: Tape, batch: PackedBatch, options: LogProbsOptions = {}): LogProb {
    const { checkpointing, connectivity, reference, ...distribution } = options, { target } = batch;
    return tape.scope(() => {
      const normed = this.predictions(tape, batch, {
        ...(checkpointing && { checkpointing }),
        ...(connectivity && { observe: (layer, seen) => connectivity.observe(layer, seen) }),
      });
      return linearLogProb(normed, this.outputMatrix, { ...distribution, target, ...(reference && { reference }) });
    });
  }

  /**
   * The normed hidden states of the rows that predict response tokens, [count, hidden], in the order of `batch.target`. Logits are their product with the
   * output matrix.
   */
  predictions(tape: Tape, batch: PackedBatch, options: { checkpointing?: Checkpointing; observe?: LayerObserver } = {}): Value {
    return tape.scope(() => {
      using h = this.hidden(tape, batch, options);
      return tape.scope(() => this.#normed(gatherRows(h, batch.predict)));
    });
  }

  #normed(hidden: Value): Value {
    return rmsnorm(hidden, this.parameters.norm!, { eps: this.config.text.rmsNormEps });
  }

  /** The output matrix, [vocab, hidden]: the embedding, if the model is tied. */
  get outputMatrix(): Parameter {
    return this.parameters[this.config.text.tied ? "embedding" : "head"]!;
  }

  /** Frees the parameters. */
  [Symbol.dispose](): void {
    for (const parameter of Object.values(this.#weights.base)) parameter[Symbol.dispose]();
    this.adapters?.[Symbol.dispose]();
  }
}

/**
 * The former name of {@linkcode VisionLanguageModel}.
 *
 * @deprecated Use {@linkcode VisionLanguageModel}.
 *
 * @example
 * ```ts
 * import { VisionLanguageModel } from "@kedge/kedge/model";
 * import { Qwen25VL } from "./model.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(Qwen25VL, VisionLanguageModel);
 * ```
 */
export const Qwen25VL: typeof VisionLanguageModel = VisionLanguageModel;

/**
 * The former name of {@linkcode VisionLanguageModel}.
 *
 * @deprecated Use {@linkcode VisionLanguageModel}.
 */
export type Qwen25VL = VisionLanguageModel;
