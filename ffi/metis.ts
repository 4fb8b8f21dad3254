/**
 * libmetis, if there is one, as another partitioner of graphs (Karypis & Kumar, SIAM J. Sci. Comput. 20, 1998).
 *
 * @module
 */
import { KedgeError } from "./errors.ts";
import { type Foreign, loadLibrary } from "./load.ts";

/** A graph of n vertices in compressed rows; every edge is in both its rows. */
interface MetisGraph {
  /** [n + 1]: vertex v has the edges [rows[v], rows[v + 1]). */
  rows: ArrayLike<number>;
  /** The other end of each edge. */
  neighbour: ArrayLike<number>;
  /** The weight of each edge, above 0. The weights are integers whose sum is a safe integer. */
  weight: ArrayLike<number>;
}

/** Options of {@linkcode Metis.partition}. */
interface MetisOptions {
  /** Clusters to make, 2 or more. */
  clusters: number;
  /** How much larger than the mean a cluster may be, in per mille. METIS does not guarantee it. */
  imbalance: number;
  /** Seed, an integer in [0, 2^31): equal seeds give equal results. */
  seed: number;
}

/** A loaded libmetis. */
export interface Metis {
  /** The name or path by which it was loaded. */
  readonly path: string;
  /** Bits of its integers. */
  readonly bits: 32 | 64;
  /**
   * Partitions a graph with METIS_PartGraphKway, minimising the edge cut. Weights whose sum would overflow its integers are given with fewer bits.
   * @returns [n]: the cluster of each vertex, as METIS numbers them.
   * @throws {KedgeError} `Unsupported` if METIS refuses.
   */
  partition(graph: MetisGraph, options: MetisOptions): Int32Array<ArrayBuffer>;
}

const FILES = Deno.build.os === "darwin"
  ? ["libmetis.dylib", "/opt/homebrew/opt/metis/lib/libmetis.dylib", "/usr/local/opt/metis/lib/libmetis.dylib"]
  : ["libmetis.so.5", "libmetis.so"];
/** The functions that are bound. */
export const METIS_SYMBOLS = {
  METIS_SetDefaultOptions: { parameters: ["buffer"], result: "i32" },
  METIS_PartGraphKway: { parameters: new Array<"buffer">(13).fill("buffer"), result: "i32" },
} as const;
const OPTIONS = 40, OK = 1;
const ERRORS: Readonly<Record<number, string>> = { [-2]: "it calls an input wrong", [-3]: "it has no memory", [-4]: "an error of its own" };
/** Places of options in the array, by release. */
interface Places {
  seed: number;
  ufactor: number;
}

/** `idx_t` arrays of the library's width. */
type Indices = Int32Array<ArrayBuffer> | BigInt64Array<ArrayBuffer>;

class LoadedMetis implements Metis {
  readonly bits: 32 | 64;
  readonly #places: Places;
  readonly #defaults: Foreign;
  readonly #kway: Foreign;

  constructor(readonly path: string) {
    const library = loadLibrary(path, METIS_SYMBOLS);
    this.#defaults = library.METIS_SetDefaultOptions!;
    this.#kway = library.METIS_PartGraphKway!;
    // It sets 40 of its integers to -1.
    const probe = new Uint8Array(8 * OPTIONS);
    this.#defaults(probe);
    const set = probe.findIndex((byte) => byte !== 0xff);
    if (set !== 4 * OPTIONS && set !== -1) {
      throw new KedgeError("Unsupported", `Cannot use ${path}: METIS_SetDefaultOptions writes ${set} bytes, METIS 5 writes 160 or 320`, {
        path,
      });
    }
    this.bits = set === -1 ? 64 : 32;
    // 5.2 has a new option at place 6. There place 17 is the imbalance, which must not be 0; in 5.0 and 5.1 it is the number of the first vertex.
    const graph = { rows: [0, 1, 2], neighbour: [1, 0], weight: [1, 1] };
    const older = this.#call(graph, 2, new Map([[17, 0]])).code === OK;
    this.#places = older ? { seed: 8, ufactor: 16 } : { seed: 9, ufactor: 17 };
  }

