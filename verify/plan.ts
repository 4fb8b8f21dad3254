/**
 * Rewards as data: what a configuration says, resolved, in a form that crosses to a child process; and how it is carried out.
 *
 * @module
 */
import { gradeChoice } from "./choice.ts";
import { gradeIou, gradePoint } from "./grounding.ts";
import { gradeMath } from "./math.ts";
import type { RewardInput, RewardResult, Score } from "./reward.ts";
import { type BatchRewardFunction, checkRewardValue, type RewardFunction, type RewardModule, RewardShapeError } from "./reward_module.ts";
import { gradeExact, gradeFormat, gradeLength, gradeNumber } from "./text.ts";

// deno-lint-ignore no-explicit-any -- each takes its own options, checked by the registry's schema
const VERIFIERS: Readonly<Record<string, { part: string; grade: (input: RewardInput, options: any) => Score }>> = {
  math: { part: "accuracy", grade: gradeMath },
  "multiple_choice": { part: "accuracy", grade: gradeChoice },
  exact: { part: "accuracy", grade: gradeExact },
  number: { part: "accuracy", grade: gradeNumber },
  iou: { part: "accuracy", grade: gradeIou },
  point: { part: "accuracy", grade: gradePoint },
  format: { part: "format", grade: gradeFormat },
  length: { part: "length", grade: gradeLength },
};

/** Names of the verifiers that are built in. */
export const VERIFIER_NAMES: readonly string[] = Object.keys(VERIFIERS);

/** The part's name that a built-in verifier's score has by default: "accuracy", "format" or "length". */
export function defaultPart(verifier: string): string {
  return VERIFIERS[verifier]?.part ?? "accuracy";
}

/** A part of a reward: a built-in verifier by its name, or a module by its place in {@linkcode RewardPlan.modules}. */
export interface PlannedPart {
  /** Name in the result. */
  readonly name: string;
  /** Factor in the overall reward. */
  readonly weight: number;
  /** Built-in verifier; absent of a module. */
  readonly verifier?: string;
  /** Index of the module; absent of a verifier. */
  readonly module?: number;
  /** Options of the verifier, or second argument of the module's function. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** A reward, resolved. Plain data. */
export interface RewardPlan {
  /** The parts, whose weighted sum is the overall reward; undefined where the one module gives the whole result itself. */
  readonly parts?: readonly PlannedPart[];
  /** URLs of modules. */
  readonly modules: readonly string[];
  /** Hosts that the modules reach by their own nature. */
  readonly net?: readonly string[];
  /** Options of the one module. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** One graded sample, or why it could not be. */
export type Outcome = { readonly result: RewardResult } | { readonly failure: "threw" | "shape"; readonly message: string };

/** A plan put to work. */
export interface Grader {
  /** Whether it grades several samples at once. */
  readonly batch: boolean;
  /** Grades one sample; never rejects. */
  grade(input: RewardInput): Promise<Outcome>;
  /** Grades samples together; rejects where the batch function throws or gives something else than one value a sample. */
  gradeBatch(inputs: readonly RewardInput[]): Promise<Outcome[]>;
}

/** A module's functions, whichever way it exports them. */
function functionsOf(module: RewardModule, url: string): { single?: RewardFunction; batch?: BatchRewardFunction } {
  const single = module.reward ?? module.default;
  if (module.batch !== undefined && typeof module.batch === "function") return { batch: module.batch };
  if (typeof single === "function") return { single };
  throw new TypeError(`Cannot use ${url} as a reward: it exports no function "default", "reward" or "batch"`);
}

/**
 * Puts a plan to work.
 *
 * @param modules The plan's modules, imported, in its order.
 * @throws TypeError where a module exports no reward.
 *
 * @example
 * ```ts
 * import { makeGrader } from "./plan.ts";
 * import { planReward } from "./registry.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const grader = makeGrader(planReward("math", import.meta.url), []);
 * assertEquals(await grader.grade({ response: "\\boxed{0.5}", truth: "1/2" }), { result: { overall: 1, parts: { accuracy: 1 }, answer: "0.5" } });
 * ```
 */
export function makeGrader(plan: RewardPlan, modules: readonly RewardModule[]): Grader {
  const functions = plan.modules.map((url, i) => functionsOf(modules[i]!, url));
  const batch = functions.some((f) => f.batch !== undefined);

  /** A module's results on samples. */
  const call = async (
    module: number,
    inputs: readonly RewardInput[],
    options: Readonly<Record<string, unknown>>,
  ): Promise<RewardResult[]> => {
    const { single, batch: many } = functions[module]!, url = plan.modules[module]!;
    if (single !== undefined) return await Promise.all(inputs.map(async (input) => checkRewardValue(await single(input, options), url)));
    const values: unknown = await many!(inputs, options);
    if (!Array.isArray(values) || values.length !== inputs.length) {
      throw new RewardShapeError(
        `Cannot use what ${url} returned: batch() gave ${
          Array.isArray(values) ? `${values.length} values` : typeof values
        } for ${inputs.length} samples`,
      );
    }
    return values.map((value) => checkRewardValue(value, url));
  };

  const together = async (inputs: readonly RewardInput[]): Promise<RewardResult[]> => {
    if (plan.parts === undefined) return await call(0, inputs, plan.options ?? {});
    const scores = await Promise.all(plan.parts.map(async ({ verifier, module, options }): Promise<Score[]> => {
      if (verifier !== undefined) return inputs.map((input) => VERIFIERS[verifier]!.grade(input, options));
      return (await call(module!, inputs, options)).map(({ overall }) => ({ score: overall }));
    }));
    return inputs.map((_, i) => combine(plan.parts!, scores.map((part) => part[i]!)));
  };

  return {
    batch,
    async grade(input) {
      try {
        return { result: (await together([input]))[0]! };
      } catch (error) {
        return { failure: error instanceof RewardShapeError ? "shape" : "threw", message: describe(error) };
      }
    },
    async gradeBatch(inputs) {
      return (await together(inputs)).map((result) => ({ result }));
    },
  };
}

/**
 * The weighted sum of parts, with the parts by name. NaN in one makes the whole NaN, unless its weight is 0.
 *
 * @example
 * ```ts
 * import { combine } from "./plan.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const parts = [{ name: "accuracy", weight: 0.75 }, { name: "format", weight: 0.25 }];
 * assertEquals(combine(parts, [{ score: 1, answer: "7" }, { score: 0 }]), { overall: 0.75, parts: { accuracy: 1, format: 0 }, answer: "7" });
 * ```
 */
export function combine(parts: readonly Pick<PlannedPart, "name" | "weight">[], scores: readonly Score[]): RewardResult {
  let overall = 0;
  const named: Record<string, number> = {};
  for (const [i, { name, weight }] of parts.entries()) {
    const { score } = scores[i]!;
    if (weight !== 0) overall += weight * score;
    named[name] = score;
  }
  const answer = scores.find((score) => score.answer !== undefined)?.answer;
  return answer === undefined ? { overall, parts: named } : { overall, parts: named, answer };
}

/** An error's name and words, at most 2,000 characters. */
export function describe(error: unknown): string {
  let text: string;
  try {
    text = String(error);
  } catch {
    text = "something that has no text was thrown";
  }
  return text.slice(0, 2_000);
}
