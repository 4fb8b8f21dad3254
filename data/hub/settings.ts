/**
 * Reads the settings of the hub's own programs: HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_HUB_OFFLINE, HF_ENDPOINT.
 *
 * @module
 */
import { join } from "node:path";
import { reasonOf } from "../file_ranges.ts";

/** The environment variables that are read, for permissions. */
export const HUB_ENVIRONMENT: readonly string[] = ["HF_HOME", "HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT"];

/** How to access the hub. Absent fields are read from the environment. */
export interface HubAccess {
  /** The hub's URL. Default: HF_ENDPOINT, else "https://huggingface.co". */
  readonly hubUrl?: string;
  /** A token for private or gated repositories. Default: HF_TOKEN, else the token that `hf auth login` saved. */
  readonly accessToken?: string;
  /** Whether the network must not be used. Default: HF_HUB_OFFLINE. */
  readonly offline?: boolean;
}

/** {@linkcode HubAccess} with everything filled in, and the cache that other programs share. */
export interface HubSettings {
  readonly hubUrl: string;
  readonly accessToken: string | undefined;
  readonly offline: boolean;
  /** The cache: HF_HUB_CACHE, else `hub` in HF_HOME, else ~/.cache/huggingface/hub. */
  readonly cache: string;
}

/** Returns an environment variable; undefined if it is not set or may not be read. */
function variable(name: string): string | undefined {
  try {
    return Deno.env.get(name) || undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}

/**
 * Returns the settings. Those that are given take precedence over the environment.
 *
 * @example
 * ```ts
 * import { hubSettings } from "./settings.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const { hubUrl, accessToken } = hubSettings({ hubUrl: "https://hub.example.org/", accessToken: "hf_x" });
 * assertEquals([hubUrl, accessToken], ["https://hub.example.org", "hf_x"]);
 * ```
 */
export function hubSettings(given: HubAccess = {}): HubSettings {
  const home = variable("HF_HOME") ?? join(variable("HOME") ?? ".", ".cache", "huggingface");
  const offline = given.offline ?? /^(?:1|on|yes|true)$/iu.test(variable("HF_HUB_OFFLINE") ?? "");
  return {
    hubUrl: (given.hubUrl ?? variable("HF_ENDPOINT") ?? "https://huggingface.co").replace(/\/+$/u, ""),
    accessToken: given.accessToken ?? variable("HF_TOKEN") ?? tokenIn(home),
    offline,
    cache: variable("HF_HUB_CACHE") ?? join(home, "hub"),
  };
}

function tokenIn(home: string): string | undefined {
  try {
    return Deno.readTextFileSync(join(home, "token")).trim() || undefined;
  } catch {
    return undefined; // there is no token, or it may not be read; public repositories need none
  }
}

/** Returns the credentials for the hub's client. */
export function credentials(accessToken: string | undefined): { accessToken?: string } {
  return accessToken === undefined ? {} : { accessToken };
}

/** Makes a `fetch` that sends the token only to the hub, not to the servers that it redirects to. */
export function hubFetch(hubUrl: string): typeof fetch {
  const { origin } = new URL(hubUrl);
  return (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input), headers = new Headers(init?.headers);
    if (url.origin !== origin) headers.delete("authorization");
    return fetch(input, { ...init, headers });
  };
}

/** Returns the status of the hub's answer; undefined if it did not answer. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof Error && "statusCode" in error && typeof error.statusCode === "number" ? error.statusCode : undefined;
}

/** Explains why the hub did not deliver something, and what to do. */
export function whyNot(error: unknown, hubUrl: string): string {
  const status = statusOf(error);
  if (status === 401 || status === 403 || status === 404) {
    return `${hubUrl} answers ${status}: check its name and revision; for a private or gated one, set HF_TOKEN to an access token`;
  }
  if (error instanceof Deno.errors.NotCapable) {
    return `${reasonOf(error)}: run with --allow-net=${new URL(hubUrl).host}, and --allow-read and --allow-write of the cache`;
  }
  return `${hubUrl} cannot be used (${reasonOf(error)}): get online, or fetch its files elsewhere and give their path instead of its id`;
}
