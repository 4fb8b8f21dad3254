import { basename, join } from "node:path";
import { KedgeError } from "../ffi/errors.ts";
import { ConcatDataset } from "./concat.ts";
import { downloadDataset, type HubOptions, parseHubId } from "./hub/dataset.ts";
import { JsonLinesDataset } from "./json_lines.ts";
import { ParquetDataset, type ParquetOptions } from "./parquet.ts";
import type { Dataset } from "./sample.ts";

/** How to open data: columns, pictures, and the hub. */
export interface OpenOptions extends Omit<ParquetOptions, "name">, HubOptions {}

/** A file, and the prefix of its rows' ids. */
interface Source {
  readonly path: string;
  readonly name: string;
}

const KINDS = /\.(?:jsonl|ndjson|json|parquet)$/iu;

/** Tells by the ending whether a text names a data file instead of a data set of the hub. */
export function isDataFile(spec: string): boolean {
  return KINDS.test(spec);
}

/**
 * Opens files and data sets of the hub. Several are joined one after the other.
 *
 * @param spec Paths that end in .jsonl, .ndjson, .json or .parquet, or ids of the hub as "owner/name" or "owner/name@split".
 * @param options Columns, pictures, and the hub.
 * @throws {KedgeError} `BadData` if one cannot be read or downloaded, or is neither a file nor an id.
 * @throws {RangeError} for no files, and for options out of range.
 *
 * @example
 * ```ts
 * import { openDataset } from "@kedge/kedge/data";
 * import { KedgeError } from "@kedge/kedge/tensor";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(() => openDataset("rows.txt"), KedgeError, "rows.txt");
 * ```
 */
export async function openDataset(spec: string | readonly string[], options: OpenOptions = {}): Promise<Dataset> {
  const specs = typeof spec === "string" ? [spec] : spec;
  const sources = (await Promise.all(specs.map((one) => sourcesOf(one, options)))).flat();
  const names = distinctNames(sources);
  const open = (source: Source, i: number): Promise<Dataset> => {
    const kind = /\.parquet$/iu.test(source.path) ? ParquetDataset : JsonLinesDataset;
    return kind.open(source.path, { ...options, name: names[i]! });
  };
  const datasets = await Promise.all(sources.map(open));
  return datasets.length === 1 ? datasets[0]! : new ConcatDataset(datasets);
}

/** Returns the files that one spec names. */
async function sourcesOf(spec: string, options: OpenOptions): Promise<Source[]> {
  if (isDataFile(spec)) return [{ path: spec, name: basename(spec) }];
  const id = parseHubId(spec), there = await Deno.stat(spec).then(() => true, () => false);
  if (id === undefined || there) {
    const words = there ? "name the files in it" : "it is neither a .jsonl, .ndjson, .json or .parquet file nor an owner/name of the hub";
    throw new KedgeError("BadData", `Cannot open the data ${spec}: ${words}`, { spec });
  }
  const { folder, files } = await downloadDataset(id, options);
  return files.map((file) => ({ path: join(folder, file), name: `${id.repo}/${file}` }));
}

/** Returns a distinct name for each file: its own, or its whole path if another has the same name. */
function distinctNames(sources: readonly Source[]): string[] {
  const paths = new Set(sources.map(({ path }) => path));
  if (paths.size < sources.length) {
    const twice = sources.find(({ path }, i) => sources.findIndex((other) => other.path === path) < i)!;
    throw new RangeError(`Cannot open ${twice.path} twice: its rows would share their ids`);
  }
  return sources.map(({ path, name }) => sources.filter((other) => other.name === name).length > 1 ? path : name);
}
