import { suppressionMask } from "../../model/engine/suppression.ts";
import type { Checkpointing } from "../../model/checkpointing.ts";
import { measuresOwnRow } from "../../model/measured_row.ts";
import { HeadConnectivity, type HeadConnectivityOptions, type HeadShares } from "../../model/head_connectivity.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import type { Prompt } from "../../model/prompt.ts";
import type { VisionLanguageModel } from "../../model/model.ts";
import { type Divergence, divergence, DivergenceMetrics } from "../../rl/divergences/divergence.ts";
import { type Aggregation, aggregationWeights, type BatchSize, batchSize, type TokenLayout } from "../../rl/losses/aggregation.ts";
import { type Correction, CorrectionMetrics, importanceWeights } from "../../rl/losses/correction.ts";
import { type LossFunction, modulePolicyLoss } from "../../rl/losses/loss_module.ts";
import { PolicyMetrics } from "../../rl/losses/metrics.ts";
import { type PolicyLoss, policyLoss } from "../../rl/losses/policy_loss.ts";
import type { UserFunction } from "../../rl/user_module.ts";
import { add, dot, scale } from "../../tensor/ops/mod.ts";
import { AdamW, type AdamWOptions } from "../../tensor/optimizer.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { UserModule } from "../config/user_modules.ts";
import { concatenated } from "../../tensor/packing.ts";
import { dealLanes, type LaneOptions, type LanePart, Lanes } from "./lanes.ts";
import { type GroupSize, microBatches } from "./micro_batches.ts";
import { PassPlanner } from "./pass_plan.ts";

/** A prompt and its answers, on the host. */
export interface LearnerGroup {
  readonly prompt: Prompt;
  readonly responses: readonly Int32Array<ArrayBuffer>[];
  /** The log-probs of each response's tokens, as sampled. */
  readonly logprobs: readonly Float32Array<ArrayBuffer>[];
  /** For each response, whether it counts. */
  readonly counts: readonly boolean[];
}

/** How updates are made. It stays the same for the whole run. */
export interface LearnerOptions {
  readonly loss: PolicyLoss | { readonly kind: "module"; readonly module: UserModule };
  readonly aggregation: Aggregation;
  readonly oldLogprobs: "rollout" | "recompute";
  readonly correction: Correction | undefined;
  /** The divergence in the loss. Its coefficient comes with each update. */
  readonly divergence: Divergence | { readonly kind: "full" } | undefined;
  /** The number of prompts of an optimizer step; undefined: all. */
  readonly globalBatchSize: number | undefined;
  readonly epochs: number;
  /** The most packed tokens of a micro-batch. */
  readonly microTokens: number;
  /** What a forward keeps for its backward; "auto": what the memory has room for. */
  readonly checkpointing: Checkpointing | "auto";
  readonly optimizer: AdamWOptions;
  /** The optimizer's options in the supervised warm start, until `reset`. Default: `optimizer`. */
  readonly warmOptimizer?: AdamWOptions | undefined;
  /** How the work is divided into lanes and ranks. undefined: it is not. */
  readonly lanes?: LaneOptions | undefined;
}

/** Options of a learner that does no more than it must, as that of a frozen model. */
export const PLAIN_LEARNER: LearnerOptions = {
  loss: { kind: "reinforce" },
  aggregation: { kind: "token" },
  oldLogprobs: "rollout",
  correction: undefined,
  divergence: undefined,
  globalBatchSize: undefined,
  epochs: 1,
  microTokens: 16384,
  checkpointing: "off",
  optimizer: {},
};

/** The inputs of an update that change from step to step. */
export interface UpdateInputs {
  /** Advantages, f32 [tokens], on the model's device. */
  readonly advantages: Tensor;
  /** The reference's log-probs by token, if a divergence is in the loss. */
  readonly reference?: Float32Array<ArrayBuffer>;
  /** For divergence "full": the reference's `predictions` [tokens, hidden] and output matrix, on the model's device. */
  readonly referenceStates?: { readonly hidden: Tensor; readonly weight: Tensor };
  readonly klCoefficient: number;
  /** The temperature that the answers were sampled at. */
  readonly temperature: number;
  readonly entropyCoefficient: number;
  readonly lr: number;
}

