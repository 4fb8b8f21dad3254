/** The address that an endpoint listens on. */
export interface Address {
  readonly hostname: string;
  readonly port: number;
}

/** The default address. */
const DEFAULT_ADDRESS: Address = { hostname: "127.0.0.1", port: 8787 };

/**
 * Reads "HOST:PORT", "HOST", "PORT", ":PORT", "[::1]:PORT" or "".
 *
 * @throws {RangeError} for anything else.
 *
 * @example
 * ```ts
 * import { parseAddress } from "./address.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseAddress("0.0.0.0:80"), { hostname: "0.0.0.0", port: 80 });
 * assertEquals(parseAddress("[::1]"), { hostname: "::1", port: 8787 });
 * assertEquals(parseAddress("9000"), { hostname: "127.0.0.1", port: 9000 });
 * ```
 */
export function parseAddress(text: string): Address {
  const whole = /^\d{1,5}$/.test(text) ? `:${text}` : text, match = /^(?:\[([\da-fA-F:.]+)\]|([\w.-]*))(?::(\d{1,5}))?$/.exec(whole);
  const hostname = match?.[1] ?? match?.[2] ?? "", port = match?.[3] === undefined ? DEFAULT_ADDRESS.port : Number(match[3]);
  if (!match || port > 65535) {
    throw new RangeError(`Cannot listen at "${text}": it must be HOST:PORT, such as 127.0.0.1:8787`);
  }
  return { hostname: hostname === "" ? DEFAULT_ADDRESS.hostname : hostname, port };
}
