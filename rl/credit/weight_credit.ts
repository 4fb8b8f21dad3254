import { Tensor } from "../../tensor/tensor.ts";
import type { Responses } from "./responses.ts";
import { weightedAdvantage } from "./advantage.ts";
import type { TokenCredit } from "./credit.ts";

/**
 * The credit that treats every token alike: weights of 1.
 *
 * @example
 * ```ts
 * import { Responses, uniformCredit } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [2, 1]);
 * using credit = uniformCredit(responses);
 * using advantages = credit.advantages(Tensor.from(device, [1, -1]));
 * assertEquals([...advantages.toArray()], [1, 1, -1]);
 * ```
 */
export function uniformCredit(responses: Responses): TokenCredit {
  return new WeightCredit("none", responses, { weights: new Float32Array(responses.tokens).fill(1) });
}

/**
 * A credit whose weights were computed on the host.
 *
 * @example
 * ```ts
 * import { Responses, WeightCredit } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [3]);
 * using credit = new WeightCredit("vppo", responses, { weights: Float32Array.of(0, 3, 0) });
 * using advantages = credit.advantages(Tensor.from(device, [2]));
 * assertEquals([...advantages.toArray()], [0, 6, 0]);
 * ```
 */
export class WeightCredit implements TokenCredit {
  readonly weights: Tensor;
  readonly #report: Record<string, number>;

  /** Takes weights to the device. @param given `weights`: a factor of each token's advantage; `report`: the method's metrics. */
  constructor(
    readonly method: TokenCredit["method"],
    readonly responses: Responses,
    given: { weights: Float32Array<ArrayBuffer>; report?: Record<string, number> },
  ) {
    this.weights = Tensor.from(responses.device, given.weights);
    this.#report = given.report ?? {};
  }

  advantages(advantage: Tensor, options: { mask?: Tensor | undefined; perToken?: boolean } = {}): Tensor {
    return weightedAdvantage(this.responses, { weights: this.weights, advantage, ...options });
  }

  report(): Record<string, number> {
    return { ...this.#report };
  }

  /** Frees the weights. */
  [Symbol.dispose](): void {
    this.weights[Symbol.dispose]();
  }
}
