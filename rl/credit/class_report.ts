import { anchors } from "./plain_weights.ts";
import { READING, TOKEN_CLASSES } from "./token_classes.ts";

/** Numbers of a step, on the host, that a report by class is made from. Arrays have one entry for each token, unless they say otherwise. */
export interface ClassReportInputs {
  /** [responses + 1]: where each response begins, and where the last one ends. */
  readonly offsets: ArrayLike<number>;
  /** Indices into `TOKEN_CLASSES`. */
  readonly classes: ArrayLike<number>;
  /** The weights of the credit, whatever its method. */
  readonly weights: ArrayLike<number>;
  /** The share of a token's attention that falls on the picture. */
  readonly connectivity?: ArrayLike<number> | undefined;
  /** The number by which tokens were told apart, where that is not the connectivity. */
  readonly scores?: ArrayLike<number> | undefined;
  /** Bit 0 marks an anchor. Default: the anchors by connectivity, with `anchorFraction`. */
  readonly flags?: ArrayLike<number> | undefined;
  /** The share of tokens that are anchors, in per mille. Default 150. */
  readonly anchorFraction?: number;
  /** The weighted advantages that the loss reads. */
  readonly advantages?: ArrayLike<number> | undefined;
  /** [responses]: whether the prompt has visual tokens; default all have. Responses without enter no number. */
  readonly visual?: ArrayLike<boolean> | undefined;
}

/**
 * The area under the ROC curve: the probability that a token that is one has a higher score than a token that is none, where ties count
 * half. 1: the scores tell them apart; 0.5: they say nothing.
 *
 * @param isOne Whether each token is one, as 0 or 1.
 * @returns NaN where all tokens are, where none is, and where a score is NaN.
 *
 * @example
 * ```ts
 * import { rocArea } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(rocArea([0.9, 0.1, 0.4, 0.4], [1, 0, 1, 0]), 3.5 / 4);
 * ```
 */
export function rocArea(scores: ArrayLike<number>, isOne: ArrayLike<number>): number {
  const order = Uint32Array.from(scores, (_, i) => i).sort((a, b) => scores[a]! - scores[b]!), n = order.length;
  let ones = 0, ranks = 0; // the sum of the ranks of those that are, from 1; equal scores share the mean of their ranks
  for (let from = 0, to; from < n; from = to) {
    const score = scores[order[from]!]!;
    if (Number.isNaN(score)) return NaN;
    let among = 0;
    for (to = from; to < n && scores[order[to]!] === score; to++) among += isOne[order[to]!]!;
    ones += among;
    ranks += among * (from + 1 + to) / 2;
  }
  return (ranks - ones * (ones + 1) / 2) / (ones * (n - ones));
}

/**
 * Metrics of a step by class of token, over all tokens of responses with visual tokens. They say how well connectivity, anchors and weights find the readings, for
 * any method of credit. A number that is not defined, such as a mean over no token, is left out.
 *
 * @returns For each class of `TOKEN_CLASSES`, `classes/share_CLASS`: its share of the tokens; `classes/weight_CLASS` and `classes/connectivity_CLASS`: means;
 *   `classes/advantage_share_CLASS`: its share of |advantage|. `classes/auc_connectivity`, `classes/auc_score`, `classes/auc_weight`: {@linkcode rocArea} of each for
 *   "is a reading". `classes/anchor_recall`: share of readings that are anchors; `classes/anchor_precision`: share of anchors that are readings.
 *
 * @example
 * ```ts
 * import { classReport } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * const report = classReport({ offsets: [0, 4], classes: [3, 0, 2, 1], weights: [1, 2, 0.5, 0.5], connectivity: [0.1, 0.6, 0.2, 0.7] });
 * assertEquals([report["classes/weight_reading"], report["classes/auc_weight"]], [2, 1]);
 * assertEquals([report["classes/auc_connectivity"], report["classes/anchor_recall"]], [2 / 3, 0]); // the only anchor is the last token
 * ```
 */
export function classReport(inputs: ClassReportInputs): Record<string, number> {
  const { offsets, classes, weights, connectivity, scores, advantages, visual } = inputs, flags = inputs.flags ?? anchorFlags(inputs);
  const sums = TOKEN_CLASSES.map(() => ({ tokens: 0, weight: 0, connectivity: 0, advantage: 0 }));
  const kept: number[] = [];
  let anchorsOfAll = 0, found = 0;
  for (let i = 0; i + 1 < offsets.length; i++) {
    if (visual && !visual[i]) continue;
    for (let t = offsets[i]!; t < offsets[i + 1]!; t++) {
      const of = sums[classes[t]!]!, isAnchor = flags ? flags[t]! & 1 : 0;
      kept.push(t);
      of.tokens++;
      of.weight += weights[t]!;
      if (connectivity) of.connectivity += connectivity[t]!;
      if (advantages) of.advantage += Math.abs(advantages[t]!);
      anchorsOfAll += isAnchor;
      if (classes[t] === READING) found += isAnchor;
    }
  }
  const isReading = Uint8Array.from(kept, (t) => Number(classes[t] === READING)), all = sums.reduce((sum, of) => sum + of.advantage, 0);
  const area = (scores: ArrayLike<number>) => rocArea(Float64Array.from(kept, (t) => scores[t]!), isReading);
  const report: Record<string, number> = {
    ...Object.fromEntries(sums.flatMap((of, k): [string, number][] => [
      [`classes/share_${TOKEN_CLASSES[k]}`, of.tokens / kept.length],
      [`classes/weight_${TOKEN_CLASSES[k]}`, of.weight / of.tokens],
      [`classes/connectivity_${TOKEN_CLASSES[k]}`, connectivity ? of.connectivity / of.tokens : NaN],
      [`classes/advantage_share_${TOKEN_CLASSES[k]}`, of.advantage / all],
    ])),
    "classes/auc_connectivity": connectivity ? area(connectivity) : NaN,
    "classes/auc_score": scores ? area(scores) : NaN,
    "classes/auc_weight": area(weights),
    "classes/anchor_recall": flags ? found / sums[READING]!.tokens : NaN,
    "classes/anchor_precision": flags ? found / anchorsOfAll : NaN,
  };
  return Object.fromEntries(Object.entries(report).filter(([, value]) => Number.isFinite(value)));
}

/** Marks the anchors by connectivity, where that was measured. */
function anchorFlags({ offsets, connectivity, anchorFraction = 150 }: ClassReportInputs): Uint8Array | undefined {
  if (!connectivity) return undefined;
  const all = Float64Array.from(connectivity), flags = new Uint8Array(all.length);
  for (let i = 0; i + 1 < offsets.length; i++) {
    const from = offsets[i]!;
    for (const t of anchors(all.subarray(from, offsets[i + 1]!), anchorFraction)) flags[from + t] = 1;
  }
  return flags;
}
