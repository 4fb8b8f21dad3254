/**
 * Compares the aggregation of token losses with the grids of other trainers' public tests (Apache-2.0; only the numbers are theirs):
 * verl, tests/trainer/ppo/test_loss_aggregation_on_cpu.py, and OpenRLHF, tests/test_loss_aggregation.py.
 */
import { assert, assertEquals } from "@std/assert";
import { type Aggregation, aggregationWeights, type BatchSize, batchSize, type TokenLayout } from "../../rl/losses/aggregation.ts";

type Grid = readonly (readonly number[])[];

/** Lays rows out one after the other. */
const layoutOf = (mask: Grid): TokenLayout => ({ lengths: mask.map((row) => row.length), mask: mask.flat() });

function aggregate(losses: Grid, mask: Grid, aggregation: Aggregation, batch?: BatchSize): number {
  const weights = aggregationWeights(aggregation, layoutOf(mask), batch), flat = losses.flat();
  return weights.reduce((sum, w, i) => sum + w * flat[i]!, 0);
}

function near(actual: number, expected: number, what = ""): void {
  assert(Math.abs(actual - expected) <= 1e-6 * (1 + Math.abs(expected)), `${what} ${actual}, expected ${expected}`);
}

/** 1, 2, 3, ... by rows. */
const count = (rows: number, columns: number): Grid =>
  Array.from({ length: rows }, (_, r) => Array.from({ length: columns }, (_, c) => r * columns + c + 1));

const TWELVE = count(3, 4), TWELVE_MASK = [[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]];

// verl's oracle: the sum over the unmasked tokens, 3 + 18 + 9, by rows times a constant.
Deno.test("verl's 3 x 4 grid: sums over 3 rows of width 4 give 30 / 12, by a constant of 10 they give 30 / 30", () => {
  near(aggregate(TWELVE, TWELVE_MASK, { kind: "seq_sum_norm", length: 4 }), 2.5);
  near(aggregate(TWELVE, TWELVE_MASK, { kind: "seq_sum_norm", length: 10 }), 1);
});

Deno.test("verl's 3 x 4 grid: the mean over tokens is 30 / 6, over rows (1.5 + 6 + 9) / 3", () => {
  near(aggregate(TWELVE, TWELVE_MASK, { kind: "token" }), 5);
  near(aggregate(TWELVE, TWELVE_MASK, { kind: "seq" }), 5.5);
});

Deno.test("verl's 3 x 4 grid: the gradient of every unmasked token is 1 / (3 * 8)", () => {
  const weights = aggregationWeights({ kind: "seq_sum_norm", length: 8 }, layoutOf(TWELVE_MASK));
  assertEquals([...weights], TWELVE_MASK.flat().map((m) => Math.fround(m / 24)));
});

Deno.test("verl's 4 x 3 grid: two ranks add up to the whole, 53 / (4 * 6), with the same gradients", () => {
  const losses = count(4, 3), mask = [[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 0, 1]], by = { kind: "seq_sum_norm", length: 6 } as const;
  const batch = batchSize(layoutOf(mask)), ranks = [[0, 2], [2, 4]] as const;
  near(aggregate(losses, mask, by), 53 / 24);
  const parts = ranks.map(([from, to]) => aggregate(losses.slice(from, to), mask.slice(from, to), by, batch));
  near(parts[0]! + parts[1]!, 53 / 24);
  const gradients = ranks.flatMap(([from, to]) => [...aggregationWeights(by, layoutOf(mask.slice(from, to)), batch)]);
  assertEquals(gradients, [...aggregationWeights(by, layoutOf(mask))]);
});

Deno.test("verl's grid with an empty row: by default it is not counted, 10 / (2 * 3); if it is counted, 10 / (3 * 3)", () => {
  const losses = count(3, 3), mask = [[1, 1, 0], [0, 0, 0], [1, 0, 0]], by = { kind: "seq_sum_norm", length: 3 } as const;
  near(aggregate(losses, mask, by), 10 / 6);
  near(aggregate(losses, mask, by, { tokens: 3, sequences: 3 }), 10 / 9);
});

Deno.test("verl's 2 x 3 grid: what is masked, however large, is in no sum: 13 over 4 tokens", () => {
  near(4 * aggregate([[1, 2, 30], [4, 50, 6]], [[1, 1, 0], [1, 0, 1]], { kind: "token" }), 13);
});

Deno.test("verl's 8 x 3 grid: 1, 2, 4, 8 parts add up to the same number for every aggregation", () => {
  const losses = count(8, 3), mask = losses.map(() => [1, 1, 0]), batch = batchSize(layoutOf(mask));
  for (
    const [aggregation, expected] of [[{ kind: "token" }, 12], [{ kind: "seq" }, 12], [{ kind: "seq_sum_norm", length: 3 }, 8]] as const
  ) {
    for (const parts of [1, 2, 4, 8]) {
      const rows = 8 / parts;
      let sum = 0;
      for (let at = 0; at < 8; at += rows) sum += aggregate(losses.slice(at, at + rows), mask.slice(at, at + rows), aggregation, batch);
      near(sum, expected, `${aggregation.kind} in ${parts}`);
    }
  }
});

Deno.test("OpenRLHF's grids: two ranks add up to the mean over 6 tokens, 22 / 6, and over 3 sequences, 13 / 3", () => {
  const tables = [
    { kind: "token", losses: [[1, 2, 0], [3, 4, 5], [7, 0, 0]], mask: [[1, 1, 0], [1, 1, 1], [1, 0, 0]], expected: 22 / 6 },
    { kind: "seq", losses: [[1, 3, 9], [2, 4, 0], [8, 0, 0]], mask: [[1, 1, 0], [1, 1, 0], [1, 0, 0]], expected: 13 / 3 },
  ] as const;
  for (const { kind, losses, mask, expected } of tables) {
    const batch = batchSize(layoutOf(mask));
    near(aggregate(losses, mask, { kind }), expected, kind);
    const parts = [[0, 2], [2, 3]].map(([from, to]) => aggregate(losses.slice(from, to), mask.slice(from, to), { kind }, batch));
    near(parts[0]! + parts[1]!, expected, `${kind} by ranks`);
  }
});

Deno.test("OpenRLHF's fully masked sequence is in no count: (1 + 3) / 2 over one sequence", () => {
  const mask = [[1, 1], [0, 0]];
  assertEquals(batchSize(layoutOf(mask)).sequences, 1);
  near(aggregate([[1, 3], [5, 7]], mask, { kind: "seq" }), 2);
});

Deno.test("OpenRLHF's uneven micro-batches: 28 / 7 by tokens of the window, not the mean 3.25 of the parts' means", () => {
  const parts = [
    { losses: [[1, 2, 0]], mask: [[1, 1, 0]] },
    { losses: [[3, 4, 5], [6, 7, 0]], mask: [[1, 1, 1], [1, 1, 0]] },
  ];
  const batch = { tokens: 7, sequences: 3 };
  near(parts.reduce((sum, { losses, mask }) => sum + aggregate(losses, mask, { kind: "token" }, batch), 0), 4);
  near(parts.reduce((sum, { losses, mask }) => sum + aggregate(losses, mask, { kind: "token" }), 0) / 2, 3.25);
});
