/**
 * Packed responses for the tests of AT-RL's ops.
 *
 * @module
 */
import type { Address } from "../../ffi/address.ts";
import { gaze } from "../rl/gaze.ts";
import type { OpRun } from "./harness.ts";

/** Responses one after another, on the host. */
export interface Packed {
  offsets: Int32Array<ArrayBuffer>;
  connectivity: Float32Array<ArrayBuffer>;
  profile: Float32Array<ArrayBuffer>;
  regions: number;
}

/** Packs responses made by {@linkcode gaze}. */
export function packed(run: OpRun, lengths: readonly number[], regions = 64): Packed {
  const all = lengths.map((tokens) => gaze(run.random, { tokens, regions: regions || 1 }));
  return {
    offsets: offsetsOf(lengths),
    connectivity: Float32Array.from(all.flatMap(({ connectivity }) => [...connectivity])),
    profile: Float32Array.from(regions === 0 ? [] : all.flatMap(({ profile }) => [...profile])),
    regions,
  };
}

/** Returns where packed responses of these lengths begin, and the end. */
export function offsetsOf(lengths: readonly number[]): Int32Array<ArrayBuffer> {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((n, i) => offsets[i + 1] = offsets[i]! + n);
  return offsets;
}

/** The responses in another order. */
export function permuted(given: Packed, order: readonly number[]): Packed {
  const { offsets, regions } = given;
  const cut = (values: Float32Array<ArrayBuffer>, width: number) =>
    Float32Array.from(order.flatMap((i) => [...values.subarray(offsets[i]! * width, offsets[i + 1]! * width)]));
  return {
    offsets: offsetsOf(order.map((i) => offsets[i + 1]! - offsets[i]!)),
    connectivity: cut(given.connectivity, 1),
    profile: cut(given.profile, regions),
    regions,
  };
}

/** The longest response. */
export function longest(offsets: Int32Array): number {
  let most = 0;
  for (let i = 1; i < offsets.length; i++) most = Math.max(most, offsets[i]! - offsets[i - 1]!);
  return most;
}

/** A graph in device memory and what it is read into. */
export interface DeviceGraph {
  rows: Address;
  neighbour: Address;
  weight: Address;
  capacity: number;
  /** An upper bound on the edges of one response. */
  maxEdges: number;
}

/** Options of the op, as kedge.h has them. */
export interface GraphCase {
  neighbours?: number;
  adjacency?: number;
  threshold?: number;
  /** 0: none. */
  contrast?: number;
  mutual?: boolean;
}

/** Runs the op. */
export function makeGraph(run: OpRun, given: Packed, options: GraphCase = {}): DeviceGraph {
  const { neighbours = 8, adjacency = 0.1, threshold = 0, contrast = 0, mutual = false } = options,
    tokens = given.connectivity.length,
    n = given.offsets.length - 1;
  const capacity = 2 * (neighbours + 1) * tokens, max = longest(given.offsets);
  const graph = {
    rows: run.output(2 * tokens, { dtype: "i32" }),
    neighbour: run.output(capacity, { dtype: "i32" }),
    weight: run.output(capacity, { dtype: "i32" }),
    capacity,
    maxEdges: 2 * (neighbours + 1) * max,
  };
  const profile = run.input(given.profile, { dtype: "f32" }).address,
    connectivity = run.input(given.connectivity, { dtype: "f32" }).address;
  // deno-fmt-ignore
  run.device.ops.tokenGraph(
    graph.rows, graph.neighbour, graph.weight, profile, connectivity, run.integers(given.offsets), n, tokens, max, given.regions, neighbours, adjacency, threshold,
    contrast, mutual ? 1 : 0,
  );
  return graph;
}

/** The edges of each token: [neighbour, weight], in order. Fails where a row is not as kedge.h says. */
export function readGraph(run: OpRun, graph: DeviceGraph, offsets: Int32Array): [number, number][][] {
  const tokens = offsets.at(-1)!, perToken = graph.capacity / Math.max(1, tokens);
  const rows = run.read(graph.rows, 2 * tokens, "i32"), neighbour = run.read(graph.neighbour, graph.capacity, "i32");
  const weight = run.read(graph.weight, graph.capacity, "i32"), edges: [number, number][][] = [];
  for (let i = 0; i + 1 < offsets.length; i++) {
    let least = offsets[i]! * perToken;
    for (let t = offsets[i]!; t < offsets[i + 1]!; t++) {
      const begin = rows[2 * t]!, end = rows[2 * t + 1]!;
      if (!(begin >= least && end >= begin && end <= offsets[i + 1]! * perToken)) throw new Error(`Row ${t} is [${begin}, ${end})`);
      least = end;
      const row = Array.from({ length: end - begin }, (_, k) => [neighbour[begin + k]!, weight[begin + k]!] as [number, number]);
      row.forEach(([u, w], k) => {
        const inside = u >= 0 && u < offsets[i + 1]! - offsets[i]! && u !== t - offsets[i]!;
        if (!(inside && w > 0 && (k === 0 || u > row[k - 1]![0]))) throw new Error(`Row ${t}: ${row}`);
      });
      edges.push(row);
    }
  }
  return edges;
}

/** All of a graph that is defined, as text: for comparisons. */
export function graphText(run: OpRun, graph: DeviceGraph, offsets: Int32Array): string[] {
  return readGraph(run, graph, offsets).map((row) => row.join(" "));
}
