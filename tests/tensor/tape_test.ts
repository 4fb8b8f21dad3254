import { assertEquals, assertThrows } from "@std/assert";
import { KedgeError } from "../../ffi/errors.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { Segments } from "../../tensor/segments.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Value } from "../../tensor/value.ts";
import {
  add,
  addBias,
  attention,
  concatRows,
  dot,
  gatherRows,
  gatherWeighted,
  gelu,
  headRmsnorm,
  layernorm,
  linear,
  mul,
  scale,
  scatterAddRows,
  sum,
} from "../../tensor/ops/mod.ts";
import type { Random } from "../ops/harness.ts";
import { Decoder } from "./decoder.ts";
import { assertClose, deviceTest } from "./device_test_case.ts";

const fresh = (random: Random) => {
  const copy = Object.create(random) as Random; // the same draws, from here on, for every run
  const draws: number[] = [];
  const base = random.next.bind(random);
  for (let i = 0; i < 1000; i++) draws.push(base());
  let at = 0;
  return {
    rewind: () => (at = 0, copy),
    install: () => {
      copy.next = () => draws[at++]!;
      copy.integer = (low, high) => low + Math.floor(copy.next() * (high - low));
    },
  };
};

interface Run {
  loss: number;
  gradients: Float32Array[];
  /** Bytes that the tape held after the forward, and at most. */
  forward: number;
  peak: number;
}

deviceTest("a checkpoint gives the plain run's gradients to the bit, and a lower peak", (device, random) => {
  using model = new Decoder(device, random);
  const draws = fresh(random);
  draws.install();
  // The first run is for the workspace and the gradients to be there.
  const [, plain, again] = [true, false, true].map((checkpoints) => {
    model.zeroGrad();
    device.synchronize();
    device.resetPeak();
    const { used } = device.memory();
    using tape = new Tape(device);
    const loss = model.loss(tape, { lengths: [100, 157], checkpoints, random: draws.rewind() });
    const forward = device.memory().used - used;
    tape.backward(loss);
    return { loss: loss.tensor.item(), gradients: model.gradients(), peak: device.memory().peak - used, forward };
  }) as [unknown, Run, Run];
  assertEquals(again.loss, plain.loss);
  assertEquals(again.gradients, plain.gradients);
  if (!(again.forward < 0.4 * plain.forward)) {
    throw new Error(`after the forward: ${again.forward} bytes with checkpoints, ${plain.forward} without`);
  }
  if (!(again.peak < 0.6 * plain.peak)) throw new Error(`peak: ${again.peak} bytes with checkpoints, ${plain.peak} without`);
});

deviceTest("checkpoints within checkpoints, of views, of several results, of a value passed through", (device, random) => {
  const numbers = { x: Float32Array.from(random.normal(24)), w: Float32Array.from(random.normal(16)) };
  const results = [false, true].map((checkpoints) => {
    using x = Tensor.from(device, numbers.x, { shape: [6, 4] });
    using weight = new Parameter("w", Tensor.from(device, numbers.w, { shape: [4, 4] }));
    using tape = new Tape(device);
    const run = <T extends Value | readonly Value[] | Record<string, Value>>(fn: () => T): T => checkpoints ? tape.checkpoint(fn) : fn();
    const input = tape.input(x);
    const base = gelu(input);
    const view = base.slice(1, 5);
    const { a, b } = run(() => {
      const inner = run(() => [linear(view, weight), view] as const);
      return { a: run(() => mul(inner[0]!, inner[1]!)), b: base };
    });
    base[Symbol.dispose](); // the checkpoint reads it again all the same
    tape.backward([
      { value: a!, gradient: view.tensor },
      { value: b!, gradient: x },
    ]);
    return [input.gradient!.toFloats(), weight.grad!.toFloats()];
  });
  assertEquals(results[1], results[0]);
});

deviceTest("an observer of attention is called once under a checkpoint", (device, random) => {
  using x = Tensor.from(device, Float32Array.from(random.normal(24)), { shape: [6, 4] });
  using segments = Segments.packed(device, [6], { causal: true });
  using tape = new Tape(device);
  const input = tape.input(x);
  let calls = 0;
  const y = tape.checkpoint(() => attention({ q: input, k: input, v: input }, { segments, heads: 1, observe: () => calls++ }));
  tape.backward(sum(y));
  assertEquals(calls, 1);
});

