import { RangeAllocator } from "./range_allocator.ts";

/** What holds pages of the cache: a sequence. */
export interface PageHolder {
  /** The first row of the cache of each of its pages. All have as many tokens as a page, but for the last, which may have fewer. */
  readonly pages: number[];
  /** The most tokens that it may come to hold. */
  readonly mostOwn: number;
}

/**
 * The places of the cache's tokens. A prompt lies in one piece, as far down as it fits. The tokens of a sequence lie in pages, which are taken when they are
 * needed, from the upper end down.
 *
 * @example
 * ```ts
 * import { CachePages } from "./cache_pages.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const cache = new CachePages({ tokens: 200, page: 64 });
 * const sequence = { pages: [], mostOwn: 100 };
 * assertEquals(cache.allocatePrompt(30), 0);
 * assertEquals([cache.grow(sequence, 1), cache.grow(sequence, 65), sequence.pages], [true, true, [136, 100]]);
 * assertEquals([cache.row(sequence, 64), cache.held(sequence), cache.free], [100, 100, 70]);
 * cache.release(sequence);
 * assertEquals(cache.free, 170);
 * ```
 */
export class CachePages {
  /** Tokens of a page. */
  readonly page: number;
  readonly #ranges: RangeAllocator;

  constructor({ tokens, page }: { tokens: number; page: number }) {
    this.#ranges = new RangeAllocator(tokens);
    this.page = page;
  }

  /** Tokens that nothing holds. */
  get free(): number {
    return this.#ranges.free;
  }

  /** Tokens that prompts and pages hold. */
  get used(): number {
    return this.#ranges.size - this.#ranges.free;
  }

  /** Takes the place of a prompt. @returns Its first row, or undefined if there is no room. */
  allocatePrompt(length: number): number | undefined {
    return this.#ranges.allocate(length);
  }

  /** Gives the place of a prompt back. */
  releasePrompt(start: number, length: number): void {
    this.#ranges.release(start, length);
  }

  /** Takes pages until a sequence has room for so many tokens. @returns Whether there was room; what was taken stays. */
  grow(holder: PageHolder, tokens: number): boolean {
    while (this.held(holder) < tokens) {
      const start = this.#ranges.allocateLast(this.#length(holder, holder.pages.length));
      if (start === undefined) return false;
      holder.pages.push(start);
    }
    return true;
  }

  /** Gives all pages of a sequence back. */
  release(holder: PageHolder): void {
    for (const [i, start] of holder.pages.entries()) this.#ranges.release(start, this.#length(holder, i));
    holder.pages.length = 0;
  }

  /** Tokens for which a sequence has room. */
  held({ pages, mostOwn }: PageHolder): number {
    return Math.min(pages.length * this.page, mostOwn);
  }

  /** The row of a sequence's i-th token. */
  row({ pages }: PageHolder, i: number): number {
    return pages[Math.floor(i / this.page)]! + i % this.page;
  }

  #length({ mostOwn }: PageHolder, i: number): number {
    return Math.min(this.page, mostOwn - i * this.page);
  }
}

/**
 * What answers have taken of the cache so far, from which the engine says how much an answer will take. It bears on who waits for whom, never on what an answer
 * is.
 */
export class AnswerLengths {
  #mean = 0;
  #count = 0;

  /** Notes the tokens of an answer that is complete. */
  add(tokens: number): void {
    this.#count = Math.min(this.#count + 1, 512);
    this.#mean += (tokens - this.#mean) / this.#count;
  }

  /**
   * Tokens that a sequence is expected to hold in the end: as many as the mean of the last answers, half of the most before there is one, and a page more than it
   * has tokens, in whole pages.
   */
  expected({ mostOwn }: PageHolder, { tokens, page }: { tokens: number; page: number }): number {
    const usual = this.#count > 0 ? this.#mean : mostOwn / 2;
    return Math.min(mostOwn, Math.ceil(Math.max(usual, tokens + 1) / page) * page);
  }
}
