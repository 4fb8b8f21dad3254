import { assert, assertEquals } from "@std/assert";
import { gpuLogits, logitBytes, logitRowBytes, rowsInBytes } from "../../tensor/ops/projection.ts";

Deno.test("the bytes of logits follow a GPU's memory in powers of two, between bounds", () => {
  assertEquals([24e9, 80e9, 85e9, 141e9, 1e12].map((bytes) => gpuLogits(bytes) / 2 ** 20), [512, 2048, 2048, 4096, 4096]);
  assertEquals([0, 1, 1e9].map((bytes) => gpuLogits(bytes) / 2 ** 20), [64, 64, 64]);
  const card = { kind: "cuda" as const, memory: () => ({ used: 1e9, peak: 2e9, free: 79e9, budget: 80e9, allocations: 1 }) };
  assertEquals(logitBytes(card), 2 ** 31);
});

Deno.test("a CPU's chunks have 2^24 logits, whatever its memory, so that the bits of a gradient do not follow it", () => {
  const bytes = logitBytes({ kind: "cpu", memory: () => assert(false, "it asked for the memory") as never });
  for (const vocab of [95, 2000, 151_936]) {
    assertEquals(rowsInBytes(1e9, bytes, { vocab, matrices: 1, dtype: "f32" }), Math.floor(2 ** 24 / vocab));
  }
  // All rows of the built-in task's step are one chunk.
  assertEquals(rowsInBytes(16 * 8 * 48, bytes, { vocab: 95, matrices: 1, dtype: "f32" }), 16 * 8 * 48);
});

Deno.test("a chunk has as many rows as the bytes hold, 16 at least and no more than there are", () => {
  const sizes = { vocab: 1000, matrices: 2, dtype: "bf16" } as const, row = logitRowBytes(sizes);
  assertEquals(row, 1000 * (4 + 4 + 2));
  assertEquals([[1, 20], [5, 20], [4096, 4711], [4712, 4711], [40, 1], [0, 20]].map(([n, most]) => rowsInBytes(n!, most! * row, sizes)), [
    ...[1, 5, 4096, 4711],
    ...[16, 1],
  ]);
});