deviceTest("micro-batches add up to the whole batch's gradients", (device, random) => {
  using model = new Decoder(device, random);
  const draws = fresh(random);
  draws.install();
  const run = (batches: number[][]) => {
    model.zeroGrad();
    const shared = draws.rewind();
    // Sequences have the same tokens in every packing: one draw per token, and targets within the sequence's own batch.
    for (const lengths of batches) {
      using tape = new Tape(device);
      tape.backward(model.loss(tape, { lengths, checkpoints: false, random: shared }));
    }
    return model.gradients();
  };
  const whole = run([[5], [8], [3]]);
  assertEquals(run([[5], [8], [3]]), whole);
  const joined = (() => {
    model.zeroGrad();
    const shared = draws.rewind();
    using tape = new Tape(device);
    const losses = [[5], [8], [3]].map((lengths) => model.loss(tape, { lengths, checkpoints: true, random: shared }));
    tape.backward(losses.reduce((a, b) => add(a, b)));
    return model.gradients();
  })();
  for (const [i, gradient] of joined.entries()) assertClose(gradient, whole[i]!, { what: `gradient ${i}`, tolerance: 1e-4 });
});

deviceTest("a batch packed gives the sum of its sequences' gradients", (device, random) => {
  using w = new Parameter("w", Tensor.from(device, Float32Array.from(random.normal(20)), { shape: [4, 5] }));
  using x = Tensor.from(device, Float32Array.from(random.normal(60)), { shape: [12, 5] });
  const run = (ranges: [number, number][]) => {
    w.zeroGrad();
    for (const [start, end] of ranges) {
      using tape = new Tape(device);
      tape.backward(sum(gelu(linear(tape.constant(x).slice(start, end), w))));
    }
    return w.grad!.toFloats();
  };
  assertClose(run([[0, 4], [4, 5], [5, 12]]), run([[0, 12]]), { what: "gradient", tolerance: 1e-5 });
});

deviceTest("memory is flat over 50 steps", (device, random) => {
  using model = new Decoder(device, random);
  const seen = new Set<number>();
  for (let step = 0; step < 50; step++) {
    {
      using tape = new Tape(device);
      tape.backward(model.loss(tape, { lengths: [5, 9], checkpoints: step % 2 === 1, random }));
    }
    model.zeroGrad();
    if (step > 0) seen.add(device.memory().allocations);
  }
  assertEquals(seen.size, 1);
});

deviceTest("a backward frees intermediate values, and keeps parameters, results and kept values", (device) => {
  using w = new Parameter("w", Tensor.full(device, [64, 64], { value: 0.01 }));
  using x = Tensor.full(device, [64, 64], { value: 1 });
  const before = device.memory().allocations;
  using tape = new Tape(device);
  const hidden = linear(tape.constant(x), w);
  const kept = gelu(hidden).keep();
  const loss = sum(mul(kept, kept));
  tape.backward(loss);
  assertEquals(device.memory().allocations - before, 3); // the weight's gradient, what is kept, the loss
  assertEquals(kept.tensor.toFloats().length, 4096);
  loss.tensor.item();
  const error = assertThrows(() => hidden.tensor, KedgeError, "backward has freed it");
  assertEquals(error.code, "Handle");
});

deviceTest("using, scope and noGrad free values that a backward does not need", (device) => {
  using x = Tensor.full(device, [8, 8], { value: 1 });
  using tape = new Tape(device, { record: false });
  const input = tape.constant(x);
  const before = device.memory().allocations;
  {
    using _a = gelu(input);
    using _b = scale(_a, 2);
    assertEquals(device.memory().allocations - before, 2);
  }
  assertEquals(device.memory().allocations - before, 0);
  const result = tape.scope(() => gelu(gelu(gelu(input))));
  assertEquals(device.memory().allocations - before, 1);
  assertEquals(result.requiresGrad, false);
});

deviceTest("noGrad gives constants, within a tape that records", (device) => {
  using x = Tensor.from(device, [1, 2, 3]);
  using tape = new Tape(device);
  const input = tape.input(x);
  const fixed = tape.noGrad(() => mul(input, input));
  assertEquals(fixed.requiresGrad, false);
  tape.backward(dot(fixed, input));
  assertEquals([...input.gradient!.toFloats()], [1, 4, 9]);
});

