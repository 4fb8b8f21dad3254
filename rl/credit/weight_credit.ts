import { Tensor } from "../../tensor/tensor.ts";
import type { Responses } from "../atrl/responses.ts";
import { weightedAdvantage } from "../atrl/weights.ts";
import type { TokenCredit } from "./credit.ts";

/** Every token alike: weights of 1. */
export function uniformCredit(responses: Responses): TokenCredit {
  return new WeightCredit("none", responses, { weights: new Float32Array(responses.tokens).fill(1) });
}

/** Credit whose weights were computed on the host. */
export class WeightCredit implements TokenCredit {
  readonly weights: Tensor;
  readonly #report: Record<string, number>;

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

  [Symbol.dispose](): void {
    this.weights[Symbol.dispose]();
  }
}
