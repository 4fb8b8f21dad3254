import type { RegionMap } from "../regions.ts";

/** Why a sequence ended: a stop token or text, its length, or the caller. */
export type Finish = "stop" | "length" | "aborted";

/** One answer. Arrays have an element a token. */
export interface Completion {
  /** Token ids, the stop token included. */
  readonly tokens: Int32Array<ArrayBuffer>;
  /** Log-probability of each token under the tempered distribution without the suppressed tokens, before top-k, top-p and min-p; greedy: at temperature 1. */
  readonly logprobs: Float32Array<ArrayBuffer>;
  /** The same after the filters; greedy: 0. */
  readonly filteredLogprobs: Float32Array<ArrayBuffer>;
  /** Entropy of the distribution of `logprobs`, in nats. */
  readonly entropies: Float32Array<ArrayBuffer>;
  /** Why it ended. */
  readonly finish: Finish;
  /** Attention on visual tokens as a share of that on all but the sinks, in [0, 1]. NaN for a token that was cut off before its row was seen (row "self"). */
  readonly connectivity?: Float32Array<ArrayBuffer>;
  /** The same by region: [tokens, regions]. */
  readonly profile?: Float32Array<ArrayBuffer>;
  /** What the regions are. */
  readonly regions?: RegionMap;
}

/** A token as it came. */
export interface TokenEvent {
  /** Tells it from an end. */
  readonly type: "token";
  /** Which prompt of the call, and which of its samples. */
  readonly prompt: number;
  /** Which of the prompt's samples. */
  readonly sample: number;
  /** Its place in the response. */
  readonly index: number;
  /** Its id. */
  readonly token: number;
  /** As of {@linkcode Completion.logprobs}. */
  readonly logprob: number;
  /** As of {@linkcode Completion.filteredLogprobs}. */
  readonly filteredLogprob: number;
  /** As of {@linkcode Completion.entropies}. */
  readonly entropy: number;
}

/** What a stream yields: each token once, in the order of its sequence, and each sequence's end. */
export type GenerationEvent = TokenEvent | {
  readonly type: "end";
  readonly prompt: number;
  readonly sample: number;
  readonly completion: Completion;
};

/** A token's numbers as the kernel gave them. */
export interface Draw {
  readonly token: number;
  readonly logprob: number;
  readonly filteredLogprob: number;
  readonly entropy: number;
}

/** Where among numbers a row's sums over the chosen layers stand: kedge_decode_attention's two masses, and its profile. */
export interface Look {
  readonly numbers: Float32Array;
  readonly mass: number;
  readonly profile: number;
  readonly regions: number;
}

/** A completion in the making. */
export class Recorder {
  readonly tokens: number[] = [];
  readonly #logprobs: number[] = [];
  readonly #filtered: number[] = [];
  readonly #entropies: number[] = [];
  readonly #masses: number[] = [];
  #profiles = new Float32Array(); // [looks and room for more, regions]

  /** Notes a token. */
  add({ token, logprob, filteredLogprob, entropy }: Draw): void {
    this.tokens.push(token);
    this.#logprobs.push(logprob);
    this.#filtered.push(filteredLogprob);
    this.#entropies.push(entropy);
  }

  /** Notes what the next token's row saw. It copies: a step makes one of these for every row, where small arrays would cost more than the numbers in them. */
  look({ numbers, mass, profile, regions }: Look): void {
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

  /** The completion as it stands. */
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
    const looks = Math.min(length, this.#masses.length);
    connectivity.set(this.#masses.slice(0, looks));
    profile.set(this.#profiles.subarray(0, looks * regions.regions));
    return { ...plain, connectivity, profile, regions };
  }
}
