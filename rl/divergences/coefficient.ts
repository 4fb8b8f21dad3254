/**
 * The factor beta of a divergence: fixed, or steered towards a target. `adaptive`: after n samples with mean divergence d,
 * beta *= 1 + clip(d / target - 1, -0.2, 0.2) * n / horizon. Ziegler et al., "Fine-tuning language models from human preferences", arXiv 1909.08593.
 */
export type CoefficientConfig =
  | { kind: "fixed"; coefficient: number }
  | { kind: "adaptive"; coefficient: number; target: number; horizon: number };

/**
 * The current coefficient of a run. Its `value` is all its state.
 *
 * @example
 * ```ts
 * import { Coefficient } from "@kedge/kedge/rl";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const beta = new Coefficient({ kind: "adaptive", coefficient: 0.1, target: 0.01, horizon: 1000 });
 * beta.update(0.05, 500);
 * assertAlmostEquals(beta.value, 0.11);
 * ```
 */
export class Coefficient {
  readonly #config: CoefficientConfig;
  #value: number;

  /**
   * Starts with the coefficient of the config, or with that of an earlier run.
   *
   * @param options `value`: the last coefficient of an earlier run. Default: the config's coefficient.
   * @throws {RangeError} for a negative coefficient, or a target or horizon that is not above 0.
   */
  constructor(config: CoefficientConfig, options: { value?: number } = {}) {
    const { coefficient } = config, value = options.value ?? coefficient;
    for (const beta of [coefficient, value]) {
      if (!(beta >= 0 && beta < Infinity)) throw new RangeError(`Cannot scale a divergence by ${beta}: it is 0 or more`);
    }
    if (config.kind === "adaptive" && !(config.target > 0 && config.horizon > 0)) {
      throw new RangeError(`Cannot adapt a coefficient to target ${config.target}, horizon ${config.horizon}: both are above 0`);
    }
    this.#config = config;
    this.#value = value;
  }

  /** The current beta. */
  get value(): number {
    return this.#value;
  }

  /** Whether a reference model is needed. It is not if beta is 0 and stays 0. */
  get active(): boolean {
    return this.#value > 0;
  }

  /**
   * Updates beta after a step.
   *
   * @param divergence The step's mean divergence. A value that is not finite changes nothing.
   * @param samples The number of the step's responses.
   */
  update(divergence: number, samples: number): void {
    if (this.#config.kind === "fixed" || !Number.isFinite(divergence)) return;
    const { target, horizon } = this.#config;
    const error = Math.min(0.2, Math.max(-0.2, divergence / target - 1));
    this.#value *= Math.max(0, 1 + error * samples / horizon);
  }
}
