/** The tape in bf16, on the devices that have it: parameters' gradients are f32, activations' bf16. */
import { assertEquals } from "@std/assert";
import type { Device } from "../../ffi/device.ts";
import { Parameter } from "../../tensor/parameter.ts";
import {
  add,
  addBias,
  cast,
  concatRows,
  dot,
  gatherRows,
  gatherWeighted,
  gelu,
  headRmsnorm,
  layernorm,
  mul,
  rmsnorm,
  scale,
  scatterAddRows,
  scatterRows,
  sum,
} from "../../tensor/ops/mod.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { backends } from "../ops/backends.ts";
import { Random } from "../ops/harness.ts";
import { assertClose } from "./device_test_case.ts";
import { Decoder } from "./decoder.ts";

for (const backend of backends().filter(({ dtypes }) => dtypes.includes("bf16"))) {
  backend.open(); // here, since a library that a test loads counts as its leak
  const test = (name: string, body: (device: Device, random: Random) => void) =>
    Deno.test(`${name} [${backend.tier} bf16]`, () => body(backend.open(), new Random(Math.floor(Math.random() * 2 ** 31))));

  test("gradients by bf16 inputs and parameters are those by f32 ones, rounded", (device, random) => {
    const numbers = { x: random.normal(24), w: random.normal(4), b: random.normal(4), table: random.normal(20) };
    const run = (dtype: "f32" | "bf16") => {
      const tensors = Object.entries(numbers).map(([name, data]) => {
        // The same numbers in both types.
        using rounded = Tensor.from(device, Float32Array.from(data), {
          dtype: "bf16",
          shape: name === "x" ? [6, 4] : name === "table" ? [5, 4] : [4],
        });
        return [name, rounded.cast(dtype)] as const;
      });
      const [x, ...rest] = tensors;
      const params = rest.map(([name, tensor]) => new Parameter(name, tensor));
      const [w, b, table] = params as [Parameter, Parameter, Parameter];
      using index = Tensor.from(device, Int32Array.of(4, 0, -1, 4));
      using twice = Tensor.from(device, Int32Array.of(1, 1));
      using places = Tensor.from(device, Int32Array.of(5, 0, 3, 1));
      using tape = new Tape(device);
      const input = tape.input(x![1]);
      const y = scatterRows(addBias(rmsnorm(input, w), b), { rows: gatherRows(tape.param(table), index), index: places });
      using places4 = places.reshape([1, 4]);
      using shares = Tensor.from(device, [0.5, 1, -1, 0.25], { shape: [1, 4] });
      const weighed = gatherWeighted(headRmsnorm(layernorm(input, { weight: w, bias: b }), w), { index: places4, weight: shares });
      const z = scatterAddRows(add(gelu(mul(y, input)), scale(y, 0.5)), { rows: concatRows([weighed, weighed]), index: twice });
      // The norm's weight once more, by an op that knows nothing of weights.
      const loss = add(sum(cast(z, "f32")), dot(tape.param(w), tape.param(w)));
      tape.backward(loss);
      const result = [input.gradient!, ...params.map((p) => p.grad!)].map((tensor) => ({
        dtype: tensor.dtype,
        numbers: tensor.toFloats(),
      }));
      for (const [, tensor] of tensors) tensor[Symbol.dispose]();
      for (const p of params) p[Symbol.dispose]();
      return result;
    };
    const [exact, rounded] = [run("f32"), run("bf16")];
    assertEquals(rounded.map(({ dtype }) => dtype), ["bf16", "f32", "f32", "f32"]);
    for (const [i, { numbers }] of rounded.entries()) assertClose(numbers, exact[i]!.numbers, { what: `gradient ${i}`, tolerance: 0.04 });
  });

  test("a decoder's gradients in bf16 are near those in f32", (device, random) => {
    const run = (dtype: "f32" | "bf16") => {
      const same = new Random(random.seed);
      using model = new Decoder(device, same, dtype);
      using tape = new Tape(device);
      tape.backward(model.loss(tape, { lengths: [5, 9], checkpoints: true, random: same }));
      return model.gradients();
    };
    const [exact, rounded] = [run("f32"), run("bf16")];
    for (const [i, gradient] of rounded.entries()) {
      // Norm of the difference over the norm: single elements may cancel.
      let [difference, norm] = [0, 0];
      gradient.forEach((g, j) => (difference += (g - exact[i]![j]!) ** 2, norm += exact[i]![j]! ** 2));
      const relative = Math.sqrt(difference / norm);
      if (!(relative < 0.1)) throw new Error(`gradient ${i} is off by ${relative} of its norm`);
    }
  });
}
