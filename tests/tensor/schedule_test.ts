import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { constantSchedule, cosineSchedule, linearSchedule, type Schedule } from "../../tensor/schedule.ts";

const values = (schedule: Schedule, steps: number) => Array.from({ length: steps }, (_, step) => schedule(step));
const close = (actual: number[], expected: number[]) => actual.forEach((value, i) => assertAlmostEquals(value, expected[i]!, 1e-12));

Deno.test("the warm-up's first step moves and its last has the full rate", () => {
  for (
    const schedule of [
      constantSchedule({ lr: 1, warmup: 4 }),
      linearSchedule({ lr: 1, warmup: 4, total: 8 }),
      cosineSchedule({ lr: 1, warmup: 4, total: 8 }),
    ]
  ) {
    close(values(schedule, 5), [0.25, 0.5, 0.75, 1, 1]);
  }
});

Deno.test("constant stays", () => close(values(constantSchedule({ lr: 3e-5 }), 3), [3e-5, 3e-5, 3e-5]));

Deno.test("linear falls to its minimum at total, and stays there", () => {
  close(values(linearSchedule({ lr: 10, total: 5 }), 7), [10, 8, 6, 4, 2, 0, 0]);
  close(values(linearSchedule({ lr: 10, total: 6, warmup: 2, minRatio: 0.5 }), 8), [5, 10, 10, 8.75, 7.5, 6.25, 5, 5]);
});

Deno.test("cosine falls to its minimum at total, and stays there", () => {
  // (1 + cos(pi t)) / 2 at t = 0, 1/3, 2/3, 1: 1, 3/4, 1/4, 0.
  close(values(cosineSchedule({ lr: 8, total: 3 }), 5), [8, 6, 2, 0, 0]);
  close(values(cosineSchedule({ lr: 8, total: 4, warmup: 1, minRatio: 0.25 }), 6), [8, 8, 6.5, 3.5, 2, 2]);
});

Deno.test("a warm-up that fills the run ends at the minimum", () => {
  close(values(linearSchedule({ lr: 1, warmup: 2, total: 2 }), 4), [0.5, 1, 0, 0]);
});

Deno.test("mistakes give errors that name them", () => {
  assertThrows(() => constantSchedule({ lr: NaN }), RangeError, "lr is NaN");
  assertThrows(() => constantSchedule({ lr: 1, warmup: -1 }), RangeError, "warmup is -1");
  assertThrows(() => linearSchedule({ lr: 1, warmup: 5, total: 4 }), RangeError, "total is 4");
  assertThrows(() => cosineSchedule({ lr: 1, total: 4, minRatio: 2 }), RangeError, "minRatio is 2");
  assertThrows(() => constantSchedule({ lr: 1 })(-1), RangeError, "step -1");
  assertEquals(constantSchedule({ lr: 0 })(0), 0);
});
