import { Tensor } from "../../tensor/tensor.ts";
import { type AtrlOptions, KERNEL_MODES } from "./options.ts";
import { oracleWeights } from "../credit/oracle_weights.ts";
import type { Responses } from "../credit/responses.ts";

/** Names the random draws of a response. */
export interface ResponseKey {
  /** The prompt's id, below 2^53 or a bigint below 2^64. */
  prompt: number | bigint;
  /** The number of the sample among the prompt's samples, below 2^32. */
  sample: number;
}

/** The inputs of {@linkcode tokenWeights}. */
export interface WeightInputs {
  /** f32[tokens]: the numbers by which tokens are told apart, those of `tokenScore`. */
  connectivity: Tensor;
  /** i32[tokens], for mode "soft". */
  cluster?: Tensor | undefined;
  /** [responses]: whether the prompt has visual tokens. Default: all have. A response without has weights of 1 in every mode. */
  visual?: ArrayLike<boolean> | undefined;
  /** [responses]: names of the random draws, for mode "random". */
  keys?: readonly ResponseKey[] | undefined;
  /** [tokens]: the class of each token as an index into `TOKEN_CLASSES`, for mode "oracle". */
  classes?: ArrayLike<number> | undefined;
}

/**
 * Computes the weights of tokens, and which tokens are anchors, with the kernel (kedge.h, kedge_token_weights). Weights of mode "oracle" are
 * computed on the host. `rl/credit/plain_weights.ts` defines them: W(C_k).
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
  const { device, tokens, count } = responses, { connectivity, cluster, visual, keys, classes } = inputs, { mode } = options;
  responses.check("connectivity", connectivity, { dtype: "f32" });
  if (cluster) responses.check("clusters", cluster, { dtype: "i32" });
  for (const [name, list] of [["visual", visual], ["keys", keys]] as const) {
    if (list && list.length !== count) throw new RangeError(`Cannot weight ${count} responses: ${name} has ${list.length} entries`);
  }
  if (mode === "soft" && !cluster) throw new RangeError("Cannot weight tokens by cluster: cluster is missing");
  if (mode === "random" && !keys) throw new RangeError(`Cannot draw random weights: keys are missing`);
  if (mode === "oracle" && classes?.length !== tokens) {
    throw new RangeError(
      `Cannot give oracle weights to ${tokens} tokens: ${classes ? `classes has ${classes.length} entries` : "classes are missing"}`,
    );
  }
  using stack = new DisposableStack();
  const weights = stack.use(Tensor.empty(device, [tokens])), flags = stack.use(Tensor.empty(device, [tokens], { dtype: "u8" }));
  using seen = visual ? Tensor.from(device, Uint8Array.from(visual, Number)) : undefined;
  using words = mode === "random" ? Tensor.from(device, keyWords(keys!)) : undefined;
  // deno-fmt-ignore
  device.ops.tokenWeights(
    weights.address, flags.address, connectivity.address, cluster?.address ?? 0, seen?.address ?? 0, words?.address ?? 0, ...responses.shape,
    KERNEL_MODES.indexOf(mode === "oracle" ? "off" : mode), options.anchorFraction, options.wMin, options.wMax, options.temperature, options.own,
    options.normalise === "mean-one" ? 1 : 0, options.seed,
  );
  if (mode === "oracle") weights.write(hostOracle(responses, { classes: classes!, visual }, options));
  stack.move();
  return { weights, flags };
}

/** Returns the weights of mode "oracle" of all responses. */
function hostOracle(
  { offsets, count, tokens }: Responses,
  { classes, visual }: { classes: ArrayLike<number>; visual: ArrayLike<boolean> | undefined },
  options: AtrlOptions,
): Float32Array<ArrayBuffer> {
  const all = Uint8Array.from(classes), weights = new Float32Array(tokens).fill(1);
  for (let i = 0; i < count; i++) {
    if (!visual || visual[i]) weights.set(oracleWeights(all.subarray(offsets[i], offsets[i + 1]), options), offsets[i]);
  }
  return weights;
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
