/**
 * Models of the hub, in the cache that other programs share (models--owner--name/{blobs,refs,snapshots}).
 *
 * @module
 */
import { dirname, join, resolve } from "node:path";
import { listFiles, modelInfo } from "@huggingface/hub";
import { KedgeError } from "../../ffi/errors.ts";
import { credentials, type HubAccess, hubFetch, type HubSettings, hubSettings, statusOf, whyNot } from "./settings.ts";
import { BadFile, fetchFile, sizeOf } from "./transfer.ts";

/** A model's id and the revision that is asked for. */
export interface ModelId {
  /** "owner/name". */
  readonly repo: string;
  /** A branch, tag or commit; default "main". */
  readonly revision: string;
}

/** How a model is found and fetched. */
export interface ModelOptions extends HubAccess {
  /** The cache; default HF_HUB_CACHE, else `hub` in HF_HOME, else ~/.cache/huggingface/hub. */
  readonly cacheDir?: string;
  /** A commit in the place of the revision, as of a run that goes on. */
  readonly commit?: string;
  /** Is told what is fetched, and how far it is. */
  readonly onNote?: (words: string) => void;
}

/** A model's folder. */
export interface FoundModel {
  /** With config.json, weights, tokenizer. */
  readonly folder: string;
  /** Of a model of the hub. */
  readonly commit?: string;
}

const COMMIT = /^[0-9a-f]{40}$/u, WANTED = /^[^/]+\.(?:json|safetensors|txt|model|jinja)$/u, OID = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/u;
const AT_ONCE = 4; // files

