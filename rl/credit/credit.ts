import type { Tensor } from "../../tensor/tensor.ts";

/** Methods that say which tokens of a response earned its advantage. "none": all alike. */
export const CREDIT_METHODS = ["atrl", "vppo", "none"] as const;
/** One of {@linkcode CREDIT_METHODS}. */
export type CreditMethod = typeof CREDIT_METHODS[number];

/** What a method came to for packed responses: a factor of the advantage for each token, whatever the method. */
export interface TokenCredit extends Disposable {
  /** Which method it is. */
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
  /** Numbers of this step by metric name, such as "atrl/anchor_fraction". What is not defined is left out. */
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
export function checkCredit(method: CreditMethod, loss: string): void {
  if (!CREDIT_METHODS.includes(method)) {
    throw new RangeError(`Cannot assign credit by ${JSON.stringify(method)}: the methods are ${CREDIT_METHODS.join(", ")}`);
  }
  if (method !== "none" && loss === "gspo") {
    throw new RangeError(
      `Cannot use credit "${method}" with the loss "gspo": one ratio for a whole response cancels weights of its tokens; choose the loss "gspo_token"`,
    );
  }
}
