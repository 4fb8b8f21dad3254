import type { HostGraph } from "./graph.ts";

/** A graph whose nodes stand for one token or for several. */
interface Level {
  /** [n + 1] */
  rows: ArrayLike<number>;
  /** The other node of each edge; every edge is in both its rows, and no node is its own neighbour. */
  neighbour: ArrayLike<number>;
  weight: ArrayLike<number>;
  /** [n]: the sum of a node's edges, and twice those between the tokens that it stands for. */
  degree: Float64Array;
}

/**
 * Clusters one response's graph by greedy modularity: Louvain's local moving and aggregation with resolution 1 (Blondel et al., arXiv 0803.0476). Nodes are visited
 * in their order. A node moves only where modularity rises; of equal communities it takes the lower number. Clusters are numbered by their first tokens.
 *
 * All arithmetic is in integers: sums of weights are exact below 2^53, and their products, up to 2^106, are compared exactly.
 */
export function modularityClusters(graph: HostGraph): Int32Array<ArrayBuffer> {
  const n = graph.rows.length - 1, degree = new Float64Array(n);
  for (let t = 0; t < n; t++) for (let e = graph.rows[t]!; e < graph.rows[t + 1]!; e++) degree[t]! += graph.weight[e]!;
  const total = degree.reduce((sum, d) => sum + d, 0);
  let level: Level = { ...graph, degree }, cluster = Int32Array.from(degree, (_, t) => t);
  for (;;) {
    const { community, count } = numbered(movedNodes(level, total));
    cluster = cluster.map((node) => community[node]!);
    if (count === level.degree.length) return cluster;
    level = aggregated(level, community, count);
  }
}

/** Moves nodes, at first a community each, between communities until no move raises modularity. Returns each node's community. */
function movedNodes({ rows, neighbour, weight, degree }: Level, total: number): Int32Array<ArrayBuffer> {
  const n = degree.length, community = Int32Array.from(degree, (_, i) => i), degrees = degree.slice();
  const links = new Float64Array(n); // the weight between the node and each community
  for (let moved = true; moved;) {
    moved = false;
    for (let i = 0; i < n; i++) {
      const own = community[i]!, near = [own];
      for (let e = rows[i]!; e < rows[i + 1]!; e++) {
        const c = community[neighbour[e]!]!;
        if (links[c] === 0 && c !== own) near.push(c);
        links[c]! += weight[e]!;
      }
      degrees[own]! -= degree[i]!;
      // What node i adds to modularity in community c, times total^2 / 2: total * links[c] - degree[i] * degrees[c].
      let best = own;
      for (const c of near) {
        const more = signOfDifference(total, links[c]! - links[best]!, degree[i]!, degrees[c]! - degrees[best]!);
        if (more > 0 || (more === 0 && best !== own && c < best)) best = c;
      }
      degrees[best]! += degree[i]!;
      for (const c of near) links[c] = 0;
      if (best === own) continue;
      community[i] = best;
      moved = true;
    }
  }
  return community;
}

/** The sign of a * b - c * d, for integers below 2^53. */
function signOfDifference(a: number, b: number, c: number, d: number): number {
  const left = a * b, right = c * d, about = left - right;
  if (Math.abs(about) > (Math.abs(left) + Math.abs(right)) * 2 ** -50) return Math.sign(about);
  const exact = BigInt(a) * BigInt(b) - BigInt(c) * BigInt(d);
  return exact > 0n ? 1 : exact < 0n ? -1 : 0;
}

/** Numbers communities from 0 by their first nodes. */
export function numbered(community: Int32Array<ArrayBuffer>): { community: Int32Array<ArrayBuffer>; count: number } {
  const numbers = new Map<number, number>();
  const renamed = community.map((c) => {
    if (!numbers.has(c)) numbers.set(c, numbers.size);
    return numbers.get(c)!;
  });
  return { community: renamed, count: numbers.size };
}

/** The graph whose nodes are the communities of a graph. */
function aggregated({ rows, neighbour, weight, degree }: Level, community: Int32Array, count: number): Level {
  const links = Array.from({ length: count }, () => new Map<number, number>()), sums = new Float64Array(count);
  degree.forEach((d, i) => {
    const c = community[i]!, own = links[c]!;
    sums[c]! += d;
    for (let e = rows[i]!; e < rows[i + 1]!; e++) {
      const other = community[neighbour[e]!]!;
      if (other !== c) own.set(other, (own.get(other) ?? 0) + weight[e]!);
    }
  });
  const ends = [0];
  for (const own of links) ends.push(ends.at(-1)! + own.size);
  return {
    rows: ends,
    neighbour: links.flatMap((own) => [...own.keys()]),
    weight: links.flatMap((own) => [...own.values()]),
    degree: sums,
  };
}
