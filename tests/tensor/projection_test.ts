import { assert, assertEquals } from "@std/assert";
import { gpuLogits, logitBytes, logitRowBytes, rowsInBytes } from "../../tensor/ops/projection.ts";

Deno.test("the bytes of logits follow a GPU's memory in powers of two, between bounds", () => {
  assertEquals([24e9, 80e9, 85e9, 141e9, 1e12].map((bytes) => gpuLogits(bytes) / 2 ** 20), [512, 2048, 2048, 4096, 4096]);
  assertEquals([0, 1, 1e9].map((bytes) => gpuLogits(bytes) / 2 ** 20), [64, 64, 64]);
  const card = { kind: "cuda" as const, memory: () => ({ used: 1e9, peak: 2e9, free: 79e9, budget: 80e9, allocations: 1 }) };
  assertEquals(logitBytes(card), 2 ** 31);
});

Deno.test("a CPU's bytes of logits are fixed, so that the bits of a gradient do not follow free memory", () => {
  assertEquals(logitBytes({ kind: "cpu", memory: () => assert(false, "it asked for the memory") as never }), 2 ** 28);
});

Deno.test("all rows of the built-in task's step, and all that were one chunk of 2^24 logits, are one chunk on a CPU", () => {
  for (const vocab of [95, 100, 2000]) {
    const sizes = { vocab, matrices: 1, dtype: "f32" } as const, before = Math.floor(2 ** 24 / vocab);
    for (const n of [16 * 8 * 48, before]) assertEquals(rowsInBytes(Math.min(n, before), 2 ** 28, sizes), Math.min(n, before));
  }
});

Deno.test("rows are cut into as few chunks as possible, of about the same size", () => {
  const sizes = { vocab: 1000, matrices: 2, dtype: "bf16" } as const, row = logitRowBytes(sizes);
  assertEquals(row, 1000 * (4 + 4 + 2));
  for (const [n, most] of [[1, 16], [5, 16], [4096, 4711], [4712, 4711], [10_000, 4711], [129, 128], [1000, 100]] as const) {
    const rows = rowsInBytes(n, most * row, sizes);
    assert(rows >= 1 && rows <= Math.min(n, most), `${n} rows, ${most} at most: ${rows}`);
    assertEquals(Math.ceil(n / rows), Math.ceil(n / most), `chunks of ${n} rows, ${most} at most`);
  }
  assertEquals([4712, 10_000, 40].map((n) => rowsInBytes(n, 4711 * row, sizes)), [2368, 3392, 40]);
  assertEquals(rowsInBytes(40, 1, sizes), 16);
});
