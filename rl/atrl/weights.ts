import { Tensor } from "../../tensor/tensor.ts";
import { ATRL_MODES, type AtrlOptions } from "./options.ts";
import type { Responses } from "./responses.ts";

/** What tells a response's random draws from another's. */
export interface ResponseKey {
  /** The prompt's id, below 2^53 or a bigint below 2^64. */
  prompt: number | bigint;
  /** Which of the prompt's samples, below 2^32. */
  sample: number;
}

/** What weights are made of. */
export interface WeightInputs {
  /** f32[tokens] */
  connectivity: Tensor;
  /** i32[tokens], for mode "soft". */
  cluster?: Tensor | undefined;
  /** Of each response, whether its prompt has visual tokens; default all. Without, its weights are 1 in every mode. */
  visual?: ArrayLike<boolean> | undefined;
  /** Of each response, for mode "random". */
  keys?: readonly ResponseKey[] | undefined;
}

/**
 * Weights with mean 1 over each response, and what is an anchor (kedge.h, kedge_token_weights).
 *
 * @returns `weights`: f32[tokens]; `flags`: u8[tokens], bit 0 for an anchor, bit 1 for a token of a cluster in the densest prefix.
 *
 * @example
 * ```ts
 * import { atrlOptions, Responses, tokenWeights } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [4]);
 * using connectivity = Tensor.from(device, [0.1, 0.6, 0.2, 0.1]);
 * const { weights, flags } = tokenWeights(responses, { connectivity }, atrlOptions({ mode: "hard", anchorFraction: 250 }));
 * assertEquals([...weights.toArray()], [0, 4, 0, 0]);
 * assertEquals([...flags.toArray()].map((bits) => Number(bits) & 1), [0, 1, 0, 0]);
 * for (const tensor of [weights, flags]) tensor[Symbol.dispose]();
 * ```
 */
export function tokenWeights(responses: Responses, inputs: WeightInputs, options: AtrlOptions): { weights: Tensor; flags: Tensor } {
  const { device, tokens, count } = responses, { connectivity, cluster, visual, keys } = inputs;
  responses.check("connectivity", connectivity, { dtype: "f32" });
  if (cluster) responses.check("clusters", cluster, { dtype: "i32" });
  for (const [name, list] of [["visual", visual], ["keys", keys]] as const) {
    if (list && list.length !== count) throw new RangeError(`Cannot weight ${count} responses: ${name} has ${list.length} entries`);
  }
  if (options.mode === "soft" && !cluster) throw new RangeError("Cannot weight tokens by cluster: cluster is missing");
  if (options.mode === "random" && !keys) throw new RangeError(`Cannot draw random weights: keys are missing`);
  using stack = new DisposableStack();
  const weights = stack.use(Tensor.empty(device, [tokens])), flags = stack.use(Tensor.empty(device, [tokens], { dtype: "u8" }));
  using seen = visual ? Tensor.from(device, Uint8Array.from(visual, Number)) : undefined;
  using words = keys ? Tensor.from(device, keyWords(keys)) : undefined;
  // deno-fmt-ignore
  device.ops.tokenWeights(
    weights.address, flags.address, connectivity.address, cluster?.address ?? 0, seen?.address ?? 0, words?.address ?? 0, ...responses.shape,
    ATRL_MODES.indexOf(options.mode), options.anchorFraction, options.wMin, options.wMax, options.temperature,
    options.normalise === "mean-one" ? 1 : 0, options.seed,
  );
  stack.move();
  return { weights, flags };
}

function keyWords(keys: readonly ResponseKey[]): Int32Array<ArrayBuffer> {
  return Int32Array.from(keys.flatMap(({ prompt, sample }, i) => {
    const id = BigInt(prompt);
    if (id < 0n || id >= 1n << 64n || !Number.isInteger(sample) || sample < 0 || sample >= 2 ** 32) {
      throw new RangeError(`Cannot draw random weights: the key of response ${i} is prompt ${prompt}, sample ${sample}`);
    }
    return [Number(id & 0xffffffffn) | 0, Number(id >> 32n) | 0, sample | 0];
  }));
}

/**
 * Weighted advantages, weight * A, and 0 outside the mask.
 *
 * @param responses The packing.
 * @param given `weights`: f32[tokens]; `advantage`: f32[count], or f32[tokens] with `perToken`; `mask`: u8[tokens], 0 for tokens that do not count.
 * @returns f32[tokens].
 *
 * @example
 * ```ts
 * import { Responses, weightedAdvantage } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [2, 1]);
 * using weights = Tensor.from(device, [0.5, 1.5, 1]);
 * using advantage = Tensor.from(device, [2, -1]);
 * using advantages = weightedAdvantage(responses, { weights, advantage });
 * assertEquals([...advantages.toArray()], [1, 3, -1]);
 * ```
 */
export function weightedAdvantage(
  responses: Responses,
  given: { weights: Tensor; advantage: Tensor; mask?: Tensor | undefined; perToken?: boolean },
): Tensor {
  const { weights, advantage, mask, perToken = false } = given, { device, tokens, count } = responses;
  responses.check("weights", weights, { dtype: "f32" });
  responses.check("advantages", advantage, { dtype: "f32", rows: perToken ? tokens : count });
  if (mask) responses.check("the mask", mask, { dtype: "u8" });
  using stack = new DisposableStack();
  const out = stack.use(Tensor.empty(device, [tokens]));
  device.ops.tokenAdvantage(out.address, weights.address, advantage.address, mask?.address ?? 0, ...responses.shape, perToken ? 1 : 0);
  stack.move();
  return out;
}
