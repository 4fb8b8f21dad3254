/**
 * Finds the key of a configuration that a wrong key was meant to be.
 *
 * @module
 */
import { configJsonSchema, paths } from "./json_schema.ts";
import { elsewhere, nearest, plain } from "./nearest.ts";
import { EASYR1, SYNONYMS } from "./other_names.ts";

let cache: readonly string[] | undefined;
/** Returns every path of a configuration. */
function allPaths(): readonly string[] {
  return cache ??= [...new Set(paths([configJsonSchema()]))];
}

const lastOf = (path: string) => path.split(".").at(-1)!;

/** Returns the path that shares the most names with a wrong one; of equals, the first. */
function closest(path: string, candidates: readonly string[]): string | undefined {
  const names = path.split(".").map(plain);
  const shared = (other: string) => other.split(".").filter((name) => names.includes(plain(name))).length;
  return candidates.toSorted((a, b) => shared(b) - shared(a))[0];
}

/**
 * Returns the path that a wrong one was probably meant to be; undefined if none is near. It tries, in this order, the names of other
 * trainers, a similar name in the same section, the same last name elsewhere, and a similar last name elsewhere.
 *
 * @param path A path that no configuration has.
 * @param beside The valid names in the same section.
 *
 * @example
 * ```ts
 * import { meantPath } from "./meant.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(meantPath("optim.learningRate", ["lr", "schedule"]), "optim.lr");
 * assertEquals(meantPath("sft.learning_rate", ["lr", "steps"]), "sft.lr");
 * assertEquals(meantPath("algorithm.advantage", ["advEstimator"]), "algorithm.advEstimator");
 * assertEquals(meantPath("worker.actor.loss_type", []), "algorithm.loss.kind");
 * assertEquals(meantPath("colour", []), undefined);
 * ```
 */
export function meantPath(path: string, beside: readonly string[]): string | undefined {
  const all = allPaths(), last = lastOf(path), parent = path.slice(0, path.length - last.length);
  const [theirs] = Object.entries(EASYR1).find(([, name]) => plain(name) === plain(path)) ?? [];
  if (theirs !== undefined && theirs !== path) return theirs;
  const named = (name: string) =>
    Object.entries(SYNONYMS).filter(([key, names]) =>
      key !== path && all.includes(key) && names.some((other) => plain(other) === plain(name))
    ).map(([key]) => key);
  const sibling = nearest(last, beside);
  if (sibling !== undefined && plain(sibling) === plain(last)) return `${parent}${sibling}`;
  const meant = closest(path, named(last)) ?? (sibling === undefined ? undefined : `${parent}${sibling}`) ?? elsewhere(path, all);
  if (meant !== undefined) return meant;
  const near = nearest(last, [...all.map(lastOf), ...Object.values(SYNONYMS).flat()]);
  return near === undefined ? undefined : closest(path, [...all.filter((other) => lastOf(other) === near), ...named(near)]);
}

/** Returns the path of a name on a command line, as "learning-rate" or "rollout.n"; undefined if none is near. */
export function meantKey(name: string): string | undefined {
  return allPaths().includes(name) ? name : meantPath(name, []);
}