  partition(graph: MetisGraph, { clusters, imbalance, seed }: MetisOptions): Int32Array<ArrayBuffer> {
    const n = graph.rows.length - 1;
    if (!(n >= 1 && Number.isSafeInteger(clusters) && clusters >= 2 && clusters <= n)) {
      throw new RangeError(`Cannot partition ${n} vertices into ${clusters} clusters`);
    }
    const { code, part } = this.#call(graph, clusters, new Map([[this.#places.ufactor, imbalance], [this.#places.seed, seed]]));
    if (code !== OK) {
      throw new KedgeError(
        "Unsupported",
        `Cannot partition ${n} vertices into ${clusters} clusters with ${this.path}: ${ERRORS[code] ?? code}`,
      );
    }
    return Int32Array.from(part as ArrayLike<number | bigint>, Number);
  }

  #call(graph: MetisGraph, clusters: number, chosen: ReadonlyMap<number, number>): { code: number; part: Indices } {
    const n = graph.rows.length - 1, options = this.#indices(new Array(OPTIONS).fill(-1)), part = this.#indices(new Array(n).fill(0));
    for (const [place, value] of chosen) {
      if (options instanceof Int32Array) options[place] = value;
      else options[place] = BigInt(value);
    }
    const weights = this.bits === 32 ? narrowed(graph.weight) : graph.weight;
    // deno-fmt-ignore
    const code = Number(this.#kway(
      this.#indices([n]), this.#indices([1]), this.#indices(graph.rows), this.#indices(graph.neighbour), null, null, this.#indices(weights),
      this.#indices([clusters]), null, null, options, this.#indices([0]), part,
    ));
    return { code, part };
  }

  #indices(values: ArrayLike<number>): Indices {
    return this.bits === 32 ? Int32Array.from(values) : BigInt64Array.from(Array.from(values, BigInt));
  }
}

/** Weights with so few bits that sums over a whole graph stay below 2^31; none becomes 0. */
function narrowed(weight: ArrayLike<number>): ArrayLike<number> {
  let sum = 0, factor = 1;
  for (let e = 0; e < weight.length; e++) sum += weight[e]!;
  while (sum * factor + weight.length >= 2 ** 30) factor /= 2;
  return factor === 1 ? weight : Float64Array.from(weight, (w) => Math.max(1, Math.floor(w * factor)));
}

let opened: Metis | undefined;

/**
 * The system's libmetis, of version 5, with integers of 32 or 64 bits.
 *
 * @throws {KedgeError} `Unsupported` if there is none; the message says how to install it.
 *
 * @example
 * ```ts
 * import { openMetis } from "./metis.ts";
 * import { KedgeError } from "@kedge/kedge/tensor";
 * import { assert, assertEquals } from "@std/assert";
 *
 * try {
 *   const two = { rows: [0, 1, 2, 3, 4], neighbour: [1, 0, 3, 2], weight: [5, 5, 5, 5] };
 *   const part = openMetis().partition(two, { clusters: 2, imbalance: 200, seed: 1 });
 *   assertEquals([part[0] === part[1], part[2] === part[3]], [true, true]);
 * } catch (error) {
 *   assert(error instanceof KedgeError && error.code === "Unsupported"); // not installed
 * }
 * ```
 */
export function openMetis(): Metis {
  if (opened) return opened;
  const refused: string[] = [];
  for (const file of FILES) {
    try {
      return opened = new LoadedMetis(file);
    } catch (error) {
      if (error instanceof KedgeError) throw error;
      refused.push((error as Error).message);
    }
  }
  const how = Deno.build.os === "darwin" ? "brew install metis" : "apt-get install libmetis5 (Debian, Ubuntu), dnf install metis (Fedora)";
  throw new KedgeError("Unsupported", `Cannot load libmetis: ${refused.join("; ")}. Install it: ${how}; or choose the method "kway"`);
}
