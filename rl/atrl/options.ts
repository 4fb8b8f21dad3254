/** Names of the modes that the kernel computes, in the order of the C ABI. */
export const KERNEL_MODES = ["off", "soft", "hard", "low", "random"] as const;
/** Names of the modes. */
export const ATRL_MODES = [...KERNEL_MODES, "oracle"] as const;
/**
 * The way weights come from scores. All weights have mean 1 over a response.
 *
 * "off": 1 everywhere, the base algorithm. "soft": by the score of a token and of its cluster. "hard": the anchors alone. "low": only the
 * half of the tokens with the lowest score (the paper's negative control). "random": as many random tokens as there are anchors (a control).
 * "oracle": by the classes of tokens, where the dataset knows them: wMax on readings, wMin elsewhere (the most that credit can know).
 */
export type AtrlMode = typeof ATRL_MODES[number];
/** Names of the methods of clustering. */
export const PARTITION_METHODS = ["kway", "metis", "modularity", "none"] as const;
/**
 * The method of clustering. "kway": Kedge's own partition. "metis": libmetis, on the host. "modularity": greedy modularity, on the host, which chooses the number
 * of clusters and their sizes by the graph. "none": every token is a cluster.
 */
export type PartitionMethod = typeof PARTITION_METHODS[number];

/** Names of the rules by which an edge is kept, in the order of the C ABI. */
export const NEIGHBOUR_RULES = ["union", "mutual"] as const;
/** The rule by which an edge of the graph is kept: "union", where one of its tokens picks it; "mutual", where both do. */
export type NeighbourRule = typeof NEIGHBOUR_RULES[number];

/** Names of the scores, in the order of the C ABI. */
export const ATRL_SCORES = ["connectivity", "peak", "entropy", "connectivity-entropy", "peak-entropy", "peak-scaled"] as const;
/**
 * The number by which tokens are told apart. "connectivity": the share of attention on the picture. "peak": the largest share on one region of it, above the
 * mean of the response on that region. "peak-scaled": the same, each excess divided by about the root of that mean. "entropy": the policy's entropy at the token.
 * The others are products.
 */
export type AtrlScore = typeof ATRL_SCORES[number];

/** The options of AT-RL (Jiao et al., arXiv 2602.11455). */
export interface AtrlOptions {
  /** The way weights come from scores. */
  mode: AtrlMode;
  /** The number by which tokens are told apart. */
  score: AtrlScore;
  /** "position": scores are divided by what a token at the same place would attend to the picture if it attended to all tokens alike. */
  debias: "none" | "position";
  /** The method of clustering. */
  method: PartitionMethod;
  /** The number of edges that a token picks, in [0, 32]. */
  neighbours: number;
  /** "union": an edge is kept that one of its tokens picks. "mutual": only one that both pick. */
  neighbourRule: NeighbourRule;
  /** An edge by similarity that weighs less does not exist, in [0, 1). Neighbouring tokens keep the edge that `adjacency` gives them. */
  threshold: number;
  /**
   * The difference of two tokens' scores, in units of the mean score, at which the weight of an edge by similarity falls to 1 / e; null: weights do not depend
   * on it.
   */
  contrast: number | null;
  /** The weight that is added to the edge between neighbouring tokens, in [0, 1000]. */
  adjacency: number;
  /** The average number of tokens of a cluster, with the methods "kway" and "metis": an integer of 1 or more. */
  clusterSize: number;
  /** With these methods a cluster holds at most (1 + imbalance) times its share, a multiple of 0.001 in [0, 1]. */
  imbalance: number;
  /** The share of the tokens that are anchors, in per mille: an integer in [1, 1000]. */
  anchorFraction: number;
  /** The weight at the lowest score, and of what is no reading in mode "oracle", before weights are normalised. */
  wMin: number;
  /** The weight at the highest score, and of a reading in mode "oracle", before weights are normalised. */
  wMax: number;
  /** The width of the step between wMin and wMax, in units of the mean score. */
  temperature: number;
  /** The share in [0, 1] of a token's own score in its weight; the rest is that of its cluster. */
  own: number;
  /** "mean-one": a response's weights are divided by their mean, so that the update keeps its size. */
  normalise: "mean-one" | "none";
  /** The seed of partitions and of mode "random": an integer in [0, 2^31). */
  seed: number;
}

