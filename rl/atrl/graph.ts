import { Tensor } from "../../tensor/tensor.ts";
import type { Responses } from "../credit/responses.ts";
import { ATRL_DEFAULTS, type AtrlOptions, NEIGHBOUR_RULES } from "./options.ts";

/** The options of a graph. Those that may be left out have the defaults of `ATRL_DEFAULTS`. */
export type GraphOptions =
  & Pick<AtrlOptions, "neighbours" | "adjacency">
  & Partial<Pick<AtrlOptions, "neighbourRule" | "threshold" | "contrast">>;

/** One response's graph on the host, its rows without gaps. */
export interface HostGraph {
  /** [T + 1] */
  rows: Int32Array<ArrayBuffer>;
  /** The other token of each edge, counted from the response's first token. */
  neighbour: Int32Array<ArrayBuffer>;
  /** Similarity * 2^20, rounded. */
  weight: Int32Array<ArrayBuffer>;
}

/**
 * The graphs of packed responses, in device memory: integer weights between tokens that look at the same places (kedge.h, kedge_token_graph).
 *
 * @example
 * ```ts
 * import { Responses, TokenGraph } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [3]);
 * using connectivity = Tensor.from(device, [0.5, 0.5, 0.5]);
 * // Without neighbours by profile, what is left is the chain of tokens.
 * using graph = new TokenGraph(responses, { connectivity, profile: undefined, neighbours: 0, adjacency: 1 });
 * const [{ rows, neighbour }] = graph.read() as [ReturnType<typeof graph.read>[number]];
 * assertEquals([[...rows], [...neighbour]], [[0, 1, 3, 4], [1, 0, 2, 1]]);
 * ```
 */
export class TokenGraph implements Disposable {
  /** i32[tokens, 2] */
  readonly rows: Tensor;
  /** i32[capacity] */
  readonly neighbour: Tensor;
  /** i32[capacity] */
  readonly weight: Tensor;
  /** The largest possible number of edges of a response. */
  readonly maxEdges: number;

  /**
   * Builds the graphs.
   *
   * @param responses The packing.
   * @param given `connectivity`: f32[tokens], the scores; `profile`: f32[tokens, regions], undefined where no prompt has visual tokens; and options.
   */
  constructor(
    readonly responses: Responses,
    given: GraphOptions & { connectivity: Tensor; profile: Tensor | undefined },
  ) {
    const { connectivity, profile, neighbours, adjacency } = given, { device, tokens } = responses;
    const { threshold = ATRL_DEFAULTS.threshold, contrast = ATRL_DEFAULTS.contrast, neighbourRule = ATRL_DEFAULTS.neighbourRule } = given;
    const regions = profile?.cols ?? 0;
    responses.check("connectivity", connectivity, { dtype: "f32" });
    if (profile) responses.check("profile", profile, { dtype: "f32", width: regions });
    const capacity = 2 * (neighbours + 1) * tokens;
    this.maxEdges = 2 * (neighbours + 1) * responses.longest;
    using stack = new DisposableStack();
    this.rows = stack.use(Tensor.empty(device, [tokens, 2], { dtype: "i32" }));
    this.neighbour = stack.use(Tensor.empty(device, [capacity], { dtype: "i32" }));
    this.weight = stack.use(Tensor.empty(device, [capacity], { dtype: "i32" }));
    // deno-fmt-ignore
    device.ops.tokenGraph(
      this.rows.address, this.neighbour.address, this.weight.address, profile && regions > 0 ? profile.address : 0, connectivity.address,
      ...responses.shape, regions, neighbours, adjacency, threshold, contrast ?? 0, NEIGHBOUR_RULES.indexOf(neighbourRule),
    );
    stack.move();
  }

  /** Reads the graphs, one a response. */
  read(): HostGraph[] {
    const { offsets, count } = this.responses;
    const rows = this.rows.toArray(), neighbour = this.neighbour.toArray() as Int32Array<ArrayBuffer>;
    const weight = this.weight.toArray() as Int32Array<ArrayBuffer>;
    return Array.from({ length: count }, (_, i) => {
      const begin = offsets[i]!, n = offsets[i + 1]! - begin, ends = new Int32Array(n + 1);
      for (let t = 0; t < n; t++) ends[t + 1] = ends[t]! + Number(rows[2 * (begin + t) + 1]!) - Number(rows[2 * (begin + t)]!);
      const graph = { rows: ends, neighbour: new Int32Array(ends[n]!), weight: new Int32Array(ends[n]!) };
      for (let t = 0; t < n; t++) {
        const from = Number(rows[2 * (begin + t)]!), to = from + ends[t + 1]! - ends[t]!;
        graph.neighbour.set(neighbour.subarray(from, to), ends[t]!);
        graph.weight.set(weight.subarray(from, to), ends[t]!);
      }
      return graph;
    });
  }

  /** Frees the graphs. */
  [Symbol.dispose](): void {
    for (const tensor of [this.rows, this.neighbour, this.weight]) tensor[Symbol.dispose]();
  }
}
