import type { Address } from "../../ffi/address.ts";
import type { Device } from "../../ffi/device.ts";
import { Tensor } from "../../tensor/tensor.ts";

/** The metrics of the policy loss, under EasyR1's names where it has one. */
export interface PolicyReport {
  /** The policy loss, without bonus and divergence. */
  "actor/pg_loss": number;
  /** The share of tokens where the clip acts (cispo: r above the bound). */
  "actor/pg_clipfrac_higher": number;
  /** The share of tokens where the dual clip acts (cispo: r below the bound). */
  "actor/pg_clipfrac_lower": number;
  /** The mean of log old - log policy. */
  "actor/ppo_kl": number;
  /** The mean of -log policy at the sampled tokens, aggregated like the loss: a sampled estimate of the entropy. */
  "actor/entropy_loss": number;
  /** The mean of the true entropy, in nats; only where entropies were given. */
  "actor/entropy"?: number;
  /** The mean ratio. */
  "actor/ratio_mean": number;
  /** The largest ratio. */
  "actor/ratio_max": number;
}

/** The slot of the sums that is a maximum. */
const LARGEST_RATIO = 9;

/**
 * Sums over the micro-batches of a step. They are kept on the device and read once, so that the host waits for the device once.
 *
 * @example
 * ```ts
 * import { PolicyMetrics } from "@kedge/kedge/rl";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using metrics = new PolicyMetrics(device);
 * assertEquals(metrics.read(), undefined); // nothing was counted
 * ```
 */
export class PolicyMetrics implements Disposable {
  readonly #sums: Tensor;
  #entropy = false;

  /** Starts with sums of 0. */
  constructor(device: Device) {
    this.#sums = Tensor.zeros(device, [10], { dtype: "f64" });
  }

  /** The address of the sums, for the policy loss: f64 [10], see kedge.h. */
  get address(): Address {
    return this.#sums.address;
  }

  /** Records that the policy loss adds entropies to the sums. */
  sawEntropy(): void {
    this.#entropy = true;
  }

  /** Adds sums that were computed on the host, in the order of kedge.h. `entropy`: whether entropies are among them. */
  add(sums: ArrayLike<number>, entropy: boolean): void {
    const now = this.#sums.toArray() as Float64Array<ArrayBuffer>;
    this.#sums.write(now.map((sum, k) => k === LARGEST_RATIO ? Math.max(sum, sums[k]!) : sum + sums[k]!));
    this.#entropy ||= entropy;
  }

  /** Returns the sums, which `add` takes, and sets them to 0. */
  take(): { sums: number[]; entropy: boolean } {
    const taken = { sums: Array.from(this.#sums.toArray() as Float64Array), entropy: this.#entropy };
    this.#sums.write(new Float64Array(10));
    this.#entropy = false;
    return taken;
  }

  /**
   * Waits for the work before, returns the means and sets the sums to 0. Returns undefined if no token was counted.
   *
   * @param updates Optimizer steps since the last read, each of which had weights of its own.
   */
  read(updates = 1): PolicyReport | undefined {
    const s = this.#sums.toArray() as Float64Array;
    this.#sums.write(new Float64Array(10));
    const tokens = s[1]!, entropy = this.#entropy;
    this.#entropy = false;
    if (tokens === 0) return undefined;
    return {
      "actor/pg_loss": s[0]! / updates,
      "actor/pg_clipfrac_higher": s[2]! / tokens,
      "actor/pg_clipfrac_lower": s[3]! / tokens,
      "actor/ppo_kl": s[4]! / tokens,
      "actor/entropy_loss": s[5]! / updates,
      ...(entropy ? { "actor/entropy": s[6]! / tokens } : {}),
      "actor/ratio_mean": s[8]! / tokens,
      "actor/ratio_max": s[LARGEST_RATIO]!,
    };
  }

  /** Frees the sums. */
  [Symbol.dispose](): void {
    this.#sums[Symbol.dispose]();
  }
}
