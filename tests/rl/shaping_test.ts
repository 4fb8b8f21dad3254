import { assertEquals, assertThrows } from "@std/assert";
import { overlongReward } from "../../rl/shaping.ts";

Deno.test("TRL's table: limit 100, buffer 20: 50 -> 0, 90 -> -.5, 110 -> -1", () => {
  assertEquals([50, 80, 90, 100, 110].map((n) => overlongReward(n, { maxLength: 100, buffer: 20 }) + 0), [0, 0, -0.5, -1, -1]);
});

Deno.test("the factor scales; a buffer as long as the limit works", () => {
  assertEquals(overlongReward(95, { maxLength: 100, buffer: 20, factor: 0.5 }), -0.375);
  assertEquals(overlongReward(5, { maxLength: 10, buffer: 10 }), -0.5);
  assertEquals(overlongReward(0, { maxLength: 10, buffer: 10 }) + 0, 0);
});

Deno.test("a buffer of 0, or beyond the limit, is refused", () => {
  for (const bad of [{ maxLength: 10, buffer: 0 }, { maxLength: 10, buffer: 11 }, { maxLength: 10, buffer: 5, factor: -1 }]) {
    assertThrows(() => overlongReward(1, bad), RangeError);
  }
});
