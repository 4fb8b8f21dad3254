/**
 * Dynamic sampling. A group whose answers are all right or all wrong gives no signal, so that further groups are sampled until a step has
 * enough. Yu et al., "DAPO", arXiv 2503.14476.
 *
 * @module
 */
import { KedgeError } from "../ffi/errors.ts";

/** The bounds of the groups to keep, and the maximum number of batches. */
export interface DynamicSampling {
  /** Groups are kept if their mean accuracy is above this. Default: 0.01. */
  filterLow?: number;
  /** Groups are kept if their mean accuracy is below this. Default: 0.99. */
  filterHigh?: number;
  /** The maximum number of batches that are sampled for one step; -1: no limit. Default: 20. */
  maxTries?: number;
}

/** The defaults of {@linkcode DynamicSampling}. */
export const DYNAMIC_SAMPLING_DEFAULTS = { filterLow: 0.01, filterHigh: 0.99, maxTries: 20 } as const;

/** Whether a group was kept, or why not. */
export type GroupFate = "kept" | "allWrong" | "allRight" | "notGraded";

/** The number of groups by fate. */
export type GroupCounts = Readonly<Record<GroupFate, number>>;

/** The state that a checkpoint keeps. It is plain data where the groups are. */
export interface DynamicSamplerState<Group> {
  /** Groups that were not needed yet. */
  surplus: readonly Group[];
  /** The number of calls of `add` for the current step. */
  tries: number;
  /** The counts of the current step. */
  counts: GroupCounts;
}

const NONE: GroupCounts = { kept: 0, allWrong: 0, allRight: 0, notGraded: 0 };

/**
 * Collects the groups of a step. Fill it (`add`) while it `needs` some, then `take` them; surplus groups are the first of the next step.
 *
 * @example
 * ```ts
 * import { DynamicSampler } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * const sampler = new DynamicSampler<string>(2);
 * sampler.add([{ group: "easy", accuracies: [1, 1] }, { group: "a", accuracies: [1, 0] }]);
 * assertEquals(sampler.needs, 1);
 * sampler.add([{ group: "b", accuracies: [0, 1] }, { group: "c", accuracies: [1, 0] }]);
 * assertEquals(sampler.take().groups, ["a", "b"]);
 * assertEquals(sampler.needs, 1); // "c" is there already
 * ```
 */
export class DynamicSampler<Group> {
  readonly #size: number;
  readonly #options: Required<DynamicSampling>;
  #groups: Group[] = [];
  #tries = 0;
  #counts: Record<GroupFate, number> = { ...NONE };

  /**
   * Makes a sampler at the start of a step.
   *
   * @param size The number of groups of a step.
   * @param options `state`: the state of an earlier sampler.
   * @throws {RangeError} for a size below 1 or bounds out of order.
   */
  constructor(size: number, options: DynamicSampling & { state?: DynamicSamplerState<Group> } = {}) {
    const { filterLow, filterHigh, maxTries } = { ...DYNAMIC_SAMPLING_DEFAULTS, ...options };
    if (!(Number.isSafeInteger(size) && size >= 1)) throw new RangeError(`Cannot collect ${size} groups a step`);
    if (!(filterLow < filterHigh)) throw new RangeError(`Cannot keep groups between ${filterLow} and ${filterHigh}`);
    if (!(Number.isSafeInteger(maxTries) && (maxTries >= 1 || maxTries === -1))) {
      throw new RangeError(`Cannot try ${maxTries} times: it is 1 or more, or -1 for no limit`);
    }
    this.#size = size;
    this.#options = { filterLow, filterHigh, maxTries };
    if (options.state) {
      this.#groups = [...options.state.surplus];
      this.#tries = options.state.tries;
      this.#counts = { ...options.state.counts };
    }
  }

  /** The number of groups that the step still needs. */
  get needs(): number {
    return Math.max(0, this.#size - this.#groups.length);
  }

  /** The state that a checkpoint keeps. */
  get state(): DynamicSamplerState<Group> {
    return { surplus: [...this.#groups], tries: this.#tries, counts: { ...this.#counts } };
  }

  /**
   * Keeps the groups of one batch that pass the filter, in order.
   *
   * @param groups The groups with the accuracy of each answer, in [0, 1]. NaN means not graded and is not in the mean. Use the accuracy
   * alone: with a format reward in the sum, groups pass that differ only in format.
   * @returns What happened to each group.
   * @throws {KedgeError} `BadData` if groups are missing after `maxTries` batches. The message and `details` count the groups. Kept groups
   * stay.
   */
  add(groups: readonly { group: Group; accuracies: ArrayLike<number> }[]): GroupFate[] {
    const fates = groups.map(({ group, accuracies }) => {
      const fate = this.#fate(accuracies);
      if (fate === "kept") this.#groups.push(group);
      this.#counts[fate]++;
      return fate;
    });
    this.#tries++;
    const { maxTries, filterLow, filterHigh } = this.#options;
    if (this.needs > 0 && maxTries >= 0 && this.#tries >= maxTries) {
      const { kept, allWrong, allRight, notGraded } = this.#counts, seen = kept + allWrong + allRight + notGraded;
      throw new KedgeError(
        "BadData",
        `Cannot fill a step of ${this.#size} groups: ${this.#tries} batches gave ${this.#groups.length}. Of ${seen} groups seen, ${kept} were kept, ` +
          `${allWrong} had a mean accuracy of ${filterLow} or less, ${allRight} of ${filterHigh} or more, ${notGraded} were not graded. ` +
          `Check the reward, take easier or harder prompts, more answers a prompt, or raise maxTries`,
        { size: this.#size, have: this.#groups.length, tries: this.#tries, ...this.#counts },
      );
    }
    return fates;
  }

  #fate(accuracies: ArrayLike<number>): GroupFate {
    const graded = Array.from(accuracies).filter((a) => !Number.isNaN(a));
    if (graded.length === 0) return "notGraded";
    const mean = graded.reduce((a, b) => a + b, 0) / graded.length;
    return mean <= this.#options.filterLow ? "allWrong" : mean >= this.#options.filterHigh ? "allRight" : "kept";
  }

  /**
   * Returns the groups of the step, the earliest first, with their counts. The next step then starts with the surplus.
   *
   * @throws {RangeError} if groups are missing.
   */
  take(): { groups: Group[]; tries: number; counts: GroupCounts } {
    if (this.needs > 0) throw new RangeError(`Cannot take a step of ${this.#size} groups: ${this.needs} are missing`);
    const taken = { groups: this.#groups.splice(0, this.#size), tries: this.#tries, counts: this.#counts };
    this.#tries = 0;
    this.#counts = { ...NONE };
    return taken;
  }
}
