/**
 * Resolved rewards as plain data, which can be sent to a child process, and the functions that grade by them.
 *
 * @module
 */
import { gradeChoice } from "./choice.ts";
import { gradeIou, gradePoint } from "./grounding.ts";
import { gradeMath } from "./math.ts";
import type { RewardInput, RewardResult, Score } from "./reward.ts";
import { type BatchRewardFunction, checkRewardValue, type RewardFunction, type RewardModule, RewardShapeError } from "./reward_module.ts";
import { gradeExact, gradeFormat, gradeLength, gradeNumber } from "./text.ts";

interface BuiltIn {
  /** The default name of its part of a reward. */
  readonly part: string;
  // deno-lint-ignore no-explicit-any -- each takes its own options, checked by the registry's schema
  grade(input: RewardInput, options: any): Score;
}

const VERIFIERS = {
  math: { part: "accuracy", grade: gradeMath },
  "multiple_choice": { part: "accuracy", grade: gradeChoice },
  exact: { part: "accuracy", grade: gradeExact },
  number: { part: "accuracy", grade: gradeNumber },
  iou: { part: "accuracy", grade: gradeIou },
  point: { part: "accuracy", grade: gradePoint },
  format: { part: "format", grade: gradeFormat },
  length: { part: "length", grade: gradeLength },
} satisfies Record<string, BuiltIn>;

/** The name of a built-in verifier. */
export type VerifierName = keyof typeof VERIFIERS;

const verifierOf = (name: string): BuiltIn | undefined => Object.hasOwn(VERIFIERS, name) ? VERIFIERS[name as VerifierName] : undefined;

/** Names of the built-in verifiers. */
export const VERIFIER_NAMES: readonly string[] = Object.keys(VERIFIERS);

/** Returns the default name of a built-in verifier's part: "accuracy", "format" or "length". */
export function defaultPart(verifier: string): string {
  return verifierOf(verifier)?.part ?? "accuracy";
}

/** A part of a reward: a built-in verifier by its name, or a module by its index in {@linkcode RewardPlan.modules}. */
export interface PlannedPart {
  /** The part's name in the result. */
  readonly name: string;
  /** The part's factor in the overall reward. */
  readonly weight: number;
  /** Name of the built-in verifier; absent for a module. */
  readonly verifier?: string;
  /** Index of the module; absent for a verifier. */
  readonly module?: number;
  /** Options for the verifier, or the second argument of the module's function. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** A resolved reward, as plain data. */
export interface RewardPlan {
  /** The parts, whose weighted sum is the overall reward; undefined if a single module gives the whole result. */
  readonly parts?: readonly PlannedPart[];
  /** URLs of modules. */
  readonly modules: readonly string[];
  /** Hosts that the modules need to reach, such as an HTTP service. */
  readonly net?: readonly string[];
  /** Options for the single module. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** The result for one sample, or why there is none. */
export type Outcome = { readonly result: RewardResult } | { readonly failure: "threw" | "shape"; readonly message: string };

/** Grades samples by a plan. */
export interface Grader {
  /** Whether it can grade several samples together. */
  readonly batch: boolean;
  /** Grades one sample. The promise never rejects. */
  grade(input: RewardInput): Promise<Outcome>;
  /** Grades samples together. The promise rejects if the batch function throws or does not return one value per sample. */
  gradeBatch(inputs: readonly RewardInput[]): Promise<Outcome[]>;
}

/** Returns the functions that a module exports under any of the accepted names. */
function functionsOf(module: RewardModule, url: string): { single?: RewardFunction; batch?: BatchRewardFunction } {
  const single = module.reward ?? module.default;
  if (module.batch !== undefined && typeof module.batch === "function") return { batch: module.batch };
  if (typeof single === "function") return { single };
  throw new TypeError(`Cannot use ${url} as a reward: it exports no function "default", "reward" or "batch"`);
}

/**
 * Makes a grader from a plan.
 *
 * @param modules The plan's modules, imported, in the plan's order.
 * @throws TypeError if a module exports no reward.
 * @example
 * ```ts
 * import { makeGrader, planReward } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * const grader = makeGrader(planReward("math", import.meta.url), []);
 * assertEquals(await grader.grade({ response: "\\boxed{0.5}", truth: "1/2" }), { result: { overall: 1, parts: { accuracy: 1 }, answer: "0.5" } });
 * ```
 */
export function makeGrader(plan: RewardPlan, modules: readonly RewardModule[]): Grader {
  const functions = plan.modules.map((url, i) => functionsOf(modules[i]!, url));
  const batch = functions.some((f) => f.batch !== undefined);

  /** Returns a module's results for samples. */
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
      if (verifier !== undefined) return inputs.map((input) => verifierOf(verifier)!.grade(input, options));
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
 * Returns the weighted sum of parts, and the parts by name. If a part is NaN, the sum is NaN, unless the part's weight is 0.
 *
 * @example
 * ```ts
 * import { combine } from "@kedge/kedge/rewards";
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

/** Returns an error's name and message, at most 2,000 characters. */
export function describe(error: unknown): string {
  let text: string;
  try {
    text = String(error);
  } catch {
    text = "the thrown value has no text";
  }
  return text.slice(0, 2_000);
}
