import type { Tensor } from "../../tensor/tensor.ts";
import type { ModuleUse } from "../user_module.ts";

/** The built-in methods that say which tokens of a response earned its advantage. "none": all tokens alike. */
export const CREDIT_METHODS = ["atrl", "vppo", "none"] as const;
/** One of {@linkcode CREDIT_METHODS}. */
export type CreditMethod = typeof CREDIT_METHODS[number];

/** The result of a method for packed responses: a factor of the advantage for each token. */
export interface TokenCredit extends Disposable {
  /** The method. */
  readonly method: CreditMethod;
  /** f32[tokens] */
  readonly weights: Tensor;
  /**
   * The advantages that the loss sees: weight * A, and 0 outside the mask.
   *
   * @param advantage f32[responses], or f32[tokens] with `perToken`.
   * @param options `mask`: u8[tokens].
   * @returns f32[tokens].
   */
  advantages(advantage: Tensor, options?: { mask?: Tensor | undefined; perToken?: boolean }): Tensor;
  /** The metrics of this step by name, such as "atrl/anchor_fraction". A metric that is not defined is left out. */
  report(): Record<string, number>;
}

/**
 * Fails where a method of credit cannot act. Under the loss "gspo" every token of a response has the same ratio, so that weights with mean 1 cancel exactly.
 *
 * @throws {RangeError} which names what to choose instead.
 *
 * @example
 * ```ts
 * import { checkCredit } from "@kedge/kedge/rl";
 * import { assertThrows } from "@std/assert";
 *
 * checkCredit("atrl", "gspo_token");
 * checkCredit("none", "gspo");
 * assertThrows(() => checkCredit("atrl", "gspo"), RangeError, 'choose the loss "gspo_token"');
 * ```
 */
export function checkCredit(method: CreditMethod | ModuleUse, loss: string): void {
  const name = typeof method === "string" ? method : method.use;
  if (typeof method === "string" && !CREDIT_METHODS.includes(method)) {
    throw new RangeError(`Cannot assign credit by ${JSON.stringify(name)}: the methods are ${CREDIT_METHODS.join(", ")}`);
  }
  if (name !== "none" && loss === "gspo") {
    throw new RangeError(
      `Cannot use credit "${name}" with the loss "gspo": one ratio for a whole response cancels weights of its tokens; choose the loss "gspo_token"`,
    );
  }
}
