import type { ClusterStats } from "./partition.ts";

/** Numbers of a step, on the host, that a report is made from. Arrays have one entry for each token of the packed responses, unless they say otherwise. */
export interface ReportInputs {
  /** [responses + 1]: where each response begins, and where the last one ends. */
  offsets: ArrayLike<number>;
  /** See AtrlInputs. */
  connectivity: ArrayLike<number>;
  /** See `tokenWeights`. */
  weights: ArrayLike<number>;
  /** See `tokenWeights`. */
  flags: ArrayLike<number>;
  /** [responses]: whether the prompt has visual tokens; default all have. Responses without enter no number. */
  visual?: ArrayLike<boolean> | undefined;
  /** [responses]: figures of the clusters, where clusters were made. */
  clusters?: readonly ClusterStats[] | undefined;
  /** Tokens with 0 enter no number but those of clusters. */
  mask?: ArrayLike<number> | undefined;
  /** The weighted advantages that the loss reads. */
  advantages?: ArrayLike<number> | undefined;
  /** The policy's entropy, in nats. */
  entropy?: ArrayLike<number> | undefined;
  /** The time spent on connectivity, clusters, weights and advantages. */
  seconds?: number | undefined;
  /** The time of the whole step. */
  stepSeconds?: number | undefined;
}

/**
 * Sarle's bimodality coefficient, (g^2 + 1) / (k + 3 (n - 1)^2 / ((n - 2) (n - 3))), with the sample skewness g and excess kurtosis k, both corrected for bias: 5/9
 * for a uniform distribution, above it for two peaks, up to 1. SAS Institute, SAS/STAT User's Guide (1990), procedure CLUSTER.
 *
 * @returns NaN for fewer than four values, or where all are equal.
 *
 * @example
 * ```ts
 * import { bimodality } from "@kedge/kedge/rl";
 * import { assert } from "@std/assert";
 *
 * assert(bimodality([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]) > 5 / 9);
 * assert(bimodality([-2, -1, -1, 0, 0, 0, 0, 1, 1, 2]) < 5 / 9);
 * ```
 */
export function bimodality(values: ArrayLike<number>): number {
  const n = values.length;
  if (n < 4) return NaN;
  let mean = 0, m2 = 0, m3 = 0, m4 = 0, size = 0;
  for (let i = 0; i < n; i++) mean += values[i]! / n;
  for (let i = 0; i < n; i++) {
    const d = values[i]! - mean;
    m2 += d ** 2 / n, m3 += d ** 3 / n, m4 += d ** 4 / n, size = Math.max(size, Math.abs(values[i]!));
  }
  if (m2 <= (1e-14 * size) ** 2) return NaN; // rounding of the mean
  const skewness = Math.sqrt(n * (n - 1)) / (n - 2) * m3 / m2 ** 1.5;
  const kurtosis = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * m4 / m2 ** 2 - 3 * (n - 1));
  return (skewness ** 2 + 1) / (kurtosis + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3)));
}

/** A mean to which values are added one by one. */
class Mean {
  sum = 0;
  count = 0;

  add(value: number): void {
    this.sum += value;
    this.count++;
  }

  /** The mean; NaN where nothing was added. */
  get value(): number {
    return this.sum / this.count;
  }
}

/**
 * The metrics of AT-RL for a step, over all tokens of responses with visual tokens. A number that is not defined, such as a mean over no token, is left out.
 *
 * @returns `atrl/anchor_fraction`: share of tokens that are anchors; `atrl/connectivity_anchor`, `_rest`, `_ratio`: mean connectivity of anchors, of the others,
 *   and their ratio; `atrl/bimodality`: of the connectivity; `atrl/anchor_purity`: share of anchors among the tokens of the densest clusters;
 *   `atrl/advantage_share`: share of |advantage| on anchors; `atrl/weight_anchor`, `_rest`, `atrl/entropy_anchor`, `_rest`: means; of responses of at least four
 *   tokens, `atrl/clusters`: mean number; `atrl/edge_cut`: mean cut, in units of a similarity of 1; `atrl/imbalance`: the largest of largest cluster * clusters /
 *   tokens - 1; `timing_s/atrl`: the seconds it took; `perf/atrl_overhead`: its share of the step.
 *
 * @example
 * ```ts
 * import { atrlReport } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * const report = atrlReport({ offsets: [0, 4], connectivity: [0.5, 0.1, 0.1, 0.1], weights: [2, 1, 1, 0], flags: [1, 0, 0, 0] });
 * assertEquals([report["atrl/anchor_fraction"], report["atrl/connectivity_anchor"], report["atrl/weight_anchor"]], [0.25, 0.5, 2]);
 * ```
 */
export function atrlReport(inputs: ReportInputs): Record<string, number> {
  const { offsets, connectivity, weights, flags, visual, clusters, mask, advantages, entropy } = inputs;
  const pair = () => [new Mean(), new Mean()] as const; // rest, anchors
  const c = pair(), w = pair(), h = pair(), a = pair(), pure = new Mean(), share = new Mean(), values: number[] = [];
  const number = new Mean(), cut = new Mean();
  let imbalance = NaN;
  for (let i = 0; i + 1 < offsets.length; i++) {
    if (visual && !visual[i]) continue;
    for (let t = offsets[i]!; t < offsets[i + 1]!; t++) {
      if (mask && !mask[t]) continue;
      const anchor = flags[t]! & 1;
      values.push(connectivity[t]!);
      share.add(anchor);
      c[anchor]!.add(connectivity[t]!);
      w[anchor]!.add(weights[t]!);
      if (entropy) h[anchor]!.add(entropy[t]!);
      if (advantages) a[anchor]!.add(Math.abs(advantages[t]!));
      if (flags[t]! & 2) pure.add(anchor);
    }
    const n = offsets[i + 1]! - offsets[i]!, stats = clusters?.[i];
    if (!stats || n < 4) continue;
    number.add(stats.clusters);
    if (stats.cut !== undefined) cut.add(stats.cut / 2 ** 20);
    const excess = stats.largest * stats.clusters / n - 1;
    imbalance = Number.isNaN(imbalance) ? excess : Math.max(imbalance, excess);
  }
  const all: Record<string, number> = {
    "atrl/anchor_fraction": share.value,
    "atrl/connectivity_anchor": c[1].value,
    "atrl/connectivity_rest": c[0].value,
    "atrl/connectivity_ratio": c[1].value / c[0].value,
    "atrl/bimodality": bimodality(values),
    "atrl/anchor_purity": pure.value,
    "atrl/advantage_share": a[1].sum / (a[0].sum + a[1].sum),
    "atrl/weight_anchor": w[1].value,
    "atrl/weight_rest": w[0].value,
    "atrl/entropy_anchor": h[1].value,
    "atrl/entropy_rest": h[0].value,
    "atrl/clusters": number.value,
    "atrl/edge_cut": cut.value,
    "atrl/imbalance": imbalance,
    "timing_s/atrl": inputs.seconds ?? NaN,
    "perf/atrl_overhead": inputs.seconds === undefined || inputs.stepSeconds === undefined ? NaN : inputs.seconds / inputs.stepSeconds,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => Number.isFinite(value)));
}
