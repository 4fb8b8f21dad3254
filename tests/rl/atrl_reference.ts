/**
 * The graph of AT-RL in plain float64, from section 2 of docs/method.md, a response at a time: slow, and without regard to how the kernels do it. The weights
 * are defined in rl/credit/plain_weights.ts.
 *
 * @module
 */

/** A response's connectivity and profile. */
export interface Response {
  /** [T] */
  connectivity: ArrayLike<number>;
  /** [T, regions] */
  profile: ArrayLike<number>;
  regions: number;
}

/** Options of the graph; those that are left out have the defaults of AtrlOptions. */
export interface GraphRule {
  neighbours: number;
  adjacency: number;
  neighbourRule?: "union" | "mutual";
  threshold?: number;
  contrast?: number | null;
}

/** Weight of every pair of tokens, before anything is left out: [T, T]. */
export function pairWeights({ connectivity: c, profile, regions }: Response, contrast: number | null = null): Float64Array {
  const n = c.length, mean = new Float64Array(regions), w = new Float64Array(n * n);
  for (let t = 0; t < n; t++) for (let r = 0; r < regions; r++) mean[r]! += profile[t * regions + r]! / n;
  const centred = Array.from({ length: n }, (_, t) => Float64Array.from(mean, (m, r) => profile[t * regions + r]! - m));
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, r) => sum + x * b[r]!, 0);
  const norm = centred.map((x) => Math.sqrt(dot(x, x))), tiny = 1e-6 * Math.sqrt(dot(mean, mean));
  let most = 0, average = 0;
  for (let t = 0; t < n; t++) most = Math.max(most, c[t]!), average += c[t]! / n;
  for (let t = 0; t < n; t++) {
    for (let u = 0; u < t; u++) {
      if (norm[t]! <= tiny || norm[u]! <= tiny || most === 0) continue;
      const cosine = dot(centred[t]!, centred[u]!) / (norm[t]! * norm[u]!);
      w[t * n + u] = w[u * n + t] = Math.max(0, cosine) * Math.sqrt(c[t]! * c[u]!) / most;
      if (contrast !== null) w[t * n + u] = w[u * n + t] = w[t * n + u]! * Math.exp(-Math.abs(c[t]! - c[u]!) / average / contrast);
    }
  }
  return w;
}

/** The graph: integer weights by pair, [T, T], 0 for no edge. */
export function graph(response: Response, options: GraphRule): Float64Array {
  const n = response.connectivity.length, { threshold = 0, contrast = null, neighbourRule = "union" } = options;
  const w = pairWeights(response, contrast), kept = new Float64Array(n * n);
  const picks = Array.from({ length: n }, (_, t) => {
    const exists = Array.from({ length: n }, (_, u) => u).filter((u) => w[t * n + u]! > 0 && w[t * n + u]! >= threshold);
    return new Set(exists.sort((a, b) => w[t * n + b]! - w[t * n + a]! || a - b).slice(0, options.neighbours));
  });
  for (let t = 0; t < n; t++) {
    for (let u = 0; u < n; u++) {
      const sides = Number(picks[t]!.has(u)) + Number(picks[u]!.has(t));
      if (sides === 2 || (sides === 1 && neighbourRule === "union")) kept[t * n + u] = w[t * n + u]!;
    }
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
