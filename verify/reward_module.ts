/**
 * The interface of users' reward modules.
 *
 * @module
 */
import type { RewardInput, RewardResult } from "./reward.ts";

/**
 * The result of a reward function: a number, or the overall reward with further named parts. Numbers are finite or NaN. A sample with NaN
 * is left out of its group's statistics.
 */
export type RewardValue = number | ({ readonly overall: number } & Readonly<Record<string, number>>);

/** Grades one sample. `options` comes from the configuration. It may be async. */
export type RewardFunction = (
  input: RewardInput,
  options: Readonly<Record<string, unknown>>,
) => RewardValue | Promise<RewardValue>;

/** Grades several samples at once and returns one value for each, in order. It may be async. */
export type BatchRewardFunction = (
  inputs: readonly RewardInput[],
  options: Readonly<Record<string, unknown>>,
) => readonly RewardValue[] | Promise<readonly RewardValue[]>;

/**
 * A module that `reward: "./my_reward.ts"` names. It exports a function as `default`, `reward` or `batch`; `batch` takes precedence.
 *
 * The module runs in a child process. Without further permission it may import files of its own folder and below, Kedge's code, and
 * packages by name (npm, JSR), if its source names them. Deno fetches packages before the module runs. Everything else needs a key of the
 * configuration: `grader.read` (paths), `grader.net` (hosts), `grader.env` (variables). The module may never write, run programs or open
 * libraries. What it prints goes to standard error.
 */
export interface RewardModule {
  /** Grades one sample. */
  readonly default?: RewardFunction;
  /** Grades one sample. It takes precedence over `default`. */
  readonly reward?: RewardFunction;
  /** Grades several samples. It takes precedence over both others. */
  readonly batch?: BatchRewardFunction;
}

/**
 * Is thrown if a reward function returns something that is not a {@linkcode RewardValue}.
 *
 * @example
 * ```ts
 * import { checkRewardValue, RewardShapeError } from "@kedge/kedge/rewards";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(() => checkRewardValue("good", "m.ts"), RewardShapeError, "Cannot use what m.ts returned");
 * ```
 */
export class RewardShapeError extends TypeError {
  /** The error's name, "RewardShapeError". */
  override readonly name = "RewardShapeError";
}

const isNumber = (value: unknown): value is number => typeof value === "number" && (Number.isFinite(value) || Number.isNaN(value));

function show(value: unknown): string {
  if (typeof value === "number" || value === undefined || value === null) return String(value);
  return typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : typeof value;
}

/**
 * Checks what a reward function returned.
 *
 * @param value The returned value.
 * @param source The module's URL, for the error.
 * @throws RewardShapeError if the value is neither a number nor an object of numbers with `overall`.
 * @example
 * ```ts
 * import { checkRewardValue } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(checkRewardValue({ overall: 1, style: 0.5 }, "m.ts"), { overall: 1, parts: { style: 0.5 } });
 * ```
 */
export function checkRewardValue(value: unknown, source: string): RewardResult {
  const refuse = (what: string): never => {
    throw new RewardShapeError(
      `Cannot use what ${source} returned: ${what}; a reward is a finite number, NaN, or { overall, ...parts } of such numbers`,
    );
  };
  if (isNumber(value)) return { overall: value, parts: {} };
  if (typeof value !== "object" || value === null) return refuse(`it is ${show(value)}`);
  const { overall, ...parts } = value as Record<string, unknown>;
  if (!isNumber(overall)) return refuse(`its "overall" is ${show(overall)}`);
  const checked: Record<string, number> = {};
  for (const [name, part] of Object.entries(parts)) checked[name] = isNumber(part) ? part : refuse(`its "${name}" is ${show(part)}`);
  return { overall, parts: checked };
}
