import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** A new token: 32 random bytes, base64url. */
export function makeToken(): string {
  return randomBytes(32).toString("base64url");
}

/** A token that a caller made. @throws {RangeError} for one that is too short, or that a header cannot carry. */
export function checkToken(token: string): string {
  if (!/^[\x21-\x7e]{8,1024}$/.test(token)) {
    throw new RangeError("Cannot take this token: it must have 8 to 1024 printable ASCII characters, without a space");
  }
  return token;
}

const digest = (text: string) => createHash("sha256").update(text).digest();

/**
 * Tells whether an Authorization header has a token, in a time that does not depend on what it has: digests are compared, all of their bytes.
 *
 * @example
 * ```ts
 * import { bearerCheck } from "./token.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const isRight = bearerCheck("correct-horse");
 * assertEquals([isRight("Bearer correct-horse"), isRight("bearer correct-horse"), isRight("Bearer x"), isRight(null)], [true, true, false, false]);
 * ```
 */
export function bearerCheck(token: string): (header: string | null) => boolean {
  const right = digest(token);
  return (header) => {
    const [, given = ""] = /^Bearer +([\x21-\x7e]+) *$/i.exec(header ?? "") ?? [];
    return timingSafeEqual(digest(given), right) && given !== "";
  };
}
