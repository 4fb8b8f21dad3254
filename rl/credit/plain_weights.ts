/**
 * The definition of the token weights W(C_k), in float64 and without any kernel: docs/method.md, sections 3 and 4. The kernels (`tokenWeights`) are the
 * default and compute the same; tests hold them to this page. A credit module of a user has the signature of {@linkcode plainWeights}.
 *
 * Source: Jiao et al., "Credit Where It is Due: Cross-Modality Connectivity Drives Precise Reinforcement Learning for MLLM Reasoning", arXiv 2602.11455.
 *
 * @module
 */
import type { AtrlOptions } from "../atrl/options.ts";
import type { ResponseKey } from "../atrl/weights.ts";
import { oracleWeights } from "./oracle_weights.ts";
import { philox } from "./philox.ts";

/** The inputs for the weights of one response of T tokens. */
export interface WeightInput {
  /** [T]: s_t, the numbers by which tokens are told apart: those of `plainScore`. With the score "connectivity", that is c_t itself. */
  readonly connectivity: ArrayLike<number>;
  /** [T]: k, the number of each token's cluster C_k. Only mode "soft" reads it. */
  readonly cluster: ArrayLike<number>;
  /** Whether the prompt has a picture or a video. */
  readonly visual: boolean;
  /** Names the prompt and the sample. Only mode "random" reads it. */
  readonly key: ResponseKey;
  /** [T]: the class of each token as an index into `TOKEN_CLASSES`, where the dataset knows it. Only mode "oracle" reads it. */
  readonly classes?: ArrayLike<number> | undefined;
}

/** The options that weights depend on. */
export type WeightOptions = Pick<AtrlOptions, "mode" | "anchorFraction" | "wMin" | "wMax" | "temperature" | "own" | "normalise" | "seed">;

/** A cluster C_k of one response. */
export interface DenseCluster {
  /** Its tokens, in their order. */
  readonly tokens: readonly number[];
  /** D_k: the mean over its tokens of d_t = c_t / (mean of c). */
  readonly density: number;
}

/**
 * Computes the weight of every token of one response: by mode, W(C_k) of the token's cluster, or T / n on n chosen tokens and 0 on the
 * others, or wMax on readings and wMin elsewhere.
 *
 * @returns [T].
 * @throws {RangeError} in mode "oracle", if `classes` are missing.
 *
 * @example Two of four tokens look at the picture
 * ```ts
 * import { atrlOptions, plainWeights } from "@kedge/kedge/rl";
 * import { assertAlmostEquals, assertEquals } from "@std/assert";
 *
 * const response = { connectivity: [0.5, 0.5, 0.1, 0.1], cluster: [0, 0, 1, 1], visual: true, key: { prompt: 7, sample: 0 } };
 * const [looking, , other] = plainWeights(response, atrlOptions({ anchorFraction: 500 }));
 * assertAlmostEquals(looking! + other!, 2); // the mean is 1
 * assertAlmostEquals(looking! / other!, 1 / 0.2, 0.05); // wMax / wMin, nearly
 * assertEquals([...plainWeights(response, atrlOptions({ mode: "hard", anchorFraction: 500 }))], [2, 2, 0, 0]);
 * ```
 */
export function plainWeights(response: WeightInput, options: WeightOptions): Float64Array<ArrayBuffer> {
  const { connectivity: c, visual } = response, { mode, anchorFraction, seed } = options, T = c.length;
  if (T === 0 || !visual || mode === "off") return new Float64Array(T).fill(1);
  switch (mode) {
    case "hard":
      return onlyOn(anchors(c, anchorFraction), T);
    case "low":
      return onlyOn(falling(Array.from(c, (x) => -x)).slice(0, Math.max(1, Math.floor(T / 2))), T);
    case "random":
      return onlyOn(falling(draws(response.key, { T, seed })).slice(0, anchorCount(T, anchorFraction)), T);
    case "soft":
      return options.own > 0 ? ownWeights(response, options) : clusterWeights(response, options);
    case "oracle":
      if (!response.classes) throw new RangeError("Cannot give oracle weights: the classes of the tokens are missing");
      return oracleWeights(response.classes, options);
  }
}

/**
 * Computes mode "soft", the method itself: W(C_k) = wMin + (wMax - wMin) * sigmoid((D_k - theta) / temperature). Section 3, steps 1 to 5.
 */
function clusterWeights({ connectivity: c, cluster }: WeightInput, options: WeightOptions): Float64Array<ArrayBuffer> {
  const { anchorFraction, wMin, wMax, temperature, normalise } = options, T = c.length, mean = sum(c) / T;
  const clusters = clustersByDensity(c, cluster), P = densestPrefix(clusters, anchorCount(T, anchorFraction));
  const spread = Math.max(...Array.from(c)) - Math.min(...Array.from(c)), spreadOfD = clusters[0]!.density - clusters.at(-1)!.density;
  if (spread <= 1e-6 * mean || mean === 0 || clusters.length === 1 || spreadOfD <= 1e-6) return new Float64Array(T).fill(1);

  const inside = P.at(-1)!.density, outside = clusters[P.length]?.density;
  const theta = outside === undefined ? inside : (inside + outside) / 2;
  const W = new Float64Array(T);
  for (const { tokens, density: D } of clusters) {
    for (const t of tokens) W[t] = wMin + (wMax - wMin) / (1 + Math.exp((theta - D) / temperature));
  }
  return normalise === "mean-one" ? W.map((w) => w / (sum(W) / T)) : W;
}

