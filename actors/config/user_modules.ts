/**
 * The users' modules that a configuration names. Modules of `algorithm.credit`, `algorithm.loss` and `data.classes` run in the training process, those of `reward` in child processes
 * (see verify/).
 *
 * @module
 */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { isOwnModule } from "../../verify/module_access.ts";
import { planReward } from "../../verify/registry.ts";
import { exportedFunction, type UserFunction } from "../../rl/user_module.ts";
import type { Config } from "./types.ts";

/** A resolved module of the training process. It is plain data, which is sent to the actor that imports the module. */
export interface UserModule {
  /** The key that names the module, as "algorithm.credit". */
  readonly key: string;
  /** The "file:" URL of the module. */
  readonly url: string;
  /** The second argument of its function. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** Returns the module of `algorithm.credit`; undefined for a built-in method. @param base What its path is relative to. */
export function creditModule({ algorithm: { credit } }: Config, base: string): UserModule | undefined {
  if (typeof credit === "string") return undefined;
  return { key: "algorithm.credit", url: new URL(credit.use, base).href, options: credit.options ?? {} };
}

/** Returns the module of `algorithm.loss`; undefined for a built-in loss. @param base What its path is relative to. */
export function lossModule({ algorithm: { loss } }: Config, base: string): UserModule | undefined {
  if (loss.kind !== "module") return undefined;
  return { key: "algorithm.loss", url: new URL(loss.use, base).href, options: loss.options ?? {} };
}

/** Returns the module of `data.classes`; undefined where there is none. @param base What its path is relative to. */
export function classesModule({ data: { classes } }: Config, base: string): UserModule | undefined {
  return classes === null ? undefined : { key: "data.classes", url: new URL(classes, base).href, options: {} };
}

/**
 * Imports a user's module into this thread.
 *
 * @param name The export that is called. Without it, the default export is called.
 * @throws {RangeError} with Deno's reason if the module cannot be imported. {TypeError} if it exports no such function.
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

/** The prints of a run's user modules by key: the file's name and the hash of its text, as "NAME sha256:0123456789ab". */
export type ModulePrints = Readonly<Record<string, string>>;

/**
 * Returns the prints of a configuration's modules. The hash is that of the module's own file, without its imports.
 *
 * @param base The URL that their paths are relative to.
 */
export function modulePrints(config: Config, base: string): ModulePrints {
  const rewards = planReward(config.reward, base).modules.filter((url) => url.startsWith("file:") && !isOwnModule(url));
  const used = [creditModule(config, base), lossModule(config, base), classesModule(config, base)];
  const own = used.flatMap((module) => module ? [[module.key, module.url]] : []);
  const all = [...own, ...rewards.map((url, i) => [rewards.length > 1 ? `reward ${i + 1}` : "reward", url])];
  return Object.fromEntries(all.map(([key, url]) => [key, `${basename(fileURLToPath(url!))} ${hashOf(url!)}`]));
}

/** Returns what a step's line of metrics.jsonl holds about the modules, as "module/algorithm.credit". */
export function moduleFields(line: Readonly<Record<string, unknown>>, prints: ModulePrints): Record<string, string> {
  if (line["actor/loss"] === undefined) return {};
  return Object.fromEntries(Object.entries(prints).map(([key, print]) => [`module/${key}`, print]));
}

function hashOf(url: string): string {
  try {
    return `sha256:${createHash("sha256").update(Deno.readFileSync(new URL(url))).digest("hex").slice(0, 12)}`;
  } catch {
    return "which cannot be read"; // who imports it says why
  }
}

/**
 * Says how modules differ from those of a checkpoint. A run resumes with the current modules, because they are meant to be changed.
 *
 * @example
 * ```ts
 * import { moduleChanges } from "./user_modules.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const words = moduleChanges({ "algorithm.credit": "mine sha256:01" }, { "algorithm.credit": "mine sha256:02" });
 * assertEquals(words, ["The module of algorithm.credit has changed since the checkpoint: it was mine sha256:01, now mine sha256:02"]);
 * ```
 */
export function moduleChanges(old: ModulePrints, now: ModulePrints): string[] {
  return Object.entries(now).flatMap(([key, print]) =>
    old[key] === undefined || old[key] === print
      ? []
      : [`The module of ${key} has changed since the checkpoint: it was ${old[key]}, now ${print}`]
  );
}