deviceTest("detach stops the gradient; a frozen parameter has none", (device) => {
  using x = Tensor.from(device, [1, 2, 3]);
  using w = new Parameter("w", Tensor.from(device, [2, 2, 2]), { requiresGrad: false });
  using tape = new Tape(device);
  const input = tape.input(x);
  tape.backward(sum(mul(mul(input, input.detach()), tape.param(w))));
  assertEquals([...input.gradient!.toFloats()], [2, 4, 6]);
  assertEquals(w.grad, undefined);
});

deviceTest("a tape runs backward once, from a value with a gradient, of one element", (device) => {
  using x = Tensor.from(device, [1, 2]);
  using tape = new Tape(device);
  const input = tape.input(x);
  const loss = sum(input);
  assertThrows(() => tape.backward(gelu(input)), RangeError, "a loss has one element");
  assertThrows(() => tape.backward(sum(tape.constant(x))), RangeError, "depends on nothing");
  tape.backward(loss);
  assertThrows(() => tape.backward(loss), RangeError, "it has run");
  using other = new Tape(device);
  assertThrows(() => add(other.input(x), input), RangeError, "on another tape");
});

deviceTest("changing in place a value that a backward needs is an error", (device) => {
  using x = Tensor.from(device, [1, 2, 3, 4], { shape: [2, 2] });
  using bias = new Parameter("b", Tensor.from(device, [1, 1]));
  {
    using tape = new Tape(device);
    const y = scale(tape.input(x), 2);
    const loss = sum(add(gelu(y), addBias(y, bias, { inPlace: true })));
    assertThrows(() => tape.backward(loss), RangeError, "changed in place");
  }
  {
    using tape = new Tape(device);
    const y = scale(tape.input(x), 2);
    const z = tape.checkpoint(() => gelu(y));
    addBias(y, bias, { inPlace: true });
    assertThrows(() => tape.backward(sum(z)), RangeError, "changed in place");
  }
  {
    using tape = new Tape(device);
    assertThrows(() => addBias(tape.input(x), bias, { inPlace: true }), RangeError, "its memory is not the tape's");
    assertThrows(() => addBias(tape.constant(x).slice(0, 1), bias, { inPlace: true }), RangeError, "its memory is not the tape's");
  }
});

deviceTest("a failed op leaves no allocations", (device) => {
  using x = Tensor.from(device, [1, 2, 3, 4], { shape: [2, 2] });
  using tape = new Tape(device);
  const input = tape.input(x);
  assertThrows(() => mul(input, input.slice(0, 1)), RangeError);
  assertThrows(() => linear(input, tape.constant(x).reshape([1, 4])), RangeError);
  assertThrows(() => concatRows([]), RangeError);
  assertThrows(() => headRmsnorm(input, input.reshape([4])), RangeError, "heads of 4");
  assertThrows(() => layernorm(input, { weight: input.slice(0, 1).reshape([2]), bias: input }), RangeError, "sizes or types differ");
  if (device.kind === "cpu") {
    using index = Tensor.from(device, Int32Array.of(2));
    assertThrows(() => gatherRows(input, index), RangeError);
    assertThrows(() => gatherWeighted(input, { index, weight: index }), RangeError, "both must be [n, taps]");
    assertThrows(() => scatterAddRows(input, { rows: input.slice(0, 1).columns(0, 1), index }), RangeError, "sizes or types do not fit");
  }
  assertThrows(() => tape.checkpoint(() => gelu(mul(input, input.slice(0, 1)))), RangeError);
  tape.backward(sum(input));
});

deviceTest("a seed's tensor is not written to", (device) => {
  using x = Tensor.from(device, [1, 2, 3, 4], { shape: [2, 2] });
  using seed = Tensor.from(device, [5, 6, 7, 8], { shape: [2, 2] });
  using tape = new Tape(device);
  const input = tape.input(x);
  const y = scale(input, 1);
  tape.backward([{ value: y, gradient: seed }, { value: y, gradient: seed }, { value: y.slice(0, 1), gradient: seed.slice(0, 1) }]);
  assertEquals([...seed.toFloats()], [5, 6, 7, 8]);
  assertEquals([...input.gradient!.toFloats()], [15, 18, 14, 16]);
});
