/**
 * Estimators that compare a response with the others to its prompt. R are the n rewards of a group; the result is one number per response.
 * The advantage is exactly 0 in a group of one, in a group of equal rewards, and for a response that is not graded (NaN).
 *
 * @module
 */
import { byGroup, moments, type RewardBatch } from "./batch.ts";

/** Computes A = (R - mean) / (std + epsilon), std with n - 1. Shao et al., arXiv 2402.03300. */
export function grpo(batch: RewardBatch, { epsilon = 1e-6 }: { epsilon?: number } = {}): Float64Array {
  return byGroup(batch, (rewards) => {
    const { mean, std } = moments(rewards);
    return rewards.map((r) => (r - mean) / (std + epsilon));
  });
}

/**
 * Computes A = R - mean, for use with the aggregation `seq_sum_norm`. Liu et al., "Understanding R1-Zero-like training", arXiv 2503.20783.
 */
export function drGrpo(batch: RewardBatch): Float64Array {
  return byGroup(batch, (rewards) => {
    const { mean } = moments(rewards);
    return rewards.map((r) => r - mean);
  });
}

/** Computes A = R - mean of the others = n / (n - 1) * (R - mean). Ahmadian et al., arXiv 2402.14740. */
export function rloo(batch: RewardBatch): Float64Array {
  return byGroup(batch, (rewards) => {
    const { mean } = moments(rewards), n = rewards.length;
    return rewards.map((r) => n / (n - 1) * (r - mean));
  });
}

/** Gives only the best response an advantage: (best - second best) / (std + epsilon). Tang et al., arXiv 2503.19595 (pass@k). */
export function grpoPassK(batch: RewardBatch, { epsilon = 1e-6 }: { epsilon?: number } = {}): Float64Array {
  return byGroup(batch, (rewards) => {
    const best = rewards.indexOf(Math.max(...rewards)), second = Math.max(...rewards.filter((_, i) => i !== best));
    const { std } = moments(rewards);
    return rewards.map((r, i) => i === best ? (r - second) / (std + epsilon) : 0);
  });
}

/**
 * Computes A = R - sum(l R) / sum(l), where l are the lengths in tokens. Hao et al., "On-policy RL with optimal reward baseline", arXiv
 * 2505.23585.
 */
export function opo(batch: RewardBatch): Float64Array {
  return byGroup(batch, (rewards, index) => {
    const lengths = index.map((i) => batch.lengths[i]!), tokens = lengths.reduce((a, b) => a + b, 0);
    const baseline = tokens > 0 ? rewards.reduce((sum, r, k) => sum + lengths[k]! * r, 0) / tokens : moments(rewards).mean;
    return rewards.map((r) => r - baseline);
  });
}

/**
 * Computes A = alpha (R - mean), alpha = B / M over the batch of B graded responses. M counts, for `"nonzero"` (default), those whose
 * reward is not 0; for `"valid"`, those in groups whose rewards differ. Chu et al., "GPG", arXiv 2504.02546. Use it with the loss
 * `reinforce`.
 */
export function gpg(batch: RewardBatch, { count = "nonzero" }: { count?: "nonzero" | "valid" } = {}): Float64Array {
  let valid = 0;
  const centred = byGroup(batch, (rewards) => {
    const { mean } = moments(rewards);
    valid += rewards.length;
    return rewards.map((r) => r - mean);
  });
  const graded = Array.from(batch.rewards).filter((r) => !Number.isNaN(r));
  const counted = count === "valid" ? valid : graded.filter((r) => r !== 0).length;
  const alpha = graded.length / Math.max(1, counted);
  return centred.map((a) => alpha * a);
}
