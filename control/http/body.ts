import { ApiError } from "./api_error.ts";

/** Limits the bytes of bodies that are held by all requests together. */
export class BodyBudget {
  #held = 0;

  /** @param most The limit in bytes. */
  constructor(readonly most: number) {}

  /** The bytes that are held. */
  get held(): number {
    return this.#held;
  }

  /** Reserves bytes. @returns Whether they were available. */
  take(bytes: number): boolean {
    if (this.#held + bytes > this.most) return false;
    this.#held += bytes;
    return true;
  }

  /** Releases bytes. */
  give(bytes: number): void {
    this.#held -= bytes;
  }
}

/** The limits for reading a body. */
export interface BodyOptions {
  /** The maximum number of bytes. */
  readonly most: number;
  /** The maximum time in milliseconds. */
  readonly time: number;
  readonly budget: BodyBudget;
}

/**
 * Reads a request's body. The bytes are counted as they arrive, and the time is limited.
 *
 * @returns The bytes. The budget holds them until the caller releases them.
 * @throws {ApiError} 413, 408, 503, and 400 if the client ends the connection.
 */
export async function readBody(request: Request, options: BodyOptions): Promise<Uint8Array<ArrayBuffer>> {
  const { most, time, budget } = options;
  const tooLarge = () => new ApiError(413, `Cannot read the body: it has more than ${most} bytes`, { code: "body_too_large" });
  if (Number(request.headers.get("content-length") ?? 0) > most) throw tooLarge();
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [], limit = new AbortController();
  let bytes = 0;
  const sink = new WritableStream<Uint8Array>({
    write(chunk) {
      if (bytes + chunk.length > most) throw tooLarge();
      if (!budget.take(chunk.length)) {
        throw new ApiError(503, "Cannot read the body: too many large ones are being read", { headers: { "retry-after": "2" } });
      }
      bytes += chunk.length;
      chunks.push(chunk);
    },
  });
  const timer = setTimeout(() => limit.abort(), time);
  try {
    await request.body.pipeTo(sink, { signal: limit.signal });
  } catch (error) {
    budget.give(bytes);
    if (limit.signal.aborted) {
      throw new ApiError(408, `Cannot read the body: it did not arrive within ${time / 1000} s`, { code: "body_too_slow" });
    }
    throw error instanceof ApiError ? error : new ApiError(400, "Cannot read the body: the connection ended");
  } finally {
    clearTimeout(timer);
  }
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
