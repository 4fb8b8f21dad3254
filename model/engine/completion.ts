import type { RegionMap } from "../regions.ts";

/** Why a sequence ended: a stop token or text, its length, or the caller. */
export type Finish = "stop" | "length" | "aborted";

/** One answer. Each array has one element for each token. */
export interface Completion {
  /** Token ids, the stop token included. */
  readonly tokens: Int32Array<ArrayBuffer>;
  /** Log-probability of each token under the tempered distribution without the suppressed tokens, before top-k, top-p and min-p; greedy: at temperature 1. */
  readonly logprobs: Float32Array<ArrayBuffer>;
  /** The log-probability of each token after the filters; greedy: 0. */
  readonly filteredLogprobs: Float32Array<ArrayBuffer>;
  /** Entropy of the distribution of `logprobs`, in nats. */
  readonly entropies: Float32Array<ArrayBuffer>;
  /** Why it ended. */
  readonly finish: Finish;
  /**
   * The share of each token's attention that falls on visual tokens, of all that does not fall on sinks, in [0, 1]. NaN for a token whose own row was never
   * forwarded (row "self" or "both", and the sequence was aborted).
   */
  readonly connectivity?: Float32Array<ArrayBuffer>;
  /** Connectivity by region: [tokens, regions]. */
  readonly profile?: Float32Array<ArrayBuffer>;
  /** The regions of the profile. */
  readonly regions?: RegionMap;
}

/** A token that a sequence drew. */
export interface TokenEvent {
  /** Distinguishes it from an end. */
  readonly type: "token";
  /** Index of the prompt in the call. */
  readonly prompt: number;
  /** Index of the sample among the prompt's. */
  readonly sample: number;
  /** Its index in the response. */
  readonly index: number;
  /** Its id. */
  readonly token: number;
  /** Its log-probability: see {@linkcode Completion.logprobs}. */
  readonly logprob: number;
  /** Its log-probability after the filters: see {@linkcode Completion.filteredLogprobs}. */
  readonly filteredLogprob: number;
  /** Entropy of its distribution: see {@linkcode Completion.entropies}. */
  readonly entropy: number;
}

/** An item of a stream: each token once, in the order of its sequence, and the end of each sequence. */
export type GenerationEvent = TokenEvent | {
  readonly type: "end";
  readonly prompt: number;
  readonly sample: number;
  readonly completion: Completion;
};

/** A drawn token with its numbers, as the kernel gives them. */
export interface Draw {
  readonly token: number;
  readonly logprob: number;
  readonly filteredLogprob: number;
  readonly entropy: number;
}

/** Attention of one row, summed over the chosen layers, as kedge_decode_attention gives it: where its two masses and its profile begin in `numbers`. */
export interface RowAttention {
  readonly numbers: Float32Array;
  readonly mass: number;
  readonly profile: number;
  readonly regions: number;
}

/** Collects the tokens of a sequence into a completion. */
export class Recorder {
  readonly tokens: number[] = [];
  readonly #logprobs: number[] = [];
  readonly #filtered: number[] = [];
  readonly #entropies: number[] = [];
  readonly #masses: number[] = [];
  #profiles = new Float32Array(); // [rows and room for more, regions]

  /** @param both Whether a token's numbers are the mean of its row and the next one, so that there is one row more than tokens. */
  constructor(readonly both = false) {}

  /** Records a token. */
  add({ token, logprob, filteredLogprob, entropy }: Draw): void {
    this.tokens.push(token);
    this.#logprobs.push(logprob);
    this.#filtered.push(filteredLogprob);
    this.#entropies.push(entropy);
  }

  /**
   * Notes the attention of the next row. The numbers are copied into arrays that grow: a small array for each row would cost more than the numbers
   * in it.
   */
  addAttention({ numbers, mass, profile, regions }: RowAttention): void {
    const all = numbers[mass + 1]!, row = this.#masses.length, end = (row + 1) * regions;
    this.#masses.push(all > 0 ? numbers[mass]! / all : 0);
    if (end > this.#profiles.length) {
      const grown = new Float32Array(Math.max(32 * regions, 2 * end));
      grown.set(this.#profiles);
      this.#profiles = grown;
    }
    if (!(all > 0)) return;
    for (let r = 0, at = row * regions; r < regions; r++) this.#profiles[at + r] = numbers[profile + r]! / all;
  }

  /** The completion of the tokens so far. */
  finish(finish: Finish, regions: RegionMap | undefined): Completion {
    const { length } = this.tokens;
    const plain = {
      tokens: Int32Array.from(this.tokens),
      logprobs: Float32Array.from(this.#logprobs),
      filteredLogprobs: Float32Array.from(this.#filtered),
      entropies: Float32Array.from(this.#entropies),
      finish,
    };
    if (!regions) return plain;
    const connectivity = new Float32Array(length).fill(NaN), profile = new Float32Array(length * regions.regions).fill(NaN);
    const all = this.#masses, rows = Math.min(length, this.both ? all.length - 1 : all.length);
    if (this.both) {
      const means = (into: Float32Array, of: ArrayLike<number>, width: number) => {
        for (let i = 0; i < rows * width; i++) into[i] = (of[i]! + of[i + width]!) / 2;
      };
      means(connectivity, all, 1);
      means(profile, this.#profiles, regions.regions);
    } else {
      connectivity.set(all.slice(0, rows));
      profile.set(this.#profiles.subarray(0, rows * regions.regions));
    }
    return { ...plain, connectivity, profile, regions };
  }
}
