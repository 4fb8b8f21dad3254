import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** Makes a new token: 32 random bytes in base64url. */
export function makeToken(): string {
  return randomBytes(32).toString("base64url");
}

/** Checks a caller's token. @throws {RangeError} if it is too short, or a header cannot contain it. */
export function checkToken(token: string): string {
  if (!/^[\x21-\x7e]{8,1024}$/.test(token)) {
    throw new RangeError("Cannot use this token: it must have 8 to 1024 printable ASCII characters, without a space");
  }
  return token;
}

const digest = (text: string) => createHash("sha256").update(text).digest();

/**
 * Returns a function that tells whether an Authorization header contains the token. It takes the same time for every header, because it
 * compares all bytes of digests.
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
    const [, sent = ""] = /^Bearer +([\x21-\x7e]+) *$/i.exec(header ?? "") ?? [];
    return timingSafeEqual(digest(sent), right) && sent !== "";
  };
}
