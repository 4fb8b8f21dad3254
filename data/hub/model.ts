/**
 * Downloads models of the hub into the cache that other programs share (models--owner--name/{blobs,refs,snapshots}).
 *
 * @module
 */
import { dirname, join, resolve } from "node:path";
import { listFiles, modelInfo } from "@huggingface/hub";
import { KedgeError } from "../../ffi/errors.ts";
import { credentials, type HubAccess, hubFetch, type HubSettings, hubSettings, statusOf, whyNot } from "./settings.ts";
import { BadFile, fetchFile, sizeOf } from "./transfer.ts";

/** A model's id, and the requested revision. */
export interface ModelId {
  /** The repository, as "owner/name". */
  readonly repo: string;
  /** A branch, tag or commit. Default: "main". */
  readonly revision: string;
}

/** How to find and fetch a model. */
export interface ModelOptions extends HubAccess {
  /** The cache. Default: HF_HUB_CACHE, else `hub` in HF_HOME, else ~/.cache/huggingface/hub. */
  readonly cacheDir?: string;
  /** A commit that replaces the revision, for a resumed run. */
  readonly commit?: string;
  /** Is called with what is being fetched, and with the progress. */
  readonly onNote?: (words: string) => void;
}

/** The folder of a model that was found. */
export interface FoundModel {
  /** The folder with config.json, weights and tokenizer. */
  readonly folder: string;
  /** The commit, for a model of the hub. */
  readonly commit?: string;
}

const COMMIT = /^[0-9a-f]{40}$/u, WANTED = /^[^/]+\.(?:json|safetensors|txt|model|jinja)$/u, OID = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/u;
const ADAPTER_FILES: readonly string[] = ["adapter_config.json", "adapter_model.safetensors"];
const AT_ONCE = 4; // the number of simultaneous downloads

/**
 * Splits "owner/name" or "owner/name@revision" into its parts.
 *
 * @returns undefined if the text is not such an id.
 * @example
 * ```ts
 * import { parseModelId } from "@kedge/kedge/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseModelId("Qwen/Qwen2.5-VL-3B-Instruct"), { repo: "Qwen/Qwen2.5-VL-3B-Instruct", revision: "main" });
 * assertEquals(parseModelId("owner/name@v1.0")?.revision, "v1.0");
 * assertEquals([parseModelId("./owner/name"), parseModelId("runs/a/checkpoints"), parseModelId("name")], [undefined, undefined, undefined]);
 * ```
 */
export function parseModelId(id: string): ModelId | undefined {
  const match = /^(\w[\w.-]*\/\w[\w.-]*)(?:@(\w[\w./-]*))?$/u.exec(id);
  return match === null || match[0].includes("..") ? undefined : { repo: match[1]!, revision: match[2] ?? "main" };
}

