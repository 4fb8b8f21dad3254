/**
 * Downloads data sets of the Hugging Face hub, once, into a folder.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { downloadFile, fileDownloadInfo, listFiles } from "@huggingface/hub";
import { KedgeError } from "../../ffi/errors.ts";
import { isBelow } from "../file_ranges.ts";
import { credentials, type HubAccess, hubFetch, hubSettings, whyNot } from "./settings.ts";

/** The source and the destination of downloads. */
export interface HubOptions extends HubAccess {
  /** The folder for downloads. Default: ".cache/hub". */
  readonly cacheDir?: string;
  /** A branch, tag or commit. Default: "main". */
  readonly revision?: string;
}

/** A data set's id, and the requested split. */
export interface HubId {
  /** The repository, as "owner/name". */
  readonly repo: string;
  /** The split: "train" in "owner/name@train". */
  readonly split: string | undefined;
}

/** The files of a downloaded data set. */
export interface Download {
  /** The folder of the data set. */
  readonly folder: string;
  /** The data files, relative to the folder, in alphabetical order. */
  readonly files: readonly string[];
}

const ROWS = /\.(?:parquet|jsonl|ndjson|json)$/iu, PICTURES = /\.(?:jpe?g|png|webp|gif|mp4|mov|mkv|webm|avi)$/iu;
const AT_ONCE = 4; // the number of simultaneous downloads

/**
 * Splits "owner/name" or "owner/name@split" into its parts.
 *
 * @returns undefined if the text is not such an id.
 * @example
 * ```ts
 * import { parseHubId } from "@kedge/kedge/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseHubId("owner/name@train"), { repo: "owner/name", split: "train" });
 * assertEquals(parseHubId("owner/name"), { repo: "owner/name", split: undefined });
 * assertEquals(parseHubId("./data/rows"), undefined);
 * ```
 */
export function parseHubId(id: string): HubId | undefined {
  const match = /^(\w[\w.-]{0,95}\/\w[\w.-]{0,95})(?:@(\w[\w.-]{0,95}))?$/u.exec(id);
  return match === null ? undefined : { repo: match[1]!, split: match[2] };
}

/**
 * Selects the files of a split: the Parquet files that are named after it or lie in a folder named after it, or else the JSON files.
 *
 * @param paths All files of the repository.
 * @param split The split. If it is undefined, "train" is used if it exists, else all files.
 * @returns The paths, sorted; none if the split has no files.
 * @example
 * ```ts
 * import { filesOfSplit } from "./dataset.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const paths = ["README.md", "data/train-00001.parquet", "data/train-00000.parquet", "data/test-00000.parquet", "train.jsonl"];
 * assertEquals(filesOfSplit(paths, "test"), ["data/test-00000.parquet"]);
 * assertEquals(filesOfSplit(paths, undefined), ["data/train-00000.parquet", "data/train-00001.parquet"]);
 * assertEquals(filesOfSplit(paths, "dev"), []);
 * ```
 */
export function filesOfSplit(paths: readonly string[], split: string | undefined): string[] {
  const about = /(?:^|\/)(?:(?:dataset_infos|dataset_dict|state|config|metadata)\.json$|\.)/u;
  const rows = paths.filter((path) => ROWS.test(path) && !about.test(path));
  const named = (name: string) => rows.filter((path) => new RegExp(`(?:^|[/._-])${name.replaceAll(".", "\\.")}[/.-]`, "u").test(path));
  const chosen = split !== undefined ? named(split) : named("train").length > 0 ? named("train") : rows;
  const parquet = chosen.filter((path) => /\.parquet$/iu.test(path));
  return (parquet.length > 0 ? parquet : chosen).toSorted();
}

/**
 * Downloads a data set if it is not in the cache: its data files, and the pictures beside JSON rows. Files in the cache are used without
 * asking the hub.
 *
 * @param id The data set and its split.
 * @param options The source and the destination.
 * @throws {KedgeError} `BadData` if the hub cannot be reached or has no such data set, or if the data set has no rows that can be read.
 * @example
 * ```ts
 * import { downloadDataset } from "@kedge/kedge/data";
 * import { assertEquals } from "@std/assert";
 *
 * // A data set in the cache is used without asking the hub.
 * const cacheDir = Deno.makeTempDirSync(), folder = `${cacheDir}/datasets/owner/name/main`;
 * Deno.mkdirSync(folder, { recursive: true });
 * Deno.writeTextFileSync(`${folder}/.files@train.json`, '["train.jsonl"]');
 * assertEquals(await downloadDataset({ repo: "owner/name", split: "train" }, { cacheDir }), { folder, files: ["train.jsonl"] });
 * Deno.removeSync(cacheDir, { recursive: true });
 * ```
 */
