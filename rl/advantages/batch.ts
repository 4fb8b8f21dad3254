/**
 * The input of the estimators, and what they share: groups, exact zeros, whitening. All computations are in float64.
 *
 * @module
 */

/** The rewards of a batch of responses. */
export interface RewardBatch {
  /** The reward of each response. NaN means not graded: the response enters no statistic and its advantage is 0. */
  rewards: ArrayLike<number>;
  /** The prompt that each response answers. Every estimator except reinforce_plus_plus and remax needs it. */
  groups?: ArrayLike<string | number>;
  /** The number of tokens of each response. Tokens are packed one response after the other. */
  lengths: ArrayLike<number>;
  /** Packed [tokens]: additional rewards of tokens, such as -beta * KL. They also count in a response's reward. */
  tokenRewards?: ArrayLike<number>;
  /** Packed [tokens]: 0 for tokens that the policy did not write, such as a tool's answer. Default: all tokens count. */
  mask?: ArrayLike<number>;
  /** The reward of the greedy answer to each response's prompt. Only remax needs it. */
  baselines?: ArrayLike<number>;
  /** The parts of the reward, by name and response. Only gdpo needs them. */
  parts?: Readonly<Record<string, ArrayLike<number>>>;
}

/** @throws {RangeError} if lengths differ, a reward is infinite, or the estimator needs groups that are missing. */
export function checkBatch(kind: string, batch: RewardBatch): void {
  const { rewards, lengths } = batch, n = rewards.length;
  let tokens = 0;
  for (let i = 0; i < lengths.length; i++) {
    if (!(Number.isSafeInteger(lengths[i]) && lengths[i]! >= 0)) {
      throw new RangeError(`Cannot take advantages: response ${i} has ${lengths[i]} tokens`);
    }
    tokens += lengths[i]!;
  }
  const expected = [["lengths", lengths, n], ["groups", batch.groups, n], ["baselines", batch.baselines, n]] as const;
  const packed = [["tokenRewards", batch.tokenRewards, tokens], ["mask", batch.mask, tokens]] as const;
  for (const [name, array, size] of [...expected, ...packed]) {
    if (array && array.length !== size) throw new RangeError(`Cannot take advantages: ${name} holds ${array.length} numbers, not ${size}`);
  }
  for (let i = 0; i < n; i++) {
    if (Math.abs(rewards[i]!) === Infinity) throw new RangeError(`Cannot take advantages: the reward of response ${i} is ${rewards[i]}`);
  }
  if (n > 0 && batch.groups === undefined && kind !== "reinforce_plus_plus" && kind !== "remax") {
    throw new RangeError(`Cannot take ${kind} advantages: groups are missing; say of each response which prompt it answers`);
  }
}

/** Sums what each response earned: its reward and the rewards of its tokens that count. [responses]. */
function totalRewards(batch: RewardBatch): Float64Array {
  const { rewards, lengths, tokenRewards, mask } = batch;
  let at = 0;
  return Float64Array.from({ length: rewards.length }, (_, i) => {
    let sum = rewards[i]!;
    for (const end = at + lengths[i]!; at < end; at++) if (tokenRewards && mask?.[at] !== 0) sum += tokenRewards[at]!;
    return sum;
  });
}

/** Returns the mean, and the standard deviation with n - 1, computed in two passes. The deviation of one value is 0. */
export function moments(values: ArrayLike<number>): { mean: number; std: number } {
  const n = values.length;
  let sum = 0, squares = 0;
  for (let i = 0; i < n; i++) sum += values[i]!;
  const mean = sum / n;
  for (let i = 0; i < n; i++) squares += (values[i]! - mean) ** 2;
  return { mean, std: n > 1 ? Math.sqrt(squares / (n - 1)) : 0 };
}

/**
 * Applies `f` to the graded rewards of every group. The result is exactly 0 for responses that are not graded, for a group of one, which
 * cannot be compared, and for a group whose rewards are all equal.
 *
 * @param f Returns the advantages of a group's rewards, in their order. `index` contains the indices of the responses.
 */
export function byGroup(batch: RewardBatch, f: (rewards: Float64Array, index: readonly number[]) => ArrayLike<number>): Float64Array {
  const rewards = totalRewards(batch), advantages = new Float64Array(rewards.length);
  const groups = new Map<string | number, number[]>();
  for (let i = 0; i < rewards.length; i++) {
    if (Number.isNaN(rewards[i])) continue;
    const key = batch.groups![i]!;
    groups.get(key)?.push(i) ?? groups.set(key, [i]);
  }
  for (const index of groups.values()) {
    const graded = Float64Array.from(index, (i) => rewards[i]!);
    if (graded.every((r) => r === graded[0])) continue;
    const result = f(graded, index);
    for (const [k, i] of index.entries()) advantages[i] = result[k]!;
  }
  return advantages;
}

/** Copies every response's number to each of its tokens that count. Other tokens get 0. [tokens]. */
export function spread(values: ArrayLike<number>, { lengths, mask }: RewardBatch): Float64Array {
  const out = new Float64Array(Array.from(lengths).reduce((a, b) => a + b, 0));
  let at = 0;
  for (let i = 0; i < values.length; i++) {
    for (const end = at + lengths[i]!; at < end; at++) if (mask?.[at] !== 0) out[at] = values[i]!;
  }
  return out;
}

/**
 * Returns rewards by token: those of the tokens, and the response's own reward at its last token that counts. All are NaN for a response
 * that is not graded. [tokens].
 */
export function rewardsByToken(batch: RewardBatch): Float64Array {
  const { rewards, lengths, mask, tokenRewards } = batch;
  const out = spread(rewards, { ...batch, rewards });
  let at = 0;
  for (let i = 0; i < rewards.length; i++) {
    const end = at + lengths[i]!;
    let last = end - 1;
    while (last >= at && mask?.[last] === 0) last--;
    for (; at < end; at++) {
      if (mask?.[at] === 0) continue;
      const reward = at === last ? rewards[i]! : Number.isNaN(rewards[i]) ? NaN : 0;
      out[at] = reward + (tokenRewards?.[at] ?? 0);
    }
  }
  return out;
}

/**
 * Computes (x - mean) / sqrt(var + 1e-8) over the tokens that count and are graded, var with n - 1. Other tokens get 0, and so do all
 * tokens if the values are equal.
 */
export function whiten(values: Float64Array, { mask }: RewardBatch): Float64Array {
  const counts = (i: number) => mask?.[i] !== 0 && !Number.isNaN(values[i]);
  const kept = values.filter((_, i) => counts(i));
  if (kept.every((x) => x === kept[0])) return new Float64Array(values.length);
  const { mean, std } = moments(kept), scale = 1 / Math.sqrt(std * std + 1e-8);
  return values.map((x, i) => counts(i) ? (x - mean) * scale : 0);
}
