/**
 * Estimators whose advantages differ by token, or whose statistics run over the tokens of the batch. Results are packed [tokens]. A
 * response that is not graded (NaN) has advantage 0 and enters no statistic.
 *
 * @module
 */
import { grpo } from "./group_relative.ts";
import { byGroup, moments, type RewardBatch, rewardsByToken, spread, whiten } from "./batch.ts";

/**
 * Computes G_t = r_t + gamma G_{t+1}, backwards over each response. Tokens that do not count have 0 and are skipped without a discount.
 * [tokens].
 */
export function returns(batch: RewardBatch, { gamma = 1 }: { gamma?: number } = {}): Float64Array {
  const out = rewardsByToken(batch);
  let end = 0;
  for (let i = 0; i < batch.lengths.length; i++) {
    const begin = end;
    end += batch.lengths[i]!;
    let running = 0;
    for (let t = end - 1; t >= begin; t--) if (batch.mask?.[t] !== 0) out[t] = running = out[t]! + gamma * running;
  }
  return out;
}

/** Computes the returns, whitened over all tokens of the batch. Hu et al., "REINFORCE++", arXiv 2501.03262. [tokens]. */
export function reinforcePlusPlus(batch: RewardBatch, options: { gamma?: number } = {}): Float64Array {
  return whiten(returns(batch, options), batch);
}

/** Computes R minus the group's mean at every token, whitened over all tokens of the batch. arXiv 2501.03262. [tokens]. */
export function reinforcePlusPlusBaseline(batch: RewardBatch): Float64Array {
  const centred = byGroup(batch, (rewards) => {
    const { mean } = moments(rewards);
    return rewards.map((r) => r - mean);
  });
  return whiten(spread(ungraded(batch, centred), batch), batch);
}

/**
 * Computes A_t = (rewards from t on) - the reward of the greedy answer. Li et al., "ReMax", arXiv 2310.10505. [tokens].
 *
 * @throws {RangeError} without `baselines`.
 */
export function remax(batch: RewardBatch): Float64Array {
  const { baselines } = batch;
  if (!baselines) throw new RangeError("Cannot take remax advantages: the batch has no baselines; sample a greedy answer to each prompt");
  const baseline = spread(baselines, batch);
  return returns(batch).map((g, t) => Number.isNaN(g - baseline[t]!) ? 0 : g - baseline[t]!);
}

/**
 * Normalises each part of the reward in its groups as grpo does, sums the parts with their weights (default 1), and whitens the sum over
 * all tokens of the batch. Parts of different size thus count alike. Liu et al., "GDPO", arXiv 2601.05242. [tokens].
 *
 * @throws {RangeError} without `parts`, or with a weight of a part that does not exist.
 */
export function gdpo(
  batch: RewardBatch,
  { weights = {}, epsilon = 1e-6 }: { weights?: Readonly<Record<string, number>>; epsilon?: number } = {},
): Float64Array {
  const parts = Object.entries(batch.parts ?? {});
  if (parts.length === 0) throw new RangeError("Cannot take gdpo advantages: the batch has no parts of the reward");
  const unknown = Object.keys(weights).filter((name) => !parts.some(([part]) => part === name));
  if (unknown.length > 0) throw new RangeError(`Cannot take gdpo advantages: the batch has no part "${unknown[0]}", which has a weight`);
  const sum = new Float64Array(batch.rewards.length);
  for (const [name, rewards] of parts) {
    const normalised = grpo({ ...batch, rewards, tokenRewards: undefined }, { epsilon });
    for (let i = 0; i < sum.length; i++) sum[i]! += (weights[name] ?? 1) * normalised[i]!;
  }
  return whiten(spread(ungraded(batch, sum), batch), batch);
}

/** Sets values to NaN where the reward is NaN. */
function ungraded(batch: RewardBatch, values: Float64Array): Float64Array {
  return values.map((x, i) => Number.isNaN(batch.rewards[i]) ? NaN : x);
}
