/**
 * The interface of users' credit modules: `algorithm.credit: "./custom_credit.ts"`.
 *
 * @module
 */
import { numbersOf, shown, type UserFunction } from "../user_module.ts";
import type { ResponseKey } from "../atrl/weights.ts";
import type { WeightInput } from "./plain_weights.ts";

/** The numbers of one response of T tokens. The arrays are views: a module may read them, but must not write to them. */
export interface CreditInput extends WeightInput {
  /** [T]: the share of a token's attention that falls on the picture, in [0, 1]. */
  readonly connectivity: Float32Array;
  /** [T, regions], row by row: the same by region of the picture. */
  readonly profile: Float32Array;
  /** The number of regions of a profile; 0 without a picture. */
  readonly regions: number;
  /** [T]: the number of each token's cluster, counted from 0. */
  readonly cluster: Int32Array;
  /** [T]: log-probs of the tokens, as they were sampled. */
  readonly logprobs: Float32Array;
  /** [T]: entropy of the policy at each sampled token, in nats. */
  readonly entropy: Float32Array;
}

/**
 * Weights the tokens of one response: returns T finite numbers, by which the advantages of the tokens are multiplied. It is called once for
 * each response of a step, and has the signature of `plainWeights`, which takes the numbers of `plainScore` as connectivity. `options` are
 * those of the configuration. It may not be async.
 */
export type CreditFunction = (response: CreditInput, options: Readonly<Record<string, unknown>>) => ArrayLike<number>;

/** A module named by `algorithm.credit`. It runs in the training process, with all of its permissions. */
export interface CreditModule {
  /** Weights the tokens of one response. */
  readonly default?: CreditFunction;
  /** The same; it has precedence over `default`. */
  readonly credit?: CreditFunction;
}

/**
 * Computes the weights of packed responses with a user's function.
 *
 * @param responses Each response's numbers, in the order of the packing. A response without tokens is skipped.
 * @returns [tokens]: the weights of all responses, one after another.
 * @throws {TypeError} that names the module and the response, if the function returns anything but a finite number for each token.
 * @example
 * ```ts
 * import { type CreditInput, moduleWeights } from "@kedge/kedge/rl";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const response = { connectivity: Float32Array.of(0.25, 0.75), key: { prompt: 4, sample: 0 } } as CreditInput;
 * const by = (call: (response: CreditInput) => number[]) => moduleWeights([response], { call, options: {}, source: "file:///mine.ts" });
 * assertEquals([...by(({ connectivity }) => [...connectivity].map((c) => 2 * c))], [0.5, 1.5]);
 * assertThrows(() => by(() => [1]), TypeError, "file:///mine.ts for sample 0 of prompt 4: it gave 1 weights for 2 tokens");
 * ```
 */
export function moduleWeights(
  responses: readonly CreditInput[],
  { call, options, source }: UserFunction<CreditFunction>,
): Float32Array<ArrayBuffer> {
  const weights = new Float32Array(responses.reduce((total, { connectivity }) => total + connectivity.length, 0));
  let at = 0;
  for (const response of responses) {
    const { key, connectivity: { length } } = response;
    if (length > 0) weights.set(checked(call(response, options), { length, key, source }), at);
    at += length;
  }
  return weights;
}

/** Checks a user's weights of one response. */
function checked(value: unknown, { length, key, source }: { length: number; key: ResponseKey; source: string }): ArrayLike<number> {
  const weights = numbersOf(value);
  const refuse = (what: string): never => {
    throw new TypeError(`Cannot use the weights of ${source} for sample ${key.sample} of prompt ${key.prompt}: it gave ${what}`);
  };
  if (!weights) return refuse(`${shown(value)}, not an array of ${length} weights`);
  if (weights.length !== length) return refuse(`${weights.length} weights for ${length} tokens`);
  for (let t = 0; t < length; t++) {
    if (!Number.isFinite(weights[t])) return refuse(`${shown(weights[t])} as the weight of token ${t}, not a finite number`);
  }
  return weights as ArrayLike<number>;
}
