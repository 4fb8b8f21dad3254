/**
 * Compares the gradients of a tape with differences of its own forward. The kernels' precision is tested elsewhere, in float64. This checks
 * the wiring: which gradient goes where, what is added and what is overwritten.
 *
 * @module
 */
import type { Device } from "../../ffi/device.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { Tape } from "../../tensor/tape.ts";
import { type Shape, Tensor } from "../../tensor/tensor.ts";
import type { Value } from "../../tensor/value.ts";
import type { Random } from "../ops/harness.ts";
import { assertClose, deviceTest } from "./device_test_case.ts";

/** A function of values, and the shapes of what it is differentiated by. */
export interface GradientCase {
  inputs: Record<string, Shape>;
  /** Further tensors that it needs. They are freed after the test. */
  constants?: (device: Device) => Record<string, Tensor & Disposable>;
  /** The function; every result counts. */
  run: (inputs: Record<string, Value>, constants: Record<string, Tensor>, device: Device) => Value | readonly Value[];
  /** Standard deviation of the inputs. Default 0.7. */
  scale?: number;
  /** Default 1e-3. */
  tolerance?: number;
}

const STEP = 1 / 32;

/** Registers the check, with the inputs as a tape's inputs and as parameters. */
export function gradientTest(name: string, test: GradientCase): void {
  for (const kind of ["inputs", "parameters"] as const) {
    deviceTest(`${name}, by ${kind}`, (device, random) => checkGradients({ device, random, kind, ...test }));
  }
}

/** The check itself. */
export function checkGradients(test: GradientCase & { device: Device; random: Random; kind: "inputs" | "parameters" }): void {
  const { device, random, kind, scale = 0.7, tolerance = 1e-3 } = test;
  const numbers = Object.fromEntries(
    Object.entries(test.inputs).map(([name, shape]) => {
      return [name, Float32Array.from(random.normal(shape.reduce((a, b) => a * b, 1), scale))];
    }),
  );
  const constants = test.constants?.(device) ?? {};
  let cotangents: Float32Array<ArrayBuffer>[] | undefined;

  const outputs = (result: Value | readonly Value[]) => (Array.isArray(result) ? result : [result]) as readonly Value[];
  const forward = (values: Record<string, Float32Array<ArrayBuffer>>): number => {
    using tape = new Tape(device, { record: false });
    const tensors = Object.entries(values).map(([name, data]) => [name, Tensor.from(device, data, { shape: test.inputs[name]! })] as const);
    const results = outputs(
      test.run(Object.fromEntries(tensors.map(([name, tensor]) => [name, tape.constant(tensor)])), constants, device),
    );
    cotangents ??= results.map((result) => Float32Array.from(random.normal(result.size)));
    let total = 0;
    for (const [i, result] of results.entries()) {
      for (const [j, number] of result.tensor.toFloats().entries()) total += number * cotangents[i]![j]!;
    }
    for (const [, tensor] of tensors) tensor.free();
    return total;
  };
  forward(numbers);

  const expected = Object.fromEntries(
    Object.entries(numbers).map(([name, data]) => {
      const at = (i: number, value: number) => {
        const kept = data[i]!;
        data[i] = value;
        const result = forward(numbers);
        data[i] = kept;
        return result;
      };
      // Four points: an error of STEP^4, and rounding of about 1e-7 / STEP.
      return [
        name,
        Float64Array.from(data, (x, i) => {
          const far = at(i, x + 2 * STEP) - at(i, x - 2 * STEP), near = at(i, x + STEP) - at(i, x - STEP);
          return (8 * near - far) / (12 * STEP);
        }),
      ];
    }),
  );

  const tensors = Object.entries(numbers).map(([name, data]) => [name, Tensor.from(device, data, { shape: test.inputs[name]! })] as const);
  const parameters = kind === "parameters" ? tensors.map(([name, tensor]) => new Parameter(name, tensor)) : [];
  {
    using tape = new Tape(device);
    const values: Record<string, Value> = kind === "inputs"
      ? Object.fromEntries(tensors.map(([name, tensor]) => [name, tape.input(tensor)]))
      : tape.params(Object.fromEntries(parameters.map((p) => [p.name, p])));
    const results = outputs(test.run(values, constants, device));
    const seeds = results.map((value, i) => ({ value, gradient: Tensor.from(device, cotangents![i]!, { shape: value.shape }) }));
    tape.backward(seeds);
    for (const { gradient } of seeds) gradient.free();
    for (const [i, [name, tensor]] of tensors.entries()) {
      const gradient = kind === "inputs" ? values[name]!.gradient : parameters[i]!.grad;
      if (!gradient) throw new Error(`No gradient reached ${name}`);
      if (gradient.shape.join() !== tensor.shape.join()) throw new Error(`${name} is [${tensor.shape}], its gradient [${gradient.shape}]`);
      assertClose(gradient.toFloats(), expected[name]!, { what: `gradient by ${name}`, tolerance });
    }
  }
  for (const [, tensor] of tensors) tensor[Symbol.dispose]();
  for (const parameter of parameters) parameter[Symbol.dispose]();
  for (const constant of Object.values(constants)) constant.free();
}
