/**
 * Fetches files of the hub, checks them, and continues interrupted downloads.
 *
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import { dirname } from "node:path";
import { statusOf } from "./settings.ts";

/** A file of the hub. */
export interface RemoteFile {
  /** The file's URL. */
  readonly url: string;
  /** The size in bytes. */
  readonly size: number;
  /** The hexadecimal checksum: SHA-256 of a large file, or git's SHA-1 of a small one. */
  readonly oid: string;
}

/** How to fetch a file. */
export interface TransferOptions {
  /** A `fetch` that adds the token where it belongs. */
  readonly fetch: typeof fetch;
  readonly headers?: Readonly<Record<string, string>>;
  /** Is called with the number of bytes that arrived or were there already. */
  readonly onBytes?: (bytes: number) => void;
  /** Milliseconds without a byte after which a connection is closed. Default: 60,000. */
  readonly patience?: number;
  /** The maximum number of connections. Default: 5. */
  readonly tries?: number;
}

/** Is thrown for a file whose checksum or size is wrong. */
export class BadFile extends Error {}

const PAUSE = 500; // milliseconds before the second try; the pause doubles before each later one

/**
 * Fetches a file to a path. The data is under `<path>.incomplete` until it is complete and its checksum is right. An interrupted download
 * is continued there. If another process fetches the same file, this one waits for it.
 *
 * @throws {BadFile} for a wrong checksum; the data is then removed. Also what `fetch` throws, and errors with a `statusCode`.
 */
export async function fetchFile(path: string, file: RemoteFile, options: TransferOptions): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  const part = `${path}.incomplete`;
  using open = await Deno.open(part, { read: true, write: true, create: true });
  await open.lock(true);
  if (sizeOf(path) === file.size) return options.onBytes?.(file.size);
  const { tries = 5 } = options;
  let reported = 0;
  const tell = (have: number) => {
    options.onBytes?.(have - reported);
    reported = have;
  };
  for (let attempt = 1;; attempt++) {
    try {
      // deno-lint-ignore no-await-in-loop -- one try after the other
      await fetchRest(open, file, { ...options, tell });
      break;
    } catch (error) {
      const status = statusOf(error),
        lasting = error instanceof BadFile || error instanceof Deno.errors.NotCapable ||
          (status !== undefined && status < 500 && status !== 429);
      if (lasting || attempt === tries) throw error;
      // deno-lint-ignore no-await-in-loop -- as above
      await new Promise((done) => setTimeout(done, PAUSE * 2 ** (attempt - 1)));
    }
  }
  await check(open, file, part);
  await open.sync();
  await Deno.rename(part, path);
}

/** Fetches the missing rest of a file. */
async function fetchRest(
  open: Deno.FsFile,
  file: RemoteFile,
  options: TransferOptions & { readonly tell: (have: number) => void },
): Promise<void> {
  let have = (await open.stat()).size;
  if (have > file.size) await open.truncate(have = 0);
  options.tell(have);
  if (have === file.size) return;
  const { patience = 60_000 } = options, stalled = new AbortController();
  let timer = setTimeout(() => stalled.abort(), patience);
  try {
    const headers = { ...options.headers, ...have > 0 ? { range: `bytes=${have}-` } : {} };
    const response = await options.fetch(file.url, { headers, signal: stalled.signal });
    if (!response.ok) {
      await response.body?.cancel();
      throw Object.assign(new Error(`it answers ${response.status}`), { statusCode: response.status });
    }
    if (have > 0 && response.status !== 206) await open.truncate(have = 0); // the server sends the whole file
    await open.seek(have, Deno.SeekMode.Start);
    for await (const chunk of response.body ?? []) {
      clearTimeout(timer);
      timer = setTimeout(() => stalled.abort(), patience);
      for (let at = 0; at < chunk.length;) at += open.writeSync(chunk.subarray(at));
      options.tell(have += chunk.length);
      if (have > file.size) throw new Error(`more than ${file.size} bytes arrived`);
    }
    if (have < file.size) throw new Error(`the connection ended after ${have} of ${file.size} bytes`);
  } catch (error) {
    throw stalled.signal.aborted ? new Error(`nothing arrived for ${patience / 1000} s`) : error;
  } finally {
    clearTimeout(timer);
  }
}

async function check(open: Deno.FsFile, { size, oid }: RemoteFile, part: string): Promise<void> {
  const hash: Hash = createHash(oid.length === 64 ? "sha256" : "sha1"), buffer = new Uint8Array(2 ** 20);
  if (oid.length !== 64) hash.update(`blob ${size}\0`);
  await open.seek(0, Deno.SeekMode.Start);
  for (;;) {
    // deno-lint-ignore no-await-in-loop -- one piece after the other
    const read = await open.read(buffer);
    if (read === null) break;
    hash.update(buffer.subarray(0, read));
  }
  const found = hash.digest("hex");
  if (found === oid) return;
  await Deno.remove(part);
  throw new BadFile(`its checksum is ${found}, but the hub says ${oid}; the data was removed, try again`);
}

/** Returns the size of a file; undefined if there is none. */
export function sizeOf(path: string): number | undefined {
  try {
    return Deno.statSync(path).size;
  } catch {
    return undefined;
  }
}
