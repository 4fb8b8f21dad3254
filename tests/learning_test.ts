/** Tests that models learn on the CPU: all of floor 2 together, through the examples. */
import { assert, assertEquals } from "@std/assert";
import { learnCopying } from "../examples/copy_tokens.ts";
import { learnParity } from "../examples/parity.ts";
import { CpuDevice } from "../ffi/cpu_device.ts";

CpuDevice.open()[Symbol.dispose](); // here, since a library that a test loads counts as its leak

for (const seed of [1, 2, 3]) {
  Deno.test(`an MLP learns 4-bit parity to a loss under 0.01, seed ${seed}`, () => {
    using device = CpuDevice.open({ threads: 1 });
    const loss = learnParity(device, { seed });
    assert(loss < 0.01, `the loss is ${loss}`);
  });

  Deno.test(`a two-layer transformer copies 16 random tokens to under 0.05 nats, seed ${seed}`, () => {
    using device = CpuDevice.open();
    const loss = learnCopying(device, { seed });
    assert(loss < 0.05, `the loss is ${loss}`);
  });
}

Deno.test("training gives equal bits for any number of threads", () => {
  const losses = [1, 2, 3].map((threads) => {
    using device = CpuDevice.open({ threads, blas: "builtin" });
    const seen: number[] = [];
    learnCopying(device, { seed: 4, progress: ({ loss }) => seen.push(loss) });
    return seen;
  });
  assertEquals(losses[1], losses[0]);
  assertEquals(losses[2], losses[0]);
});