/** The result of an update. */
export interface UpdateResult {
  readonly metrics: Record<string, number>;
  /** How many optimizer steps in a row, up to now, were skipped for a gradient that is not finite. */
  readonly skippedInRow: number;
}

/**
 * Trains a model, by a policy loss over packed groups or by supervised steps. A batch is computed in micro-batches, whose gradients add
 * up to that of the whole batch. The learner owns the optimizer; the caller owns the model.
 */
export class Learner implements Disposable {
  readonly #suppress: Tensor;
  readonly #policyMetrics: PolicyMetrics;
  readonly #correctionMetrics: CorrectionMetrics;
  readonly #divergenceMetrics: DivergenceMetrics;
  readonly #passes: PassPlanner;
  readonly #lanes: Lanes | undefined;
  #optimizer: AdamW;
  #fullKl = 0;

  /** @param userLoss Of the module that the options name. */
  constructor(readonly model: VisionLanguageModel, readonly options: LearnerOptions, readonly userLoss?: UserFunction<LossFunction>) {
    if (options.loss.kind === "module" && !userLoss) throw new RangeError("Cannot train by a user's loss: its module was not imported");
    const { device } = model;
    this.#suppress = suppressionMask(model);
    this.#passes = new PassPlanner(model, options.checkpointing);
    this.#policyMetrics = new PolicyMetrics(device);
    this.#correctionMetrics = new CorrectionMetrics(device);
    this.#divergenceMetrics = new DivergenceMetrics(device);
    this.#lanes = options.lanes && new Lanes(device, model.trained().map(({ parameter }) => parameter), options.lanes);
    this.#optimizer = this.#newOptimizer(options.warmOptimizer ?? options.optimizer);
  }

  #newOptimizer(options: AdamWOptions): AdamW {
    const trained = this.model.trained(), chosen = (isPlain: boolean) => trained.filter(({ plain }) => plain === isPlain);
    const [decayed, others] = [chosen(false), chosen(true)].map((group) => group.map(({ parameter }) => parameter));
    return new AdamW(this.model.device, [{ parameters: decayed! }, { parameters: others!, weightDecay: 0 }], options, this.#lanes?.shares);
  }

  /** The optimizer. */
  get optimizer(): AdamW {
    return this.#optimizer;
  }

  /** Whether other ranks have parts of the optimizer's state. */
  get isSharded(): boolean {
    return this.#lanes?.shares !== undefined;
  }

  /** Starts with a new optimizer, as at the end of a warm start. */
  reset(): void {
    this.#optimizer[Symbol.dispose]();
    this.#optimizer = this.#newOptimizer(this.options.optimizer);
    this.#zero({ free: true });
  }

