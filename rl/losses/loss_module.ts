/**
 * The interface of users' loss modules, `algorithm.loss: "./custom_loss.ts"`, and how their loss becomes part of a training step.
 *
 * @module
 */
import { dense } from "../../tensor/ops/place.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Value } from "../../tensor/value.ts";
import { numbersOf, shown, type UserFunction } from "../user_module.ts";
import type { LossInput, LossOutput } from "./plain_loss.ts";
import { checkPolicyBatch, POLICY_LOSS_DEFAULTS, type PolicyBatch, type PolicyLossOptions, recordPolicyLoss } from "./policy_loss.ts";

/**
 * Computes the loss of one response, with its gradient. It is called for each response of each micro-batch, and has the signature of
 * `plainPolicyLoss`. `options` are those of the configuration. It may not be async.
 */
export type LossFunction = (response: LossInput, options: Readonly<Record<string, unknown>>) => LossOutput;

/** A module named by `algorithm.loss`. It runs in the training process, with all of its permissions. */
export interface LossModule {
  /** Computes the loss of one response. */
  readonly default?: LossFunction;
  /** The same; it has precedence over `default`. */
  readonly loss?: LossFunction;
}

/**
 * Computes the policy loss of a micro-batch with a user's function, in place of `policyLoss`: the sum over its responses, less the entropy
 * bonus. The numbers are copied to the host and back, so the host waits for the device.
 *
 * @param logprob f32 [n]: log-probs of the sampled tokens under the policy that is trained.
 * @throws {TypeError} that names the module and the response, if the function returns anything but a finite loss and a finite slope for
 * each token. If the log-probs of a response are not finite, its loss may be not finite too.
 * @example
 * ```ts
 * import { modulePolicyLoss, plainPolicyLoss } from "@kedge/kedge/rl";
 * import { openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using logprobs = Tensor.from(device, [-1, -2]);
 * using advantages = Tensor.from(device, [1, -1]);
 * using weights = Tensor.from(device, [0.5, 0.5]);
 * using offsets = Tensor.from(device, Int32Array.of(0, 2));
 * using tape = new Tape(device);
 * const input = tape.input(logprobs), call = (response: Parameters<typeof plainPolicyLoss>[0]) => plainPolicyLoss(response, { kind: "ppo" });
 * const loss = modulePolicyLoss(input, { old: logprobs, advantages, weights, offsets }, { call, options: {}, source: "file:///mine.ts" });
 * tape.backward(loss);
 * assertEquals([...input.gradient!.toFloats()], [-0.5, 0.5]);
 * ```
 */
export function modulePolicyLoss(
  logprob: Value,
  batch: PolicyBatch,
  by: UserFunction<LossFunction>,
  rest: Omit<PolicyLossOptions, "loss"> = {},
): Value {
  const x = dense(logprob), entropy = rest.entropy && dense(rest.entropy), { device, size: n } = x;
  const coefficient = checkPolicyBatch(x, batch, { ...rest, entropy });
  const host = {
    logprobs: x.tensor.toFloats(),
    old: batch.old.toFloats(),
    advantages: batch.advantages.toFloats(),
    weights: batch.weights.toFloats(),
    correction: batch.correction?.toFloats(),
    entropy: entropy?.tensor.toFloats(),
  };
  const offsets = batch.offsets.toArray() as Int32Array, gradient = new Float32Array(n);
  let total = 0;
  for (let s = 0; s + 1 < offsets.length; s++) {
    const [from, to] = [offsets[s]!, offsets[s + 1]!], part = (values: Float32Array) => values.subarray(from, to);
    const shares = part(host.weights), mask = Uint8Array.from(shares, (w) => Number(w !== 0));
    if (!mask.includes(1)) continue;
    const weights = Float64Array.from(shares, (w, t) => w * (host.correction?.[from + t] ?? 1));
    const response = { logprobs: part(host.logprobs), old: part(host.old), advantages: part(host.advantages), mask, weights };
    const output = checked(by.call(response, by.options), response, { source: by.source, response: s });
    total += output.loss;
    for (let t = 0; t < to - from; t++) gradient[from + t] = mask[t] ? output.gradient[t]! : 0;
  }
  const sums = statistics(host, total);
  rest.metrics?.add(sums, entropy !== undefined);
  const loss = x.tape.empty([1], "f32");
  loss.write(Float32Array.of(total - (entropy ? coefficient * sums[7]! : 0)));
  using slopes = Tensor.from(device, gradient);
  return recordPolicyLoss(x, { loss, gradient: slopes, weights: batch.weights, entropy, coefficient });
}

/** Computes the sums that the kernel computes for the metrics, except those of clipped tokens: kedge.h, kedge_policy_loss, stats. */
function statistics(
  host: { logprobs: Float32Array; old: Float32Array; weights: Float32Array; entropy: Float32Array | undefined },
  total: number,
): Float64Array<ArrayBuffer> {
  const { logprobs, old, weights, entropy } = host, s = new Float64Array(10), most = POLICY_LOSS_DEFAULTS.logRatioMax;
  s[0] = total;
  for (let i = 0; i < logprobs.length; i++) {
    if (weights[i] === 0) continue;
    const d = logprobs[i]! - old[i]!, ratio = Math.exp(Math.min(most, Math.max(-most, d))), h = entropy?.[i] ?? 0;
    s[1]! += 1, s[4]! -= d, s[5]! -= weights[i]! * logprobs[i]!, s[6]! += h, s[7]! += weights[i]! * h, s[8]! += ratio;
    s[9] = Math.max(s[9]!, ratio);
  }
  return s;
}

/** Checks a user's loss of one response. */
function checked(value: unknown, given: LossInput, { source, response }: { source: string; response: number }): LossOutput {
  const refuse = (what: string): never => {
    throw new TypeError(`Cannot use the loss of ${source} for response ${response} of a micro-batch: it gave ${what}`);
  };
  if (typeof value !== "object" || value === null || value instanceof Promise) return refuse(`${shown(value)}, not { loss, gradient }`);
  const { loss, gradient } = value as Record<string, unknown>, slopes = numbersOf(gradient), length = given.logprobs.length;
  if (typeof loss !== "number") return refuse(`${shown(loss)} as the loss, not a number`);
  if (!slopes) return refuse(`${shown(gradient)} as the gradient, not an array of ${length} numbers`);
  if (slopes.length !== length) return refuse(`${slopes.length} slopes for ${length} tokens`);
  const isSound = Array.from(given.mask).every((counts, t) => counts === 0 || Number.isFinite(given.logprobs[t]! - given.old[t]!));
  for (let t = 0; t < length; t++) {
    const wrong = given.mask[t] !== 0 && (isSound ? !Number.isFinite(slopes[t]) : typeof slopes[t] !== "number");
    if (wrong) return refuse(`${shown(slopes[t])} as the slope of token ${t}, not a finite number`);
  }
  if (isSound && !Number.isFinite(loss)) return refuse(`the loss ${loss}, not a finite number`);
  return { loss, gradient: slopes as ArrayLike<number> };
}
