/**
 * AT-RL in plain float64, from docs/method.md, a response at a time: slow, and without regard to how the kernels do it.
 *
 * @module
 */
import { philox } from "./philox.ts";

/** A response's connectivity and profile. */
export interface Response {
  /** [T] */
  connectivity: ArrayLike<number>;
  /** [T, regions] */
  profile: ArrayLike<number>;
  regions: number;
}

/** Weight of every pair of tokens, before anything is left out: [T, T]. */
export function pairWeights({ connectivity: c, profile, regions }: Response): Float64Array {
  const n = c.length, mean = new Float64Array(regions), w = new Float64Array(n * n);
  for (let t = 0; t < n; t++) for (let r = 0; r < regions; r++) mean[r]! += profile[t * regions + r]! / n;
  const centred = Array.from({ length: n }, (_, t) => Float64Array.from(mean, (m, r) => profile[t * regions + r]! - m));
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, r) => sum + x * b[r]!, 0);
  const norm = centred.map((x) => Math.sqrt(dot(x, x))), tiny = 1e-6 * Math.sqrt(dot(mean, mean));
  let most = 0;
  for (let t = 0; t < n; t++) most = Math.max(most, c[t]!);
  for (let t = 0; t < n; t++) {
    for (let u = 0; u < t; u++) {
      if (norm[t]! <= tiny || norm[u]! <= tiny || most === 0) continue;
      const cosine = dot(centred[t]!, centred[u]!) / (norm[t]! * norm[u]!);
      w[t * n + u] = w[u * n + t] = Math.max(0, cosine) * Math.sqrt(c[t]! * c[u]!) / most;
    }
  }
  return w;
}

/** The graph: integer weights by pair, [T, T], 0 for no edge. */
export function graph(response: Response, options: { neighbours: number; adjacency: number }): Float64Array {
  const n = response.connectivity.length, w = pairWeights(response), kept = new Float64Array(n * n);
  for (let t = 0; t < n; t++) {
    const order = Array.from({ length: n }, (_, u) => u).filter((u) => w[t * n + u]! > 0).sort((a, b) =>
      w[t * n + b]! - w[t * n + a]! || a - b
    );
    for (const u of order.slice(0, options.neighbours)) kept[t * n + u] = kept[u * n + t] = w[t * n + u]!;
  }
  for (let t = 0; t + 1 < n; t++) {
    kept[t * n + t + 1]! += options.adjacency;
    kept[(t + 1) * n + t]! += options.adjacency;
  }
  return kept.map((x) => Math.round(x * 2 ** 20));
}

/** Clusters that a response of `n` tokens is cut into. */
export function clusterCount(n: number, clusterSize: number): number {
  return n < 4 ? Math.min(n, 1) : Math.min(64, Math.max(2, Math.round(n / clusterSize)));
}

/** Tokens that a cluster may hold, `imbalance` in per mille. */
export function clusterBound(n: number, k: number, imbalance: number): number {
  return Math.floor((1000 + imbalance) * Math.ceil(n / k) / 1000);
}

/** Weight of the edges between clusters. */
export function edgeCut(weights: Float64Array, cluster: ArrayLike<number>): number {
  const n = cluster.length;
  let cut = 0;
  for (let t = 0; t < n; t++) for (let u = 0; u < t; u++) if (cluster[t] !== cluster[u]) cut += weights[t * n + u]!;
  return cut;
}

/** Options of {@linkcode tokenWeights}. */
export interface WeightOptions {
  mode: "off" | "soft" | "hard" | "low" | "random";
  anchorPermille: number;
  wMin: number;
  wMax: number;
  temperature: number;
  normalise: boolean;
  visual?: boolean;
  seed?: bigint;
  /** Prompt's id (64 bits) and sample. */
  key?: { prompt: bigint; sample: number };
}

/** Indices by value falling, ties to the lower index. */
const falling = (x: ArrayLike<number>) => Array.from({ length: x.length }, (_, i) => i).sort((a, b) => x[b]! - x[a]! || a - b);

/** Computes the weights of a response by section 3. */
export function tokenWeights(
  c: ArrayLike<number>,
  cluster: ArrayLike<number>,
  o: WeightOptions,
): { weight: Float64Array; anchor: boolean[]; pure: boolean[] } {
  const n = c.length, ones = new Float64Array(n).fill(1), nothing = new Array<boolean>(n).fill(false);
  if (o.visual === false) return { weight: ones, anchor: nothing, pure: nothing };
  const mean = Array.from(c).reduce((a, b) => a + b, 0) / n, wanted = Math.ceil(o.anchorPermille * n / 1000);
  const clusters = new Map<number, number[]>();
  for (let t = 0; t < n; t++) clusters.set(cluster[t]!, [...clusters.get(cluster[t]!) ?? [], t]);
  // The mean of c / mean, divided last, so that clusters of equal means are equal here too.
  const list = [...clusters.values()].map((tokens) => ({
    tokens,
    density: mean === 0 ? 0 : tokens.reduce((a, t) => a + c[t]!, 0) / tokens.length / mean,
  }));
  list.sort((a, b) => b.density - a.density || a.tokens[0]! - b.tokens[0]!);
  let prefix = 0, held = 0;
  while (held < wanted) held += list[prefix++]!.tokens.length;
  const inside = list.slice(0, prefix), outside = list.slice(prefix);
  const pure = nothing.slice();
  for (const { tokens } of inside) for (const t of tokens) pure[t] = true;
  const anchors = falling(c).slice(0, wanted), anchor = nothing.slice();
  for (const t of anchors) anchor[t] = true;
  const only = (tokens: number[]) => {
    const weight = new Float64Array(n);
    for (const t of tokens) weight[t] = n / tokens.length;
    return { weight, anchor, pure };
  };
  if (o.mode === "off") return { weight: ones, anchor, pure };
  if (o.mode === "hard") return only(anchors);
  if (o.mode === "low") return only(falling(Array.from(c, (x) => -x)).slice(0, Math.max(1, Math.floor(n / 2))));
  if (o.mode === "random") {
    const { prompt, sample } = o.key!, seed = o.seed!;
    const draws = Array.from({ length: n }, (_, t) => philox(seed, [Number(prompt & 0xffffffffn), Number(prompt >> 32n), sample, t])[0]!);
    return only(falling(draws).slice(0, wanted));
  }
  const spread = Math.max(...Array.from(c)) - Math.min(...Array.from(c));
  const densities = list.map(({ density }) => density), spreadD = Math.max(...densities) - Math.min(...densities);
  if (spread <= 1e-6 * mean || mean === 0 || list.length === 1 || spreadD <= 1e-6) return { weight: ones, anchor, pure };
  const lowest = inside.at(-1)!.density, theta = outside.length > 0 ? (lowest + outside[0]!.density) / 2 : lowest;
  const weight = new Float64Array(n);
  for (const { tokens, density } of list) {
    for (const t of tokens) weight[t] = o.wMin + (o.wMax - o.wMin) / (1 + Math.exp(-(density - theta) / o.temperature));
  }
  const average = weight.reduce((a, b) => a + b, 0) / n;
  return { weight: o.normalise ? weight.map((x) => x / average) : weight, anchor, pure };
}
