import { KedgeError } from "../../ffi/errors.ts";
import type { Config } from "./schema.ts";

/** Keys, or sections, that may differ when a run is resumed. All others would make of it another run. */
export const MAY_CHANGE: readonly string[] = [
  "device",
  "threads",
  "trainer.maxSteps",
  "trainer.totalEpochs",
  "trainer.saveFreq",
  "trainer.saveLimit",
  "trainer.saveBest",
  "trainer.valFreq",
  "logging",
  "sft.saveFreq",
  "grader",
  "optim.lr",
  "rollout.temperature",
  "rollout.maxSequences", // what bounds the engine changes no result
  "rollout.memoryBytes",
  "algorithm.entropyCoefficient",
  "algorithm.kl.coefficient",
  "atrl",
  "batch.microTokens",
  "data.prefetch",
];

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** The paths at which two values differ, with both. The order of keys counts for nothing, and undefined is as good as left out. */
function differences(a: unknown, b: unknown, path = ""): { path: string; old: unknown; now: unknown }[] {
  if (MAY_CHANGE.includes(path)) return [];
  if (isObject(a) && isObject(b)) {
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((key) =>
      differences(a[key], b[key], path === "" ? key : `${path}.${key}`)
    );
  }
  return JSON.stringify(a) === JSON.stringify(b) ? [] : [{ path, old: a, now: b }];
}

/**
 * Checks that a run may go on under a configuration.
 *
 * @throws {KedgeError} `BadCheckpoint` that lists every key that differs and must not, with both values; its details have them as `differences`.
 *
 * @example
 * ```ts
 * import { checkResume } from "./resume.ts";
 * import { configSchema } from "./schema.ts";
 * import { KedgeError } from "../../ffi/errors.ts";
 * import { assertThrows } from "@std/assert";
 *
 * const old = configSchema.parse({});
 * checkResume(old, configSchema.parse({ optim: { lr: 1e-5 } }));
 * assertThrows(() => checkResume(old, configSchema.parse({ rollout: { n: 4 } })), KedgeError, "rollout.n was 8, now 4");
 * ```
 */
export function checkResume(old: Config, now: Config): void {
  const found = differences(old, now);
  if (found.length === 0) return;
  const list = found.map(({ path, old, now }) =>
    `${path} was ${JSON.stringify(old) ?? "not there"}, now ${JSON.stringify(now) ?? "not there"}`
  );
  throw new KedgeError(
    "BadCheckpoint",
    `Cannot resume the run: ${list.join("; ")}. Set these back, or give the run another name. What may change: ${MAY_CHANGE.join(", ")}`,
    { differences: found },
  );
}
