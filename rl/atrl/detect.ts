import type { Tensor } from "../../tensor/tensor.ts";
import { weightedAdvantage } from "../credit/advantage.ts";
import type { TokenCredit } from "../credit/credit.ts";
import { TokenGraph } from "./graph.ts";
import { type AtrlOptions, atrlOptions } from "./options.ts";
import { type Clusters, partitionKway, partitionMetis, partitionModularity, partitionNone } from "./partition.ts";
import { atrlReport } from "./report.ts";
import { type ScoreInputs, tokenScore } from "./score.ts";
import type { Responses } from "../credit/responses.ts";
import { type ResponseKey, tokenWeights } from "./weights.ts";

/** The inputs of AT-RL. */
export interface AtrlInputs extends Pick<ScoreInputs, "entropy" | "visible"> {
  /** f32[tokens], in [0, 1]: the share of a token's attention that falls on visual tokens. */
  connectivity: Tensor;
  /**
   * f32[tokens, regions]: the same by region; clusters and the scores with "peak" (the default) are made from it. It may be
   * absent for texts without pictures, and with another score if no clusters are made: in a mode other than "soft", or with method "none".
   */
  profile?: Tensor | undefined;
  /** [responses]: whether the prompt has visual tokens. If it has none, the tokens of the response have weight 1. */
  visual: ArrayLike<boolean>;
  /** [responses]: names of the random draws, for mode "random". */
  keys?: readonly ResponseKey[] | undefined;
  /** [tokens]: the class of each token as an index into `TOKEN_CLASSES`, for mode "oracle". */
  classes?: ArrayLike<number> | undefined;
}

/** Numbers for the report that the rest of the step knows; see ReportInputs. */
export interface StepNumbers {
  /** f32[tokens]: the weighted advantages that the loss reads. */
  advantages?: Tensor | undefined;
  /** f32[tokens] */
  entropy?: Tensor | undefined;
  /** u8[tokens] */
  mask?: Tensor | undefined;
  /** The time spent on connectivity. */
  connectivitySeconds?: number | undefined;
  /** The time of the whole step. */
  stepSeconds?: number | undefined;
}

/**
 * The result of AT-RL for packed responses: weights, anchors and clusters.
 *
 * @example
 * ```ts
 * import { detectAtrl, Responses } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertAlmostEquals, assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [6]);
 * using connectivity = Tensor.from(device, [0.1, 0.6, 0.1, 0.1, 0.5, 0.1]);
 * using profile = Tensor.from(device, [0.1, 0, 0.6, 0, 0, 0.1, 0, 0.1, 0.5, 0, 0, 0.1], { shape: [6, 2] });
 * using credit = detectAtrl(responses, { connectivity, profile, visual: [true] }, { clusterSize: 3 });
 * assertAlmostEquals(credit.weights.toFloats().reduce((a, b) => a + b) / 6, 1, 1e-5);
 * assertEquals(credit.clusters!.stats[0]!.clusters, 2);
 * ```
 */
export class AtrlCredit implements TokenCredit {
  /** "atrl". */
  readonly method = "atrl";
  /** f32[tokens] */
  readonly weights: Tensor;
  /** u8[tokens]: bit 0, an anchor; bit 1, a token of a cluster in the densest prefix. */
  readonly flags: Tensor;
  /** The clusters, in mode "soft". */
  readonly clusters: Clusters | undefined;
  /** f32[tokens]: the number by which tokens were told apart. */
  readonly scores: Tensor;
  readonly #connectivity: Tensor;
  readonly #visual: ArrayLike<boolean>;
  #seconds: number;

