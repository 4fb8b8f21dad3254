import { type FilePrint, printChanges } from "../../data/file_print.ts";
import { KedgeError } from "../../ffi/errors.ts";
import type { Config } from "./schema.ts";

/** The keys and sections that may differ when a run is resumed. A change of any other key would make it a different run. */
export const MAY_CHANGE: readonly string[] = [
  "runDir", // a run may be moved
  "device",
  "threads",
  "model.checkpointing", // gradients are the same to the bit
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
  "world", // the trainer compares its lanes with those of the checkpoint
  "data.prefetch",
  "data.allowChanged",
  "data.classes", // a measurement; what they weight is atrl.mode's business
];

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** A key whose values differ. */
interface Difference {
  readonly path: string;
  readonly old: unknown;
  readonly now: unknown;
}

/**
 * Returns the paths at which two values differ, with both values. The order of keys does not count, and undefined is the same as absent.
 *
 * @param skipped Paths at which they may differ.
 */
function differences(a: unknown, b: unknown, path: string, skipped: readonly string[]): Difference[] {
  if (skipped.includes(path)) return [];
  if (isObject(a) && isObject(b)) {
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((key) =>
      differences(a[key], b[key], path === "" ? key : `${path}.${key}`, skipped)
    );
  }
  return JSON.stringify(a) === JSON.stringify(b) ? [] : [{ path, old: a, now: b }];
}

const listed = (changes: readonly Difference[]) =>
  changes.map(({ path, old, now }) => `${path} was ${JSON.stringify(old) ?? "not there"}, now ${JSON.stringify(now) ?? "not there"}`)
    .join("; ");

/**
 * Checks that a run may resume with a configuration.
 *
 * @throws {KedgeError} `BadCheckpoint` that lists every key that differs and must not, with both values. Its details have them as
 *   `differences`.
 *
 * @example
 * ```ts
 * import { checkResume, configSchema } from "@kedge/kedge/actors";
 * import { KedgeError } from "@kedge/kedge/tensor";
 * import { assertThrows } from "@std/assert";
 *
 * const old = configSchema.parse({});
 * checkResume(old, configSchema.parse({ optim: { lr: 1e-5 } }));
 * assertThrows(() => checkResume(old, configSchema.parse({ rollout: { n: 4 } })), KedgeError, "rollout.n was 8, now 4");
 * ```
 */
export function checkResume(old: Config, now: Config): void {
  const changes = differences(old, now, "", MAY_CHANGE);
  if (changes.length === 0) return;
  throw new KedgeError(
    "BadCheckpoint",
    `Cannot resume the run: ${listed(changes)}. Set these back, or give the run another name. What may change: ${MAY_CHANGE.join(", ")}`,
    { differences: changes },
  );
}

/**
 * Returns words about the options of AT-RL with which a resumed run goes on, where they differ from those of its checkpoint: by a change of
 * the configuration, or by other defaults of another version. undefined: they are the same.
 *
 * @example
 * ```ts
 * import { atrlChanges } from "./resume.ts";
 * import { configSchema } from "./schema.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const old = configSchema.parse({ atrl: { own: 0 } });
 * assertEquals(atrlChanges(old, old), undefined);
 * assertEquals(atrlChanges(old, configSchema.parse({ atrl: { own: 0.5 } })), "Goes on with other options of AT-RL: atrl.own was 0, now 0.5");
 * ```
 */
export function atrlChanges({ atrl: old }: Config, { atrl: now }: Config): string | undefined {
  const changes = differences(old, now, "atrl", []);
  return changes.length === 0 ? undefined : `Goes on with other options of AT-RL: ${listed(changes)}`;
}

/**
 * Checks that a run may resume with the current data files.
 *
 * @param old The prints of the files in the checkpoint.
 * @param options `allowed`: the value of `data.allowChanged`.
 * @returns `words`: the changes, if they are allowed. `train`: whether rows to train on have changed.
 * @throws {KedgeError} `BadCheckpoint` that says which file has changed and how, if that is not allowed.
 *
 * @example
 * ```ts
 * import { checkData } from "./resume.ts";
 * import { KedgeError } from "@kedge/kedge/tensor";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const print = { name: "a.jsonl", rows: 1, bytes: 34, hash: "x" }, old = { train: [print], val: [] };
 * const now = { train: [{ ...print, hash: "y" }], val: [] };
 * assertThrows(() => checkData(old, now, { allowed: false }), KedgeError, "a.jsonl has different rows");
 * assertEquals(checkData(old, now, { allowed: true }), { train: true, words: ["a.jsonl has different rows"] });
 * ```
 */
export function checkData(
  old: Readonly<Record<"train" | "val", readonly FilePrint[]>>,
  now: Readonly<Record<"train" | "val", readonly FilePrint[]>>,
  { allowed }: { allowed: boolean },
): { train: boolean; words: string[] } {
  const train = printChanges(old.train, now.train), words = [...new Set([...train, ...printChanges(old.val, now.val)])];
  if (words.length === 0 || allowed) return { train: train.length > 0, words };
  throw new KedgeError(
    "BadCheckpoint",
    `Cannot resume the run: its data have changed: ${
      words.join("; ")
    }. Put back the files that it began with, give the run another name, or go on with ` +
      `a new pass over the rows as they are by data.allowChanged true`,
    { changes: words },
  );
}