/** The defaults, which {@linkcode atrlOptions} fills in. {@linkcode ATRL_PUBLISHED} has the options of the paper's reading that differ. */
export const ATRL_DEFAULTS: Readonly<AtrlOptions> = {
  mode: "soft",
  score: "peak",
  debias: "none",
  method: "kway",
  neighbours: 8,
  neighbourRule: "union",
  threshold: 0,
  contrast: null,
  adjacency: 0.1,
  clusterSize: 6,
  imbalance: 0.2,
  anchorFraction: 150,
  wMin: 0.2,
  wMax: 1,
  temperature: 0.1,
  own: 0.75,
  normalise: "mean-one",
  seed: 0,
};

/**
 * The options by which the paper's reading differs from {@linkcode ATRL_DEFAULTS}: tokens are told apart by their connectivity, and every
 * token has the weight of its cluster. A run has them by `atrl.score: "connectivity"` and `atrl.own: 0`.
 *
 * @example
 * ```ts
 * import { ATRL_DEFAULTS, ATRL_PUBLISHED, atrlOptions } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(atrlOptions({ ...ATRL_PUBLISHED, mode: "hard" }), { ...ATRL_DEFAULTS, score: "connectivity", own: 0, mode: "hard" });
 * ```
 */
export const ATRL_PUBLISHED: Readonly<Pick<AtrlOptions, "score" | "own">> = { score: "connectivity", own: 0 };

/**
 * Completes and checks options.
 *
 * @throws {RangeError} for a name that is unknown or a value out of range.
 *
 * @example
 * ```ts
 * import { atrlOptions } from "@kedge/kedge/rl";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * assertEquals(atrlOptions({ clusterSize: 12 }).anchorFraction, 150);
 * assertThrows(() => atrlOptions({ anchorFraction: 0.15 }), RangeError, "per mille");
 * ```
 */
export function atrlOptions(given: Partial<AtrlOptions> = {}): AtrlOptions {
  const unknown = Object.keys(given).filter((name) => !(name in ATRL_DEFAULTS));
  if (unknown.length > 0) throw new RangeError(`Cannot configure AT-RL: it has no option ${unknown.join(", ")}`);
  const defined = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const o: AtrlOptions = { ...ATRL_DEFAULTS, ...defined };
  const need = (good: boolean, name: keyof AtrlOptions, wanted: string) => {
    if (!good) throw new RangeError(`Cannot configure AT-RL: ${name} is ${o[name]}, not ${wanted}`);
  };
  const integer = (x: number, low: number, high: number) => Number.isInteger(x) && x >= low && x <= high;
  need(ATRL_MODES.includes(o.mode), "mode", `one of ${ATRL_MODES.join(", ")}`);
  need(ATRL_SCORES.includes(o.score), "score", `one of ${ATRL_SCORES.join(", ")}`);
  need(o.debias === "none" || o.debias === "position", "debias", "none or position");
  need(PARTITION_METHODS.includes(o.method), "method", `one of ${PARTITION_METHODS.join(", ")}`);
  need(integer(o.neighbours, 0, 32), "neighbours", "an integer in [0, 32]");
  need(NEIGHBOUR_RULES.includes(o.neighbourRule), "neighbourRule", `one of ${NEIGHBOUR_RULES.join(", ")}`);
  need(o.threshold >= 0 && o.threshold < 1, "threshold", "in [0, 1)");
  need(o.contrast === null || (o.contrast > 0 && o.contrast < Infinity), "contrast", "null or a finite number above 0");
  need(o.adjacency >= 0 && o.adjacency <= 1000, "adjacency", "in [0, 1000]");
  need(integer(o.clusterSize, 1, 2 ** 30), "clusterSize", "an integer of 1 or more");
  need(
    o.imbalance >= 0 && o.imbalance <= 1 && Math.abs(o.imbalance * 1000 - permille(o.imbalance)) < 1e-6,
    "imbalance",
    "a multiple of 0.001 in [0, 1]",
  );
  need(integer(o.anchorFraction, 1, 1000), "anchorFraction", "an integer in [1, 1000]: it is in per mille");
  need(o.wMin >= 0 && Number.isFinite(o.wMin), "wMin", "0 or more");
  need(o.wMax >= o.wMin && o.wMax > 0 && Number.isFinite(o.wMax), "wMax", "above 0 and at least wMin");
  need(o.temperature > 0 && Number.isFinite(o.temperature), "temperature", "above 0");
  need(o.own >= 0 && o.own <= 1, "own", "in [0, 1]");
  need(o.normalise === "mean-one" || o.normalise === "none", "normalise", "mean-one or none");
  need(integer(o.seed, 0, 2 ** 31 - 1), "seed", "an integer in [0, 2^31)");
  return o;
}

/** Returns a share in thousandths. */
export function permille(share: number): number {
  return Math.round(1000 * share);
}
