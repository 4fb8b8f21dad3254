/**
 * Users' modules that a configuration names: where they are, what they are, and their functions. Modules of `algorithm.credit` and `algorithm.loss` run in the
 * process that trains, those of `reward` in child processes (see verify/).
 *
 * @module
 */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { planReward } from "../../verify/registry.ts";
import { exportedFunction, type UserFunction } from "../../rl/user_module.ts";
import type { Config } from "./types.ts";

/** A module that runs in the process that trains, resolved. Plain data: it crosses to the actor that loads it. */
export interface UserModule {
  /** The key that names it: "algorithm.credit". */
  readonly key: string;
  /** A "file:" URL. */
  readonly url: string;
  /** The second argument of its function. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** The module of `algorithm.credit`; undefined where a built-in method is chosen. `base`: what its path is relative to. */
export function creditModule({ algorithm: { credit } }: Config, base: string): UserModule | undefined {
  if (typeof credit === "string") return undefined;
  return { key: "algorithm.credit", url: new URL(credit.use, base).href, options: credit.options ?? {} };
}

/** The module of `algorithm.loss`; undefined where a built-in loss is chosen. `base`: what its path is relative to. */
export function lossModule({ algorithm: { loss } }: Config, base: string): UserModule | undefined {
  if (loss.kind !== "module") return undefined;
  return { key: "algorithm.loss", url: new URL(loss.use, base).href, options: loss.options ?? {} };
}

/**
 * Imports a user's module into this thread.
 *
 * @param name The export that is called; else its default one.
 * @throws {RangeError} where it cannot be imported, with Deno's reason. {TypeError} where it exports no such function.
 */
export async function importUser<F>({ key, url, options }: UserModule, name: string): Promise<UserFunction<F>> {
  let module: Record<string, unknown>;
  try {
    module = await import(url);
  } catch (cause) {
    throw new RangeError(`Cannot use ${url} as ${key}: ${(cause as Error).message}`, { cause });
  }
  return { call: exportedFunction(module, { name, source: url, key }) as F, options, source: url };
}

/** The files of users' modules that take part in a run, by the key that names them: name and hash of their text, as "custom_loss.ts sha256:0123456789ab". */
export type ModulePrints = Readonly<Record<string, string>>;

/**
 * What the modules of a configuration are now. The hash is that of the module's own file, not of what it imports.
 *
 * @param base What their paths are relative to: a URL.
 */
export function modulePrints(config: Config, base: string): ModulePrints {
  const rewards = planReward(config.reward, base).modules.filter((url) => url.startsWith("file:") && !url.startsWith(VERIFY));
  const own = [creditModule(config, base), lossModule(config, base)].flatMap((module) => module ? [[module.key, module.url]] : []);
  const all = [...own, ...rewards.map((url, i) => [rewards.length > 1 ? `reward ${i + 1}` : "reward", url])];
  return Object.fromEntries(all.map(([key, url]) => [key, `${basename(fileURLToPath(url!))} ${hashOf(url!)}`]));
}

/** What a line of a step says of the modules that made it: "module/algorithm.credit" and the like. Other lines say nothing. */
export function moduleFields(line: Readonly<Record<string, unknown>>, prints: ModulePrints): Record<string, string> {
  if (line["actor/loss"] === undefined) return {};
  return Object.fromEntries(Object.entries(prints).map(([key, print]) => [`module/${key}`, print]));
}

/** Kedge's own reward modules. */
const VERIFY = new URL("../../verify/", import.meta.url).href;

function hashOf(url: string): string {
  try {
    return `sha256:${createHash("sha256").update(Deno.readFileSync(new URL(url))).digest("hex").slice(0, 12)}`;
  } catch {
    return "which cannot be read"; // who imports it says why
  }
}

/**
 * How modules differ from those that a checkpoint was written under, in words. A run goes on with the modules as they are: to change a line and go on is what
 * they are for.
 *
 * @example
 * ```ts
 * import { moduleChanges } from "./user_modules.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const words = moduleChanges({ "algorithm.credit": "mine.ts sha256:01" }, { "algorithm.credit": "mine.ts sha256:02" });
 * assertEquals(words, ["The module of algorithm.credit has changed since the checkpoint: it was mine.ts sha256:01, now mine.ts sha256:02"]);
 * ```
 */
export function moduleChanges(old: ModulePrints, now: ModulePrints): string[] {
  return Object.entries(now).flatMap(([key, print]) =>
    old[key] === undefined || old[key] === print
      ? []
      : [`The module of ${key} has changed since the checkpoint: it was ${old[key]}, now ${print}`]
  );
}
