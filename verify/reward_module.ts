/**
 * The interface of users' reward modules.
 *
 * @module
 */
import type { RewardInput, RewardResult } from "./reward.ts";

/**
 * What a reward function gives: a number, or the overall reward with further named parts. Numbers are finite, or NaN, which leaves the sample out of
 * its group's statistics.
 */
export type RewardValue = number | ({ readonly overall: number } & Readonly<Record<string, number>>);

/** Grades one sample. `options` are those of the configuration. May be async. */
export type RewardFunction = (
  input: RewardInput,
  options: Readonly<Record<string, unknown>>,
) => RewardValue | Promise<RewardValue>;

/** Grades several samples at once and gives one value each, in order. May be async. */
export type BatchRewardFunction = (
  inputs: readonly RewardInput[],
  options: Readonly<Record<string, unknown>>,
) => readonly RewardValue[] | Promise<readonly RewardValue[]>;

/**
 * A module named by `reward: "./my_reward.ts"`: it exports a function as `default` or `reward`, or `batch`, which goes first. It runs in a child process. Without leave
 * it may import files of its own folder and below, Kedge's code, and packages by name (npm, JSR), all as its source names them; Deno fetches packages before it runs. It
 * may read, import, reach or see nothing else, but what the configuration names: `grader.read` (paths), `grader.net` (hosts), `grader.env` (variables). It may never
 * write, run programs or open libraries. What it prints goes to standard error.
 */
export interface RewardModule {
  /** Grades one sample. */
  readonly default?: RewardFunction;
  /** Grades one sample; goes before `default`. */
  readonly reward?: RewardFunction;
  /** Grades several samples; goes before both. */
  readonly batch?: BatchRewardFunction;
}

/**
 * A reward function gave something that is no {@linkcode RewardValue}.
 *
 * @example
 * ```ts
 * import { checkRewardValue, RewardShapeError } from "./reward_module.ts";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(() => checkRewardValue("good", "m.ts"), RewardShapeError, "Cannot use what m.ts returned");
 * ```
 */
export class RewardShapeError extends TypeError {
  /** "RewardShapeError". */
  override readonly name = "RewardShapeError";
}

const isNumber = (value: unknown): value is number => typeof value === "number" && (Number.isFinite(value) || Number.isNaN(value));

function show(value: unknown): string {
  if (typeof value === "number" || value === undefined || value === null) return String(value);
  return typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : typeof value;
}

/**
 * What a reward function gave, checked.
 *
 * @param value What it gave.
 * @param source The module's URL, for the error.
 * @throws RewardShapeError where it is neither a number nor an object of numbers with `overall`.
 *
 * @example
 * ```ts
 * import { checkRewardValue } from "./reward_module.ts";
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
