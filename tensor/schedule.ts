/** Returns the learning rate of a step, counted from 0. It is a pure function, so that a resumed run needs only its step. */
export type Schedule = (step: number) => number;

/** Options of every schedule. */
export interface ScheduleOptions {
  /** The rate after the warm-up. */
  lr: number;
  /**
   * The number of warm-up steps. Default: 0. Step s < warmup has lr * (s + 1) / warmup, so that the first step changes the weights and the
   * last one has the full rate.
   */
  warmup?: number;
}

/** Options of a falling schedule. */
export interface DecayOptions extends ScheduleOptions {
  /** The total number of steps. From this step on the rate is `minRatio * lr`. */
  total: number;
  /** The lowest rate as a share of `lr`. Default 0. */
  minRatio?: number;
}

/**
 * Makes a schedule with a warm-up and then the constant rate `lr`.
 *
 * @example
 * ```ts
 * import { constantSchedule } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([0, 1, 2, 3, 9].map(constantSchedule({ lr: 8, warmup: 4 })), [2, 4, 6, 8, 8]);
 * ```
 */
export function constantSchedule(options: ScheduleOptions): Schedule {
  return decay(options, () => 1);
}

/**
 * Makes a schedule with a warm-up and then a straight line: step s >= warmup has lr * (minRatio + (1 - minRatio) * (1 - t)), t = (s -
 * warmup) / (total - warmup), at most 1.
 *
 * @example
 * ```ts
 * import { linearSchedule } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([0, 1, 2, 3, 4, 5, 6, 7].map(linearSchedule({ lr: 8, warmup: 2, total: 6 })), [4, 8, 8, 6, 4, 2, 0, 0]);
 * ```
 */
export function linearSchedule(options: DecayOptions): Schedule {
  return decay(options, (t) => 1 - t);
}

/**
 * Makes a schedule with a warm-up and then half a cosine, like `linearSchedule` with (1 + cos(pi t)) / 2 in place of 1 - t. Loshchilov &
 * Hutter, arXiv 1608.03983.
 *
 * @example
 * ```ts
 * import { cosineSchedule } from "@kedge/kedge/tensor";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const lr = cosineSchedule({ lr: 1, total: 4, minRatio: 0.2 });
 * for (const [step, value] of [1, 0.882842712474619, 0.6, 0.317157287525381, 0.2, 0.2].entries()) assertAlmostEquals(lr(step), value, 1e-12);
 * ```
 */
export function cosineSchedule(options: DecayOptions): Schedule {
  return decay(options, (t) => (1 + Math.cos(Math.PI * t)) / 2);
}

function decay(options: ScheduleOptions & Partial<DecayOptions>, fall: (t: number) => number): Schedule {
  const { lr, warmup = 0, total, minRatio = 0 } = options;
  if (!(lr >= 0 && Number.isFinite(lr))) throw new RangeError(`Cannot make a schedule: lr is ${lr}`);
  if (!(Number.isInteger(warmup) && warmup >= 0)) throw new RangeError(`Cannot make a schedule: warmup is ${warmup}, no count of steps`);
  if (!(minRatio >= 0 && minRatio <= 1)) throw new RangeError(`Cannot make a schedule: minRatio is ${minRatio}, not within 0 and 1`);
  if (total !== undefined && !(Number.isInteger(total) && total >= warmup)) {
    throw new RangeError(`Cannot make a schedule: total is ${total}, it must be a count of steps, ${warmup} or more`);
  }
  return (step) => {
    if (!(Number.isInteger(step) && step >= 0)) throw new RangeError(`Cannot tell the learning rate of step ${step}: steps count from 0`);
    if (step < warmup) return lr * (step + 1) / warmup;
    if (total === undefined) return lr;
    const t = total === warmup ? 1 : Math.min(1, (step - warmup) / (total - warmup));
    return lr * (minRatio + (1 - minRatio) * fall(t));
  };
}