/**
 * Computes mode "soft" where a token's own score counts: the same with x_t = (1 - own) * D_k + own * d_t in place of D_k. Section 3, step 6.
 */
function ownWeights({ connectivity: c, cluster }: WeightInput, options: WeightOptions): Float64Array<ArrayBuffer> {
  const { anchorFraction, wMin, wMax, temperature, normalise, own } = options, T = c.length, mean = sum(c) / T;
  const x = new Float64Array(T), spread = Math.max(...Array.from(c)) - Math.min(...Array.from(c));
  for (const { tokens, density: D } of clustersByDensity(c, cluster)) {
    for (const t of tokens) x[t] = mean === 0 ? 0 : (1 - own) * D + own * (c[t]! / mean);
  }
  const sorted = x.toSorted().reverse(), n = anchorCount(T, anchorFraction);
  if (spread <= 1e-6 * mean || mean === 0 || sorted[0]! - sorted[T - 1]! <= 1e-6) return new Float64Array(T).fill(1);
  const theta = n === T ? sorted[n - 1]! : (sorted[n - 1]! + sorted[n]!) / 2;
  const W = x.map((x) => wMin + (wMax - wMin) / (1 + Math.exp((theta - x) / temperature)));
  return normalise === "mean-one" ? W.map((w) => w / (sum(W) / T)) : W;
}

/**
 * The clusters of a response with their densities D_k, the densest first; ties: the one whose first token comes first. Section 3, steps 1 and 2.
 *
 * @param connectivity [T].
 * @param cluster [T]: the number of each token's cluster.
 *
 * @example
 * ```ts
 * import { clustersByDensity } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(clustersByDensity([0.5, 1.5, 1], [3, 8, 3]), [{ tokens: [1], density: 1.5 }, { tokens: [0, 2], density: 0.75 }]);
 * ```
 */
export function clustersByDensity(connectivity: ArrayLike<number>, cluster: ArrayLike<number>): DenseCluster[] {
  const tokensOf = new Map<number, number[]>(), mean = sum(connectivity) / connectivity.length;
  for (let t = 0; t < connectivity.length; t++) {
    const tokens = tokensOf.get(cluster[t]!);
    if (tokens) tokens.push(t);
    else tokensOf.set(cluster[t]!, [t]);
  }
  // The division by the mean comes last, so that clusters with equal means of c have equal D.
  const density = (tokens: number[]) => mean === 0 ? 0 : tokens.reduce((total, t) => total + connectivity[t]!, 0) / tokens.length / mean;
  return [...tokensOf.values()].map((tokens) => ({ tokens, density: density(tokens) }))
    .sort((a, b) => b.density - a.density || a.tokens[0]! - b.tokens[0]!);
}

/**
 * P: the shortest prefix of clusters, sorted by density, that holds at least `wanted` tokens. Section 3, step 2.
 *
 * @example
 * ```ts
 * import { clustersByDensity, densestPrefix } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * const clusters = clustersByDensity([0.5, 1.5, 1], [3, 8, 3]);
 * assertEquals([1, 2].map((wanted) => densestPrefix(clusters, wanted).length), [1, 2]);
 * ```
 */
export function densestPrefix(clusters: readonly DenseCluster[], wanted: number): DenseCluster[] {
  let held = 0, size = 0;
  while (held < wanted) held += clusters[size++]!.tokens.length;
  return clusters.slice(0, size);
}

/**
 * The anchors of a response: the ceil(anchorFraction * T) tokens of highest connectivity, or of highest score; ties: the earlier token.
 *
 * @param anchorFraction In per mille.
 *
 * @example
 * ```ts
 * import { anchors } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(anchors([0.1, 0.6, 0.6, 0.2], 500), [1, 2]);
 * ```
 */
export function anchors(connectivity: ArrayLike<number>, anchorFraction: number): number[] {
  return falling(connectivity).slice(0, anchorCount(connectivity.length, anchorFraction));
}

/** Returns the number of anchors of T tokens. `anchorFraction` is in per mille, so that this is exact. */
function anchorCount(T: number, anchorFraction: number): number {
  return Math.ceil(anchorFraction * T / 1000);
}

/** Gives T / n to n tokens and 0 to the others: mean 1. */
function onlyOn(tokens: readonly number[], T: number): Float64Array<ArrayBuffer> {
  const W = new Float64Array(T);
  for (const t of tokens) W[t] = T / tokens.length;
  return W;
}

/** Draws a random number for each token, keyed by seed, prompt, sample and the token's position. */
function draws({ prompt, sample }: ResponseKey, { T, seed }: { T: number; seed: number }): number[] {
  const id = BigInt(prompt), [low, high] = [Number(id & 0xffffffffn), Number(id >> 32n)];
  return Array.from({ length: T }, (_, t) => philox(BigInt(seed), [low, high, sample, t])[0]!);
}

/** Sorts indices by value, the largest first; ties: the lower index. */
function falling(values: ArrayLike<number>): number[] {
  return Array.from(values, (_, i) => i).sort((a, b) => values[b]! - values[a]! || a - b);
}

function sum(values: ArrayLike<number>): number {
  return Array.from(values).reduce((total, x) => total + x, 0);
}