/**
 * The parts of "owner/name" or "owner/name@revision".
 *
 * @returns undefined for what is no such id.
 *
 * @example
 * ```ts
 * import { parseModelId } from "./model.ts";
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
 * A model that is on this machine: a folder of that name, or one of the hub in the cache. Nothing is asked of the network.
 *
 * @returns undefined where it is not here.
 *
 * @example
 * ```ts
 * import { findModel } from "./model.ts";
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
  const place = placeOf(id, options), commit = options.commit ?? commitIn(place, id.revision);
  const folder = commit === undefined ? undefined : join(place, "snapshots", commit);
  return folder !== undefined && isWhole(folder) ? { folder, commit: commit! } : undefined;
}

/**
 * A model's folder: the one of that name, or else the hub's model of that id, fetched into the cache where it is not there or has changed.
 *
 * A file is checked by its size and checksum, and gone on with where an earlier try was cut off. Without network, a model that is in the cache is used as it is.
 *
 * @param path A folder, or "owner/name" or "owner/name@revision". What is neither is given back as it is.
 * @throws {KedgeError} `BadData` where the hub cannot be reached, has no such model, or a file comes wrong.
 *
 * @example
 * ```ts
 * import { fetchModel } from "./model.ts";
 * import { KedgeError } from "../../ffi/errors.ts";
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
  const found = findModel(path, options);
  if (found && (settings.offline || pinned !== undefined)) return found;
  if (settings.offline) {
    throw cannotGet(
      id,
      `it is not in ${placeOf(id, options)}, and HF_HUB_OFFLINE keeps it from being fetched: unset that, or give its folder`,
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
    if (found === undefined || commit !== undefined || lasting) throw cannotGet(id, whyNot(error, settings.hubUrl), error);
    options.onNote?.(`${settings.hubUrl} cannot be reached; ${id.repo} is used as it is in the cache`);
    return found;
  }
}

async function commitOf({ repo, revision }: ModelId, { hubUrl, accessToken }: HubSettings): Promise<string> {
  const given = { name: repo, revision, hubUrl, fetch: hubFetch(hubUrl), ...credentials(accessToken) };
  const { sha } = await modelInfo({ ...given, additionalFields: ["sha"] });
  if (!COMMIT.test(sha)) throw new Error("the hub names no commit");
  return sha;
}

/** A model's place in the cache. */
function placeOf({ repo }: ModelId, { cacheDir }: ModelOptions): string {
  return join(resolve(cacheDir ?? hubSettings().cache), `models--${repo.replace("/", "--")}`);
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** The commit that a revision was when it was fetched. */
function commitIn(place: string, revision: string): string | undefined {
  if (COMMIT.test(revision)) return revision;
  try {
    return Deno.readTextFileSync(join(place, "refs", revision)).trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Whether a folder has a config and all of its weights. */
function isWhole(folder: string): boolean {
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
  const { hubUrl, accessToken } = settings, place = placeOf(id, options), folder = join(place, "snapshots", commit);
  const own = { fetch: hubFetch(hubUrl), ...credentials(accessToken) };
  const entries = await Array.fromAsync(listFiles({ repo: { type: "model", name: id.repo }, revision: commit, hubUrl, ...own }));
  const files = entries.filter(({ type, path }) => type === "file" && WANTED.test(path)).map(({ path, size, oid, lfs }): Entry => {
    const entry = { path, size: lfs?.size ?? size, oid: lfs?.oid ?? oid ?? "" };
    if (!OID.test(entry.oid)) throw new Error(`the hub gives no checksum of ${path}`);
    return entry;
  });
  for (const name of ["config.json", "tokenizer.json", ".safetensors"]) {
    if (!files.some(({ path }) => path.endsWith(name))) {
      throw cannotGet(id, `it has no ${name === ".safetensors" ? "weights in safetensors" : name}: it is no model that Kedge reads`);
    }
  }
  const left = files.filter(({ path, size }) => sizeOf(join(folder, path)) !== size);
  const told = progress(id, { total: left.reduce((sum, { size }) => sum + size, 0), place, onNote: options.onNote });
  const queue = left.values();
  const work = async (): Promise<void> => {
    const { value: file, done } = queue.next();
    if (done) return;
    const blob = join(place, "blobs", file.oid), url = `${hubUrl}/${id.repo}/resolve/${commit}/${encodeURIComponent(file.path)}`;
    const headers: Record<string, string> = accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` };
    await named(file.path, () => fetchFile(blob, { ...file, url }, { fetch: own.fetch, headers, onBytes: told }));
    await link(blob, join(folder, file.path));
    return work();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const ref = join(place, "refs", id.revision);
  if (!COMMIT.test(id.revision)) {
    await Deno.mkdir(dirname(ref), { recursive: true });
    await Deno.writeTextFile(ref, commit);
  }
  return { folder, commit };
}

/** Has a file's errors name it. */
async function named(path: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (error instanceof Error) error.message = `${path}: ${error.message}`;
    throw error;
  }
}

/** Puts a blob into a snapshot: by a link, as other programs do, or, where that may not be made, by a second name. */
async function link(blob: string, path: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.remove(path).catch(() => {});
  try {
    await Deno.symlink(join("..", "..", "blobs", blob.split(/[/\\]/u).at(-1)!), path);
  } catch {
    await Deno.link(blob, path).catch(() => Deno.copyFile(blob, path)); // a file system may have neither
  }
}

/** Counts bytes, and says how many there are, at most every ten seconds. */
function progress(id: ModelId, given: { total: number; place: string; onNote: ((words: string) => void) | undefined }) {
  const { total, place, onNote } = given, gib = (bytes: number) => (bytes / 2 ** 30).toFixed(2);
  let have = 0, said = performance.now();
  if (total > 0) onNote?.(`Fetching ${id.repo}@${id.revision}, ${gib(total)} GiB, into ${place}`);
  return (bytes: number) => {
    have += bytes;
    const now = performance.now();
    if (have < total && now - said < 10_000) return;
    said = now;
    onNote?.(`${id.repo}: ${gib(have)} of ${gib(total)} GiB`);
  };
}

function cannotGet({ repo, revision }: ModelId, words: string, cause?: unknown): KedgeError {
  const message = `Cannot get the model ${repo}${revision === "main" ? "" : `@${revision}`}: there is no such folder, and ${words}`;
  return new KedgeError("BadData", message, { repo, revision }, { cause });
}