  /** Use `detectAtrl`. */
  constructor(readonly responses: Responses, readonly options: AtrlOptions, inputs: AtrlInputs) {
    const { connectivity, profile, visual, keys, classes, entropy, visible } = inputs, { offsets, count } = responses;
    const start = performance.now();
    if (!visual) {
      throw new RangeError(
        "Cannot detect anchors: visual is missing; give a list that says of each response whether its prompt has visual tokens",
      );
    }
    if (visual.length !== count) {
      throw new RangeError(`Cannot detect anchors in ${count} responses: visual has ${visual.length} entries`);
    }
    const clustered = options.mode === "soft" && options.method !== "none", peaked = options.score.startsWith("peak");
    if (
      (clustered || peaked) && !(profile && profile.cols > 0) && Array.from(visual).some((seen, i) => seen && offsets[i + 1]! > offsets[i]!)
    ) {
      throw new RangeError(
        peaked
          ? `Cannot score tokens by "${options.score}": prompts have visual tokens, but there is no profile of what tokens look at; give one, ` +
            'or take score "connectivity", which needs none'
          : 'Cannot cluster tokens: prompts have visual tokens, but there is no profile of what tokens look at; give one, or take method "none", ' +
            "by which every token is its own cluster",
      );
    }
    responses.check("connectivity", connectivity, { dtype: "f32" });
    using stack = new DisposableStack();
    const scores = stack.use(tokenScore(responses, { connectivity, profile, entropy, visible }, options));
    const clusters = options.mode === "soft" ? this.#partition(responses, { connectivity: scores, profile }) : undefined;
    if (clusters) stack.use(clusters);
    const { weights, flags } = tokenWeights(
      responses,
      { connectivity: scores, cluster: clusters?.cluster, visual, keys, classes },
      options,
    );
    stack.use(weights);
    stack.use(flags);
    [this.weights, this.flags, this.clusters, this.scores, this.#visual] = [weights, flags, clusters, scores, visual];
    this.#connectivity = connectivity.view();
    this.#seconds = (performance.now() - start) / 1000;
    stack.move();
  }

  #partition(responses: Responses, given: { connectivity: Tensor; profile: Tensor | undefined }): Clusters {
    if (this.options.method === "none") return partitionNone(responses);
    using graph = new TokenGraph(responses, { ...this.options, ...given });
    if (this.options.method === "modularity") return partitionModularity(graph);
    return this.options.method === "metis" ? partitionMetis(graph, this.options) : partitionKway(graph, this.options);
  }

  advantages(advantage: Tensor, options: { mask?: Tensor | undefined; perToken?: boolean } = {}): Tensor {
    const start = performance.now();
    const out = weightedAdvantage(this.responses, { weights: this.weights, advantage, ...options });
    this.#seconds += (performance.now() - start) / 1000;
    return out;
  }

  /** The metrics of `atrlReport`. `timing_s/atrl` is the host's time: on CUDA, the time to launch kernels and to wait for the device. */
  report(step: StepNumbers = {}): Record<string, number> {
    const host = (tensor: Tensor | undefined) => tensor && tensor.toArray() as Float32Array | Uint8Array;
    return atrlReport({
      offsets: this.responses.offsets,
      connectivity: host(this.#connectivity)!,
      weights: host(this.weights)!,
      flags: host(this.flags)!,
      visual: this.#visual,
      clusters: this.clusters?.stats,
      mask: host(step.mask),
      advantages: host(step.advantages),
      entropy: host(step.entropy),
      seconds: this.#seconds + (step.connectivitySeconds ?? 0),
      stepSeconds: step.stepSeconds,
    });
  }

  /** Frees weights, flags, clusters and scores. */
  [Symbol.dispose](): void {
    for (const owned of [this.weights, this.flags, this.clusters, this.scores, this.#connectivity]) owned?.[Symbol.dispose]();
  }
}

/**
 * Finds the tokens of responses that read from the picture, clusters tokens that attend to the same regions, and weights them (Jiao et al.,
 * arXiv 2602.11455, sections 1.6 to 4 of docs/method.md).
 *
 * @param responses The packing; must outlive the result.
 * @param options Defaults: `ATRL_DEFAULTS`. `ATRL_PUBLISHED` is the paper's reading.
 * @throws {RangeError} for options or shapes that do not fit, and for a missing input that the options need; {KedgeError} `Unsupported` for the method "metis" without libmetis.
 *
 * @example Two tokens look at one place of the picture; all of the others do not
 * ```ts
 * import { ATRL_PUBLISHED, detectAtrl, Responses } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [8]);
 * using connectivity = Tensor.from(device, [0.1, 0.6, 0.1, 0.1, 0.1, 0.1, 0.5, 0.1]);
 * using profile = Tensor.from(device, [0.1, 0, 0.6, 0, 0.1, 0, 0, 0.1, 0, 0.1, 0, 0.1, 0, 0.5, 0, 0.1], { shape: [8, 2] });
 * using advantage = Tensor.from(device, [2]);
 * using credit = detectAtrl(responses, { connectivity, profile, visual: [true] }, { mode: "hard", anchorFraction: 250 });
 * using advantages = credit.advantages(advantage);
 * assertEquals([...advantages.toArray()], [0, 8, 0, 0, 0, 0, 8, 0]);
 * assertEquals(credit.report()["atrl/anchor_fraction"], 0.25);
 *
 * // The paper's reading, which needs no profile where no clusters are made.
 * using published = detectAtrl(responses, { connectivity, visual: [true] }, { ...ATRL_PUBLISHED, mode: "hard", anchorFraction: 250 });
 * assertEquals(published.weights.toArray(), credit.weights.toArray());
 * ```
 */
export function detectAtrl(responses: Responses, inputs: AtrlInputs, options: Partial<AtrlOptions> = {}): AtrlCredit {
  return new AtrlCredit(responses, atrlOptions(options), inputs);
}
