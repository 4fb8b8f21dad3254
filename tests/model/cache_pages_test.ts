import { AnswerLengths, CachePages, type PageHolder } from "../../model/engine/cache_pages.ts";
import { Random } from "../../tensor/random.ts";
import { assert, assertEquals } from "@std/assert";

interface Holder extends PageHolder {
  tokens: number;
}

Deno.test("pages of any holders are apart, have their lengths, and all come back", () => {
  const seed = Math.floor(Math.random() * 2 ** 31), random = new Random(seed);
  for (let round = 0; round < 20; round++) {
    const tokens = random.integer(1, 2000), page = 64 << random.integer(0, 2), cache = new CachePages({ tokens, page });
    const holders: Holder[] = [], prompts: { start: number; length: number }[] = [];
    for (let i = 0; i < 200; i++) {
      const what = random.next();
      if (what < 0.2) {
        const length = random.integer(1, 100), start = cache.allocatePrompt(length);
        if (start !== undefined) prompts.push({ start, length });
      } else if (what < 0.4) holders.push({ pages: [], mostOwn: random.integer(1, 400), tokens: 0 });
      else if (what < 0.8 && holders.length > 0) {
        const holder = holders[random.integer(0, holders.length)]!,
          wanted = Math.min(holder.mostOwn, holder.tokens + random.integer(1, 90));
        if (cache.grow(holder, wanted)) holder.tokens = wanted;
        assert(cache.held(holder) >= holder.tokens, `seed ${seed}`);
      } else if (what < 0.9 && holders.length > 0) cache.release(holders.splice(random.integer(0, holders.length), 1)[0]!);
      else if (prompts.length > 0) {
        const [prompt] = prompts.splice(random.integer(0, prompts.length), 1);
        cache.releasePrompt(prompt!.start, prompt!.length);
      }
      const rows = [
        ...prompts.flatMap(({ start, length }) => Array.from({ length }, (_, j) => start + j)),
        ...holders.flatMap((holder) => Array.from({ length: cache.held(holder) }, (_, j) => cache.row(holder, j))),
      ];
      assertEquals(new Set(rows).size, rows.length, `seed ${seed}`);
      assert(rows.every((row) => row >= 0 && row < tokens), `seed ${seed}`);
      assertEquals([cache.used, cache.free], [rows.length, tokens - rows.length], `seed ${seed}`);
    }
    for (const holder of holders) cache.release(holder);
    for (const { start, length } of prompts) cache.releasePrompt(start, length);
    assertEquals(cache.allocatePrompt(tokens), 0, `seed ${seed}`);
  }
});

Deno.test("an answer is expected to be as long as the last ones, longer than it is, and never above its most", () => {
  const lengths = new AnswerLengths(), holder = { pages: [], mostOwn: 1000 };
  const expected = (tokens: number) => lengths.expected(holder, { tokens, page: 64 });
  assertEquals([expected(0), expected(600), expected(999)], [512, 640, 1000]);
  lengths.add(10);
  lengths.add(120);
  assertEquals([expected(0), expected(64), expected(127), expected(128)], [128, 128, 128, 192]);
  assertEquals(lengths.expected({ pages: [], mostOwn: 0 }, { tokens: 0, page: 64 }), 0);
  for (let i = 0; i < 5000; i++) lengths.add(500);
  assertEquals(expected(0), 512);
});
