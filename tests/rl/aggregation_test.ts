import { assertEquals, assertThrows } from "@std/assert";
import { aggregationWeights, batchSize, maskTruncated } from "../../rl/losses/aggregation.ts";

const grid = { lengths: [3, 0, 2, 1], mask: [1, 0, 1, 1, 1, 0] };

Deno.test("a sequence without a token that counts is in no count", () => {
  assertEquals(batchSize(grid), { tokens: 4, sequences: 2 });
  assertEquals(batchSize({ lengths: [] }), { tokens: 0, sequences: 0 });
});

Deno.test("the weights of each aggregation", () => {
  const at = (aggregation: Parameters<typeof aggregationWeights>[0]) => [...aggregationWeights(aggregation, grid)];
  assertEquals(at({ kind: "token" }), [0.25, 0, 0.25, 0.25, 0.25, 0]);
  assertEquals(at({ kind: "seq" }), [0.25, 0, 0.25, 0.25, 0.25, 0]);
  assertEquals(at({ kind: "seq_sum_norm", length: 4 }), [0.125, 0, 0.125, 0.125, 0.125, 0]);
});

Deno.test("nothing that counts gives no weight, not NaN", () => {
  assertEquals([...aggregationWeights({ kind: "seq" }, { lengths: [2], mask: [0, 0] })], [0, 0]);
});

Deno.test("a part larger than the whole, and a length of 0, are refused", () => {
  assertThrows(() => aggregationWeights({ kind: "token" }, grid, { tokens: 3, sequences: 2 }), RangeError, "4 tokens");
  assertThrows(() => aggregationWeights({ kind: "seq_sum_norm", length: 0 }, grid), RangeError, "length of 0");
});

Deno.test("a mask or a list of truncated sequences that is too short is refused, not filled up", () => {
  assertThrows(() => batchSize({ lengths: [3], mask: [1] }), RangeError, "the mask has 1 entries");
  assertThrows(() => maskTruncated(grid, [false, true]), RangeError, "truncated has 2 entries");
  assertThrows(() => maskTruncated({ lengths: [3], mask: [1] }, [false]), RangeError, "the mask has 1 entries");
});

Deno.test("masking truncated sequences keeps the mask of the others", () => {
  assertEquals([...maskTruncated(grid, [false, true, true, false]).mask as Uint8Array], [1, 0, 1, 0, 0, 0]);
});