/**
 * Finds a model on this machine: a folder of that name, or a model of the hub in the cache. It does not use the network.
 *
 * @returns undefined if the model is not on this machine.
 * @example
 * ```ts
 * import { findModel } from "@kedge/kedge/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync();
 * assertEquals([findModel(folder)?.folder, findModel("owner/name", { cacheDir: folder })], [folder, undefined]);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function findModel(path: string, options: ModelOptions = {}): FoundModel | undefined {
  if (isFolder(path)) return { folder: path };
  const id = parseModelId(path);
  if (id === undefined) return undefined;
  const cache = cacheFolderOf(id, options), commit = options.commit ?? commitIn(cache, id.revision);
  const folder = commit === undefined ? undefined : join(cache, "snapshots", commit);
  return folder !== undefined && isWhole(folder) ? { folder, commit: commit! } : undefined;
}

/**
 * Returns a model's folder. If there is no folder of that name, the hub's model of that id is fetched into the cache, unless the cache has
 * its current revision. Each file is checked by its size and checksum. An interrupted download is continued. Without network, a model in
 * the cache is used.
 *
 * @param path A folder, or "owner/name" or "owner/name@revision". Any other text is returned unchanged.
 * @throws {KedgeError} `BadData` if the hub cannot be reached or has no such model, or if a file arrives damaged.
 * @example
 * ```ts
 * import { fetchModel } from "@kedge/kedge/data";
 * import { KedgeError } from "@kedge/kedge/tensor";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync(), options = { cacheDir: folder, offline: true };
 * assertEquals(await fetchModel(folder), { folder });
 * await assertRejects(() => fetchModel("owner/name", options), KedgeError, "HF_HUB_OFFLINE");
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export async function fetchModel(path: string, options: ModelOptions = {}): Promise<FoundModel> {
  const id = parseModelId(path);
  if (id === undefined || isFolder(path)) return { folder: path };
  const settings = hubSettings(options), pinned = options.commit ?? (COMMIT.test(id.revision) ? id.revision : undefined);
  const local = findModel(path, options);
  if (local && (settings.offline || pinned !== undefined)) return local;
  if (settings.offline) {
    throw cannotGet(
      id,
      `it is not in ${cacheFolderOf(id, options)}, and HF_HUB_OFFLINE keeps it from being fetched: unset that, or give its folder`,
    );
  }
  let commit = pinned;
  try {
    commit ??= await commitOf(id, settings);
    return await fetchSnapshot(id, { commit, settings, options });
  } catch (error) {
    if (error instanceof KedgeError) throw error;
    if (error instanceof BadFile) throw cannotGet(id, error.message, error);
    const lasting = statusOf(error) !== undefined || error instanceof Deno.errors.NotCapable;
    if (local === undefined || commit !== undefined || lasting) throw cannotGet(id, whyNot(error, settings.hubUrl), error);
    options.onNote?.(`${settings.hubUrl} cannot be reached; using ${id.repo} from the cache`);
    return local;
  }
}

async function commitOf({ repo, revision }: ModelId, { hubUrl, accessToken }: HubSettings): Promise<string> {
  const given = { name: repo, revision, hubUrl, fetch: hubFetch(hubUrl), ...credentials(accessToken) };
  const { sha } = await modelInfo({ ...given, additionalFields: ["sha"] });
  if (!COMMIT.test(sha)) throw new Error("the hub did not name a commit");
  return sha;
}

/** Returns a model's folder in the cache. */
function cacheFolderOf({ repo }: ModelId, { cacheDir }: ModelOptions): string {
  return join(resolve(cacheDir ?? hubSettings().cache), `models--${repo.replace("/", "--")}`);
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** Returns the commit that a revision pointed to when it was fetched. */
function commitIn(cache: string, revision: string): string | undefined {
  if (COMMIT.test(revision)) return revision;
  try {
    return Deno.readTextFileSync(join(cache, "refs", revision)).trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Tells whether a folder has a config and all of its weights, or adapters. */
function isWhole(folder: string): boolean {
  if (ADAPTER_FILES.every((name) => sizeOf(join(folder, name)) !== undefined)) return true;
  if (sizeOf(join(folder, "config.json")) === undefined) return false;
  try {
    const { weight_map: files } = JSON.parse(Deno.readTextFileSync(join(folder, "model.safetensors.index.json"))) as {
      weight_map: Record<string, string>;
    };
    return [...new Set(Object.values(files))].every((name) => sizeOf(join(folder, name)) !== undefined);
  } catch {
    return sizeOf(join(folder, "model.safetensors")) !== undefined;
  }
}

interface Entry {
  readonly path: string;
  readonly size: number;
  readonly oid: string;
}

async function fetchSnapshot(
  id: ModelId,
  { commit, settings, options }: { commit: string; settings: HubSettings; options: ModelOptions },
): Promise<FoundModel> {
  const { hubUrl, accessToken } = settings, cache = cacheFolderOf(id, options), folder = join(cache, "snapshots", commit);
  const access = { fetch: hubFetch(hubUrl), ...credentials(accessToken) };
  const entries = await Array.fromAsync(listFiles({ repo: { type: "model", name: id.repo }, revision: commit, hubUrl, ...access }));
  const files = entries.filter(({ type, path }) => type === "file" && WANTED.test(path)).map(({ path, size, oid, lfs }): Entry => {
    const entry = { path, size: lfs?.size ?? size, oid: lfs?.oid ?? oid ?? "" };
    if (!OID.test(entry.oid)) throw new Error(`the hub gives no checksum of ${path}`);
    return entry;
  });
  const isAdapter = files.some(({ path }) => path === ADAPTER_FILES[0]), needed = ["config.json", "tokenizer.json", ".safetensors"];
  for (const name of isAdapter ? ADAPTER_FILES : needed) {
    if (!files.some(({ path }) => path.endsWith(name))) {
      throw cannotGet(id, `it has no ${name === ".safetensors" ? "weights in safetensors" : name}: it is not a model that Kedge can read`);
    }
  }
  const left = files.filter(({ path, size }) => sizeOf(join(folder, path)) !== size);
  const countBytes = progress(id, { total: left.reduce((sum, { size }) => sum + size, 0), cache, onNote: options.onNote });
  const queue = left.values();
  const work = async (): Promise<void> => {
    const { value: file, done } = queue.next();
    if (done) return;
    const blob = join(cache, "blobs", file.oid), url = `${hubUrl}/${id.repo}/resolve/${commit}/${encodeURIComponent(file.path)}`;
    const headers: Record<string, string> = accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` };
    await named(file.path, () => fetchFile(blob, { ...file, url }, { fetch: access.fetch, headers, onBytes: countBytes }));
    await link(blob, join(folder, file.path));
    return work();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const ref = join(cache, "refs", id.revision);
  if (!COMMIT.test(id.revision)) {
    await Deno.mkdir(dirname(ref), { recursive: true });
    await Deno.writeTextFile(ref, commit);
  }
  return { folder, commit };
}

/** Adds a file's name to its errors. */
async function named(path: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (error instanceof Error) error.message = `${path}: ${error.message}`;
    throw error;
  }
}

/** Puts a blob into a snapshot: by a symbolic link, as other programs do, or else by a hard link. */
async function link(blob: string, path: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.remove(path).catch(() => {});
  try {
    await Deno.symlink(join("..", "..", "blobs", blob.split(/[/\\]/u).at(-1)!), path);
  } catch {
    await Deno.link(blob, path).catch(() => Deno.copyFile(blob, path)); // a file system may support neither
  }
}

/** Counts the fetched bytes and reports them, at most every ten seconds. */
function progress(id: ModelId, given: { total: number; cache: string; onNote: ((words: string) => void) | undefined }) {
  const { total, cache, onNote } = given, gib = (bytes: number) => (bytes / 2 ** 30).toFixed(2);
  let have = 0, lastNote = performance.now();
  if (total > 0) onNote?.(`Fetching ${id.repo}@${id.revision}, ${gib(total)} GiB, into ${cache}`);
  return (bytes: number) => {
    have += bytes;
    const now = performance.now();
    if (have < total && now - lastNote < 10_000) return;
    lastNote = now;
    onNote?.(`${id.repo}: ${gib(have)} of ${gib(total)} GiB`);
  };
}

function cannotGet({ repo, revision }: ModelId, words: string, cause?: unknown): KedgeError {
  const message = `Cannot get the model ${repo}${revision === "main" ? "" : `@${revision}`}: there is no such folder, and ${words}`;
  return new KedgeError("BadData", message, { repo, revision }, { cause });
}
