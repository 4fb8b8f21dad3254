/**
 * What the estimators read, and what they share: groups, exact zeros, whitening. Everything here is float64.
 *
 * @module
 */

/** Rewards of a batch of responses. */
export interface RewardBatch {
  /** By response; NaN: not graded, which leaves the statistics and gives an advantage of 0. */
  rewards: ArrayLike<number>;
  /** By response: the prompt that it answers. Every estimator needs it but reinforce_plus_plus and remax. */
  groups?: ArrayLike<string | number>;
  /** Tokens of each response, packed behind one another. */
  lengths: ArrayLike<number>;
  /** Packed [tokens]: further rewards by token, such as -beta * KL. They count into a response's reward, too. */
  tokenRewards?: ArrayLike<number>;
  /** Packed [tokens]: 0 for tokens that the policy did not write, such as a tool's answer. Default: all count. */
  mask?: ArrayLike<number>;
  /** By response: the reward of the greedy answer to its prompt; for remax. */
  baselines?: ArrayLike<number>;
  /** By name and response: the parts of the reward; for gdpo. */
  parts?: Readonly<Record<string, ArrayLike<number>>>;
}

/** @throws {RangeError} where lengths differ, a reward is infinite, or groups are missing that the estimator compares in. */
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

/** Sums of everything that a response earned: its reward and those of its tokens that count. [responses]. */
function totalRewards(batch: RewardBatch): Float64Array {
  const { rewards, lengths, tokenRewards, mask } = batch;
  let at = 0;
  return Float64Array.from({ length: rewards.length }, (_, i) => {
    let sum = rewards[i]!;
    for (const end = at + lengths[i]!; at < end; at++) if (tokenRewards && mask?.[at] !== 0) sum += tokenRewards[at]!;
    return sum;
  });
}

/** The mean, and the standard deviation with n - 1, in two passes; 0 for one value. */
export function moments(values: ArrayLike<number>): { mean: number; std: number } {
  const n = values.length;
  let sum = 0, squares = 0;
  for (let i = 0; i < n; i++) sum += values[i]!;
  const mean = sum / n;
  for (let i = 0; i < n; i++) squares += (values[i]! - mean) ** 2;
  return { mean, std: n > 1 ? Math.sqrt(squares / (n - 1)) : 0 };
}

/**
 * Applies `f` to the graded rewards of every group. Exactly 0 for what is not graded, for a group of one (it has nothing to be compared with) and for a
 * group whose rewards are all equal.
 *
 * @param f The advantages of a group's rewards, in their order; `index` says which responses they are of.
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
    const own = Float64Array.from(index, (i) => rewards[i]!);
    if (own.every((r) => r === own[0])) continue;
    const result = f(own, index);
    for (const [k, i] of index.entries()) advantages[i] = result[k]!;
  }
  return advantages;
}

/** Every response's number at each of its tokens that count; 0 at the others. [tokens]. */
export function spread(values: ArrayLike<number>, { lengths, mask }: RewardBatch): Float64Array {
  const out = new Float64Array(Array.from(lengths).reduce((a, b) => a + b, 0));
  let at = 0;
  for (let i = 0; i < values.length; i++) {
    for (const end = at + lengths[i]!; at < end; at++) if (mask?.[at] !== 0) out[at] = values[i]!;
  }
  return out;
}

/** Rewards by token: what its tokens earned, and the response's own reward at the last token that counts. NaN for all of a response that is not graded. [tokens]. */
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
      const own = at === last ? rewards[i]! : Number.isNaN(rewards[i]) ? NaN : 0;
      out[at] = own + (tokenRewards?.[at] ?? 0);
    }
  }
  return out;
}

/** (x - mean) / sqrt(var + 1e-8) over the tokens that count and are graded, var with n - 1; 0 at the others, and everywhere where all are equal. */
export function whiten(values: Float64Array, { mask }: RewardBatch): Float64Array {
  const counts = (i: number) => mask?.[i] !== 0 && !Number.isNaN(values[i]);
  const kept = values.filter((_, i) => counts(i));
  if (kept.every((x) => x === kept[0])) return new Float64Array(values.length);
  const { mean, std } = moments(kept), scale = 1 / Math.sqrt(std * std + 1e-8);
  return values.map((x, i) => counts(i) ? (x - mean) * scale : 0);
}