  #zero(options: { free?: boolean } = {}): void {
    for (const { parameter } of this.model.trained()) parameter.zeroGrad(options);
  }

  #pack(groups: readonly LearnerGroup[]): PackedBatch {
    return PackedBatch.pack(this.model, groups.map(({ prompt, responses }) => ({ prompt, responses })));
  }

  #cut(groups: readonly LearnerGroup[]): LearnerGroup[][] {
    return microBatches(sizesOf(groups), this.options.microTokens).map(([start, end]) => groups.slice(start, end));
  }

  /**
   * Returns the model's `predictions` for all response tokens, packed [tokens, hidden]; with ranks, zeros for tokens of the others' lanes. The
   * caller owns the tensor.
   */
  predictions(groups: readonly LearnerGroup[]): Tensor {
    const { device, config: { text } } = this.model, lanes = this.#lanes;
    const shape = [tokensOf(groups), text.hiddenSize], type = { dtype: this.model.dtype };
    const out = lanes ? Tensor.zeros(device, shape, type) : Tensor.empty(device, shape, type);
    const starts = startsOf(groups),
      own = lanes ? lanes.parts(sizesOf(groups)).filter((part) => lanes.isOwn(part)) : [{ indices: groups.keys() }];
    for (const indices of own.map((part) => [...part.indices])) {
      let i = 0;
      for (const micro of this.#cut(indices.map((i) => groups[i]!))) {
        using batch = this.#pack(micro);
        using tape = new Tape(device, { record: false });
        const { tensor } = this.model.predictions(tape, batch);
        let at = 0;
        for (const group of micro) {
          const count = tokensOf([group]), start = starts[indices[i++]!]!;
          using rows = out.slice(start, start + count), source = tensor.slice(at, at += count);
          rows.copyFrom(source);
        }
      }
    }
    return out;
  }

  /** Returns the log-probs of all response tokens under the current model, packed. With ranks, each computes those of its lanes. */
  logprobs(groups: readonly LearnerGroup[], temperature: number): Float32Array<ArrayBuffer> {
    const lanes = this.#lanes;
    if (!lanes) return this.#logprobs(groups, temperature);
    const sizes = sizesOf(groups), parts = lanes.parts(sizes), own = new Map<number, Float32Array<ArrayBuffer>>();
    for (const { indices } of parts.filter((part) => lanes.isOwn(part))) {
      const values = this.#logprobs(indices.map((i) => groups[i]!), temperature);
      let at = 0;
      for (const i of indices) own.set(i, values.slice(at, at += tokensOf([groups[i]!])));
    }
    return lanes.together(parts, sizes, own);
  }

  #logprobs(groups: readonly LearnerGroup[], temperature: number): Float32Array<ArrayBuffer> {
    const out = new Float32Array(tokensOf(groups));
    let at = 0;
    for (const micro of this.#cut(groups)) {
      using batch = this.#pack(micro);
      using tape = new Tape(this.model.device, { record: false });
      const { logprob } = this.model.logProbs(tape, batch, { temperature, suppress: this.#suppress });
      const values = logprob.tensor.toFloats();
      out.set(values, at);
      at += values.length;
    }
    return out;
  }

  /** Measures the connectivity of all responses by layer and head, in their order, under the current model. */
  headShares(groups: readonly LearnerGroup[], options: HeadConnectivityOptions): HeadShares[] {
    return this.#cut(groups).flatMap((micro) => {
      const parts = micro.map(({ prompt, responses }) => ({ prompt, responses }));
      using batch = PackedBatch.pack(this.model, parts, { closing: measuresOwnRow(options.row) });
      using measured = HeadConnectivity.create(this.model, batch, options);
      using tape = new Tape(this.model.device, { record: false });
      this.model.predictions(tape, batch, { observe: (layer, seen) => measured.observe(layer, seen) });
      return measured.results();
    });
  }

  /**
   * Makes the update of one rollout: it goes over the groups `epochs` times and makes an optimizer step for every `globalBatchSize` of
   * them.
   *
   * @param groups The groups, in the order of the packed numbers.
   */
  update(groups: readonly LearnerGroup[], inputs: UpdateInputs): UpdateResult {
    const { globalBatchSize = groups.length, epochs, oldLogprobs } = this.options;
    const rollout = concatenated(groups.flatMap(({ logprobs }) => logprobs));
    const old = oldLogprobs === "recompute" ? this.logprobs(groups, inputs.temperature) : rollout;
    this.#passes.begin(this.#lanes?.held);
    const lanes = this.#lanes, sent = lanes?.collectives.sent ?? 0, parts = lanes?.parts(sizesOf(groups)) ?? [], shares: LaneShare[] = [];
    let updates = 0, loss = 0, norm = 0;
    for (let epoch = 0; epoch < epochs; epoch++) {
      let token = 0;
      for (let start = 0; start < groups.length; start += globalBatchSize) {
        const batch = groups.slice(start, start + globalBatchSize), all = { ...inputs, rollout, old, token, first: updates === 0 };
        if (lanes) {
          const step = parts.filter(({ slice }) => slice === start / globalBatchSize);
          lanes.accumulate(
            step,
            (part) => shares.push(this.#lane(groups, part, { all, update: updates, whole: batchSize(layoutOf(batch)) })),
          );
        } else loss += this.#accumulate(batch, all);
        token += tokensOf(batch);
        this.#optimizer.step({ lr: inputs.lr });
        this.#zero();
        norm += this.#optimizer.report()!.norm;
        updates++;
      }
    }
    this.#zero({ free: true }); // the next rollout has the memory
    if (lanes) {
      loss = this.#join(lanes, shares);
      lanes.compare();
    }
    const kl = this.#divergenceMetrics.read(updates), full = this.options.divergence?.kind === "full" ? this.#fullKl / updates : undefined;
    this.#fullKl = 0;
    const metrics = {
      ...this.#policyMetrics.read(updates),
      ...this.#correctionMetrics.read(),
      ...(kl && { "actor/kl_loss": kl.loss, "actor/kl_coef": inputs.klCoefficient }),
      ...(full !== undefined && { "actor/kl_loss": full, "actor/kl_coef": inputs.klCoefficient }),
      "actor/loss": loss / updates,
      "actor/grad_norm": norm / updates,
      "actor/lr": inputs.lr,
      ...(lanes && lanes.collectives.size > 1 && { "perf/sent_bytes": lanes.collectives.sent - sent }),
    };
    return { metrics, skippedInRow: this.#optimizer.state().skippedInRow };
  }

  /** Accumulates the gradient of one lane of an optimizer step. @param step `whole`: the size of the whole step. */
  #lane(
    groups: readonly LearnerGroup[],
    { lane, indices }: LanePart,
    { all, update, whole }: { all: UpdateInputs & Packed; update: number; whole: BatchSize },
  ): LaneShare {
    const { device } = this.model, starts = startsOf(groups), own = indices.map((i) => groups[i]!);
    const of = (numbers: Float32Array<ArrayBuffer>) =>
      concatenated(indices.map((i) => numbers.subarray(starts[i]!, starts[i]! + tokensOf([groups[i]!]))));
    using stack = new DisposableStack();
    const { reference, referenceStates: states } = all;
    const referenceStates = states && { ...states, hidden: stack.use(rowsOf(states.hidden, indices, { starts, groups })) };
    const loss = this.#accumulate(own, {
      ...all,
      advantages: stack.use(Tensor.from(device, of(all.advantages.toFloats()))),
      rollout: of(all.rollout),
      old: of(all.old),
      ...(reference && { reference: of(reference) }),
      ...(referenceStates && { referenceStates }),
      token: 0,
    }, whole);
    const fullKl = this.#fullKl, { sums, entropy } = this.#policyMetrics.take();
    this.#fullKl = 0;
    const numbers = [loss, fullKl, Number(entropy), ...sums, ...this.#correctionMetrics.take(), ...this.#divergenceMetrics.take()];
    return { update, lane, numbers };
  }

  /** Adds up what the lanes of all ranks have measured, in the order of updates and lanes. @returns The sum of their losses. */
  #join(lanes: Lanes, own: readonly LaneShare[]): number {
    let sum = 0;
    for (const [, , loss, fullKl, entropy, ...sums] of lanes.numbers(own.map(({ update, lane, numbers }) => [update, lane, ...numbers]))) {
      sum += loss!;
      this.#fullKl += fullKl!;
      this.#policyMetrics.add(sums.slice(0, 10), entropy === 1);
      this.#correctionMetrics.add(sums.slice(10, 17));
      this.#divergenceMetrics.add(sums.slice(17, 20));
    }
    return sum;
  }

  /** Accumulates the gradient of some groups. @param whole The size of the whole optimizer step. @returns Their loss. */
  #accumulate(
    groups: readonly LearnerGroup[],
    inputs: UpdateInputs & Packed,
    whole: BatchSize = batchSize(layoutOf(groups)),
  ): number {
    const { options: { aggregation } } = this;
    let { token } = inputs, loss = 0;
    for (const micro of this.#cut(groups)) {
      const count = tokensOf(micro), weights = aggregationWeights(aggregation, layoutOf(micro), whole);
      loss += this.#micro(micro, { ...inputs, token, weights });
      token += count;
    }
    return loss;
  }

  #micro(
    groups: readonly LearnerGroup[],
    inputs: UpdateInputs & Packed & { weights: Float32Array<ArrayBuffer> },
  ): number {
    const { model, options } = this, { device } = model, { token, reference, klCoefficient } = inputs;
    const end = token + inputs.weights.length;
    using stack = new DisposableStack();
    const up = (numbers: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>) => stack.use(Tensor.from(device, numbers));
    const batch = stack.use(this.#pack(groups)), tape = stack.use(new Tape(device));
    const states = options.divergence?.kind === "full" && klCoefficient > 0 ? inputs.referenceStates : undefined;
    using rows = states?.hidden.slice(token, end);
    const { logprob, entropy, kl } = model.logProbs(tape, batch, {
      ...(states && { reference: { hidden: rows!, weight: states.weight } }),
      temperature: inputs.temperature,
      suppress: this.#suppress,
      ...this.#passes.plan(batch, { reference: states !== undefined }),
    });
    const old = up(inputs.old.slice(token, end)), weights = up(inputs.weights), offsets = up(offsetsOf(groups));
    const rollout = up(inputs.rollout.slice(token, end)), recomputed = options.oldLogprobs === "recompute";
    // The gap between engine and training is measured in the first forward pass, before any weight has changed.
    const measured = inputs.first ? this.#correctionMetrics : undefined, now = recomputed ? old : logprob.tensor;
    const factors = stack.use(
      importanceWeights({ old: now, rollout, weights, offsets }, options.correction ?? { kind: "truncate" }, measured),
    );
    using advantages = inputs.advantages.slice(token, end);
    const correction = recomputed && options.correction && { correction: factors };
    const target = { old, advantages, weights, offsets, ...correction };
    const bonus = { entropy, entropyCoefficient: inputs.entropyCoefficient, metrics: this.#policyMetrics };
    let loss = options.loss.kind === "module"
      ? modulePolicyLoss(logprob, target, this.userLoss!, bonus)
      : policyLoss(logprob, target, { loss: options.loss, ...bonus });
    if (kl) {
      const mean = dot(kl, tape.constant(weights));
      this.#fullKl += mean.tensor.item();
      loss = add(loss, scale(mean, klCoefficient));
    } else if (options.divergence && options.divergence.kind !== "full" && reference && klCoefficient > 0) {
      const from = { reference: up(reference.slice(token, end)), weights, old };
      loss = add(loss, scale(divergence(logprob, from, { ...options.divergence, metrics: this.#divergenceMetrics }), klCoefficient));
    }
    const value = loss.tensor.item();
    tape.backward(loss);
    return value;
  }

  /**
   * Makes a supervised step on the mean of -log p over the answers' tokens.
   *
   * @returns The loss before the step, and the gradient's norm.
   */
  supervise(
    examples: readonly { prompt: Prompt; response: Int32Array<ArrayBuffer> }[],
    lr: number,
  ): { loss: number; gradNorm: number; skippedInRow: number } {
    const groups = examples.map(({ prompt, response }) => ({ prompt, responses: [response], logprobs: [], counts: [true] }));
    const tokens = tokensOf(groups), lanes = this.#lanes;
    this.#passes.begin();
    let loss = 0;
    if (!lanes) loss = this.#superviseOn(groups, tokens);
    else {
      const parts = dealLanes(sizesOf(groups), lanes.count).map((indices, lane) => lanes.part(lane, indices)), own: number[][] = [];
      lanes.accumulate(parts, ({ lane, indices }) => {
        own.push([0, lane, this.#superviseOn(indices.map((i) => groups[i]!), tokens)]);
      });
      for (const [, , part] of lanes.numbers(own)) loss += part!;
    }
    this.#optimizer.step({ lr });
    this.#zero({ free: true });
    return { loss, gradNorm: this.#optimizer.report()!.norm, skippedInRow: this.#optimizer.state().skippedInRow };
  }

  /** Accumulates the gradient of some examples. @param tokens Those of the whole step. @returns Their loss. */
  #superviseOn(groups: readonly LearnerGroup[], tokens: number): number {
    const { device } = this.model;
    let loss = 0;
    for (const micro of this.#cut(groups)) {
      using batch = this.#pack(micro);
      using tape = new Tape(device);
      const { logprob } = this.model.logProbs(tape, batch, { suppress: this.#suppress, ...this.#passes.plan(batch) });
      using weights = Tensor.full(device, [batch.count], { value: -1 / tokens });
      const part = dot(logprob, tape.constant(weights));
      loss += part.tensor.item();
      tape.backward(part);
    }
    return loss;
  }

  [Symbol.dispose](): void {
    this.#lanes?.[Symbol.dispose]();
    for (const thing of [this.#optimizer, this.#suppress, this.#policyMetrics, this.#correctionMetrics, this.#divergenceMetrics]) {
      thing[Symbol.dispose]();
    }
  }
}

/** The packed numbers of a whole rollout, and where a part of it begins. */
interface Packed {
  readonly rollout: Float32Array<ArrayBuffer>;
  readonly old: Float32Array<ArrayBuffer>;
  readonly token: number;
  /** Whether no optimizer step has been made since the rollout. */
  readonly first: boolean;
}

/** What a lane of one optimizer step has measured: its loss, then the sums of the metrics. */
interface LaneShare {
  readonly update: number;
  readonly lane: number;
  readonly numbers: readonly number[];
}

function sizesOf(groups: readonly LearnerGroup[]): GroupSize[] {
  return groups.map(({ prompt, responses }) => ({ prompt: prompt.tokens.length, lengths: responses.map(({ length }) => length) }));
}

/** Returns where the tokens of each group begin in packed numbers. */
function startsOf(groups: readonly LearnerGroup[]): number[] {
  let at = 0;
  return groups.map((group) => (at += tokensOf([group])) - tokensOf([group]));
}

/** Copies the rows of some groups out of packed rows. */
function rowsOf(
  packed: Tensor,
  indices: readonly number[],
  { starts, groups }: { starts: readonly number[]; groups: readonly LearnerGroup[] },
): Tensor {
  const out = Tensor.empty(packed.device, [tokensOf(indices.map((i) => groups[i]!)), packed.cols], { dtype: packed.dtype });
  let at = 0;
  for (const i of indices) {
    const count = tokensOf([groups[i]!]);
    using target = out.slice(at, at += count), source = packed.slice(starts[i]!, starts[i]! + count);
    target.copyFrom(source);
  }
  return out;
}

function lengthsOf(groups: readonly LearnerGroup[]): number[] {
  return groups.flatMap(({ responses }) => responses.map(({ length }) => length));
}

function tokensOf(groups: readonly LearnerGroup[]): number {
  return lengthsOf(groups).reduce((a, b) => a + b, 0);
}

function offsetsOf(groups: readonly LearnerGroup[]): Int32Array<ArrayBuffer> {
  const lengths = lengthsOf(groups), offsets = new Int32Array(lengths.length + 1);
  for (const [i, length] of lengths.entries()) offsets[i + 1] = offsets[i]! + length;
  return offsets;
}

/** Returns which tokens count. */
function layoutOf(groups: readonly LearnerGroup[]): TokenLayout {
  const lengths = lengthsOf(groups), counts = groups.flatMap((group) => group.counts);
  return counts.every(Boolean)
    ? { lengths }
    : { lengths, mask: Uint8Array.from(lengths.flatMap((n, i) => new Array<number>(n).fill(Number(counts[i])))) };
}
