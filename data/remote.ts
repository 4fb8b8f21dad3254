/**
 * Fetches pictures from the web, only where the user permits it.
 *
 * @module
 */

/** The hosts that pictures may be fetched from: none, any, or those named, such as "images.example.org" or "127.0.0.1:8080". */
export type AllowRemote = boolean | readonly string[];

/** The limits of a fetch. */
export interface FetchBounds {
  /** The maximum number of bytes. Default: 32 MiB. */
  readonly bytes?: number;
  /** The maximum number of milliseconds for all tries and redirections. Default: 20,000. */
  readonly time?: number;
}

const REDIRECTIONS = 5, TRIES = 3, PAUSE = 300; // milliseconds before the second try, doubled before the third

/** Removes possible secrets from an address, for messages. */
export function publicAddress(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname.length > 120 ? `${pathname.slice(0, 120)}...` : pathname}`;
}

/**
 * Fetches a picture.
 *
 * @param url An http: or https: URL.
 * @param allowed The permitted hosts. They also apply to redirections.
 * @throws {Error} with the reason: the host is not permitted, or the answer is an error, too large or too slow.
 * @example
 * ```ts
 * import { fetchPicture } from "./remote.ts";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(() => fetchPicture("http://example.org/a.png", false), Error, "data.allowRemote");
 * ```
 */
export async function fetchPicture(url: string, allowed: AllowRemote, bounds: FetchBounds = {}): Promise<Uint8Array<ArrayBuffer>> {
  const { bytes = 32 * 2 ** 20, time = 20_000 } = bounds, signal = AbortSignal.timeout(time);
  for (let attempt = 1;; attempt++) {
    try {
      // deno-lint-ignore no-await-in-loop -- one try after the other
      return await fetchOnce(url, { allowed, bytes, signal });
    } catch (error) {
      if (signal.aborted) throw new Error(`${publicAddress(url)} did not answer in ${time / 1000} s`);
      const passing = error instanceof TypeError || (error instanceof BadAnswer && (error.status === 429 || error.status >= 500));
      if (!passing || attempt === TRIES) throw error;
      // deno-lint-ignore no-await-in-loop -- as above
      await new Promise((done) => setTimeout(done, PAUSE * 2 ** (attempt - 1)));
    }
  }
}

class BadAnswer extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

async function fetchOnce(
  start: string,
  { allowed, bytes, signal }: { allowed: AllowRemote; bytes: number; signal: AbortSignal },
): Promise<Uint8Array<ArrayBuffer>> {
  let url = start;
  for (let hop = 0; hop <= REDIRECTIONS; hop++) {
    checkAllowed(url, allowed);
    // deno-lint-ignore no-await-in-loop -- one redirection after the other
    const response = await fetch(url, { redirect: "manual", signal });
    const location = response.status >= 300 && response.status < 400 ? response.headers.get("location") : null;
    // deno-lint-ignore no-await-in-loop -- as above
    if (location === null) return await readWhole(response, { url, bytes });
    // deno-lint-ignore no-await-in-loop -- as above
    await response.body?.cancel();
    url = new URL(location, url).href;
  }
  throw new Error(`${publicAddress(start)} redirects more than ${REDIRECTIONS} times`);
}

function checkAllowed(url: string, allowed: AllowRemote): void {
  const { protocol, host, hostname } = new URL(url);
  if (protocol !== "http:" && protocol !== "https:") throw new Error(`it leads to ${protocol}, and only http: and https: are fetched`);
  if (allowed === true || (allowed !== false && (allowed.includes(host) || allowed.includes(hostname)))) return;
  const words = allowed === false ? "fetching from the web is off" : `it allows ${allowed.join(", ") || "no host"}`;
  throw new Error(`it is on ${host}, and ${words}: set data.allowRemote to true or to ["${host}"], or download the picture beforehand`);
}

async function readWhole(response: Response, { url, bytes }: { url: string; bytes: number }): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [], tooLarge = () => new Error(`${publicAddress(url)} has more than ${bytes} bytes`);
  let size = 0;
  if (!response.ok) {
    await response.body?.cancel();
    throw new BadAnswer(response.status, `${publicAddress(url)} answers ${response.status}`);
  }
  if (Number(response.headers.get("content-length") ?? 0) > bytes) {
    await response.body?.cancel();
    throw tooLarge();
  }
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > bytes) throw tooLarge(); // leaving the loop cancels the rest
    chunks.push(chunk);
  }
  if (size === 0) throw new Error(`${publicAddress(url)} is empty`);
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