export async function downloadDataset(id: HubId, options: HubOptions = {}): Promise<Download> {
  const { cacheDir = ".cache/hub", revision = "main" } = options, { hubUrl, accessToken, offline } = hubSettings(options);
  if (!/^(?!\.{1,2}$).{1,96}$/u.test(revision)) throw cannotGet(id, `${JSON.stringify(revision)} is not a revision`);
  if (!parseHubId(id.split === undefined ? id.repo : `${id.repo}@${id.split}`)) throw cannotGet(id, "it is not owner/name");
  const folder = join(cacheDir, "datasets", id.repo, encodeURIComponent(revision));
  const done = join(folder, `.files${id.split === undefined ? "" : `@${id.split}`}.json`);
  const files = readList(done);
  if (files !== undefined) return { folder, files };
  if (offline) throw cannotGet(id, `it is not in ${folder}, and HF_HUB_OFFLINE keeps it from being fetched`);
  const repo = { type: "dataset", name: id.repo } as const,
    shared = { repo, revision, hubUrl, fetch: hubFetch(hubUrl), ...credentials(accessToken) };
  try {
    const entries = await Array.fromAsync(listFiles({ ...shared, recursive: true }));
    const paths = entries.filter(({ type, path }) => type === "file" && isBelow(folder, join(folder, path))).map(({ path }) => path);
    const files = filesOfSplit(paths, id.split);
    if (files.length === 0) {
      const rows = paths.filter((path) => ROWS.test(path)), has = rows.slice(0, 8).join(", ") || "no Parquet, JSONL or JSON file";
      throw cannotGet(id, `it has no rows${id.split === undefined ? "" : ` of the split ${id.split}`}; it has ${has}`);
    }
    const pictures = files.every((path) => path.endsWith(".parquet")) ? [] : paths.filter((path) => PICTURES.test(path));
    const left = [...files, ...pictures].values();
    const work = async (): Promise<void> => {
      const { value: path, done: all } = left.next();
      if (all) return;
      await save(join(folder, path), () => blobOf({ ...shared, path }));
      return work();
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    await Deno.writeTextFile(done, JSON.stringify(files));
    return { folder, files };
  } catch (error) {
    if (error instanceof KedgeError) throw error;
    throw cannotGet(id, whyNot(error, hubUrl), error);
  }
}

/** Returns the files of an earlier download. */
function readList(path: string): string[] | undefined {
  try {
    return JSON.parse(Deno.readTextFileSync(path)) as string[];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Opens a file of the hub. Its bytes are fetched later. */
async function blobOf(file: Parameters<typeof fileDownloadInfo>[0]): Promise<Blob | null> {
  // The client requests the first byte to learn the size, and never reads it.
  const probes: Response[] = [];
  const probe: typeof fetch = async (input, init) => {
    const response = await file.fetch!(input, init);
    probes.push(response);
    return response;
  };
  try {
    const downloadInfo = await fileDownloadInfo({ ...file, fetch: probe });
    return downloadInfo && await downloadFile({ ...file, downloadInfo });
  } finally {
    await Promise.all(probes.map((response) => response.bodyUsed ? undefined : response.body?.cancel()));
  }
}

/** Writes a file atomically. An existing file is complete. */
async function save(path: string, get: () => Promise<Blob | null>): Promise<void> {
  if (await Deno.stat(path).then(() => true, () => false)) return;
  const blob = await get();
  if (blob === null) throw new Error(`the hub lists ${path} and does not have it`);
  await Deno.mkdir(dirname(path), { recursive: true });
  const part = `${path}.${crypto.randomUUID()}.part`;
  try {
    await Deno.writeFile(part, blob.stream());
    const { size } = await Deno.stat(part);
    if (size !== blob.size) throw new Error(`only ${size} of ${blob.size} bytes of ${path} arrived`);
    await Deno.rename(part, path);
  } catch (error) {
    await Deno.remove(part).catch(() => {});
    throw error;
  }
}

function cannotGet(id: HubId, words: string, cause?: unknown): KedgeError {
  return new KedgeError("BadData", `Cannot get the data set ${id.repo}: ${words}`, { repo: id.repo, split: id.split }, { cause });
}
