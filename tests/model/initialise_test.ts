import { assertEquals, assertThrows } from "@std/assert";
import { KedgeError } from "../../ffi/errors.ts";
import type { ModelConfig } from "../../model/config/config.ts";
import { initialEntries, initialiseParameters } from "../../model/folder/initialise.ts";
import { NormalStream } from "../../model/folder/normal_stream.ts";
import { parameterSpecs } from "../../model/parameters.ts";
import { presetConfig } from "../../model/config/presets.ts";
import type { Parameters } from "../../tensor/parameter.ts";
import type { SafetensorsEntry } from "../../tensor/safetensors_writer.ts";
import { deviceTest } from "../tensor/device_test_case.ts";

function tinyConfig(): ModelConfig {
  const tokens = { image: 31, video: 32, visionStart: 33, visionEnd: 34, eos: [35], bos: 35, pad: 35 };
  const config = presetConfig("tiny", { tokens, vocabSize: 301 });
  return { ...config, text: { ...config.text, tied: false } };
}

/** As assertEquals, which takes minutes to show how large arrays differ. */
function assertSameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  const at = expected.findIndex((byte, i) => byte !== actual[i]);
  assertEquals([actual.length, at], [expected.length, -1], what);
}

function free(parameters: Parameters): void {
  for (const parameter of Object.values(parameters)) parameter[Symbol.dispose]();
}

function bytesOf(parameters: Parameters): Record<string, Uint8Array> {
  const bytes = Object.fromEntries(Object.entries(parameters).map(([name, { tensor }]) => [name, tensor.toBytes()] as const));
  free(parameters);
  return bytes;
}

function dataOf({ data }: SafetensorsEntry): number[] {
  const parts = typeof data === "function" ? data() : data;
  return parts instanceof Uint8Array ? [...parts] : Array.from(parts).flatMap((part) => [...part]);
}

/** Mean and deviation in units of what they should be, in standard errors. */
function moments(values: Float32Array, deviation: number): { mean: number; spread: number } {
  let sum = 0, squares = 0;
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  const n = values.length;
  return { mean: sum / n / deviation * Math.sqrt(n), spread: (squares / n / deviation ** 2 - 1) * Math.sqrt(n / 2) };
}

deviceTest("weights depend on the seed, and on nothing else", (device, random) => {
  const config = tinyConfig(), seed = random.integer(0, 2 ** 31);
  const make = (value: number) => bytesOf(initialiseParameters(device, config, { seed: value, dtype: "f32" }));
  const first = make(seed);
  for (const [name, bytes] of Object.entries(make(seed))) assertSameBytes(bytes, first[name]!, name);
  const other = make(seed + 1);
  for (const { name, kind } of parameterSpecs(config)) {
    if (kind !== "matrix" && kind !== "embedding") continue;
    const equal = first[name]!.filter((byte, i) => byte === other[name]![i]).length;
    if (!(equal < first[name]!.length / 4)) throw new Error(`${name}: ${equal} of ${first[name]!.length} bytes are equal`);
  }
});

deviceTest("a folder's entries are the parameters, in f32 and in bf16", (device, random) => {
  const config = tinyConfig(), seed = random.integer(0, 2 ** 31);
  for (const dtype of ["f32", "bf16"] as const) {
    const entries = new Map(initialEntries(config, { seed, dtype, scheme: "fan-in" }).map((entry) => [entry.name, entry] as const));
    const parameters = bytesOf(initialiseParameters(device, config, { seed, dtype, scheme: "fan-in" }));
    for (const { name, parts } of parameterSpecs(config)) {
      assertSameBytes(parameters[name]!, Uint8Array.from(parts.flatMap(({ key }) => dataOf(entries.get(key)!))), name);
    }
  }
});

deviceTest("bf16 weights are the f32 ones, rounded to nearest even", (device, random) => {
  const config = tinyConfig(), seed = random.integer(0, 2 ** 31);
  const wide = initialiseParameters(device, config, { seed, dtype: "f32" }),
    narrow = initialiseParameters(device, config, { seed, dtype: "bf16" });
  for (const [name, { tensor }] of Object.entries(wide)) {
    using rounded = tensor.cast("bf16");
    assertSameBytes(narrow[name]!.tensor.toBytes(), rounded.toBytes(), name);
  }
  free(wide);
  free(narrow);
});

deviceTest("schemes: every matrix has the deviation that its scheme says; biases are 0 and norms 1", (device, random) => {
  const config = tinyConfig(), seed = random.integer(0, 2 ** 31);
  for (const scheme of ["hub", "fan-in"] as const) {
    const parameters = initialiseParameters(device, config, { seed, scheme, dtype: "f32" });
    for (const { name, kind, shape } of parameterSpecs(config)) {
      const values = parameters[name]!.tensor.toFloats();
      if (kind === "bias") assertEquals(values.every((value) => value === 0), true, name);
      else if (kind === "norm") assertEquals(values.every((value) => value === 1), true, name);
      else {
        const { mean, spread } = moments(values, scheme === "hub" ? 0.02 : kind === "embedding" ? 0.1 : 1 / Math.sqrt(shape[1]!));
        if (!(Math.abs(mean) < 6 && Math.abs(spread) < 6)) throw new Error(`${scheme} ${name}: ${mean}, ${spread} standard errors off`);
      }
    }
    free(parameters);
  }
});

deviceTest("nothing stays allocated if memory runs out", (device, random) => {
  const config = tinyConfig(), before = device.memory().allocations;
  let left = random.integer(0, parameterSpecs(config).length);
  const failing = new Proxy(device, {
    get(target, key) {
      const value = Reflect.get(target, key, target);
      if (key !== "alloc") return typeof value === "function" ? value.bind(target) : value;
      return (bytes: number) => {
        if (left-- === 0) throw new KedgeError("OutOfMemory", "Cannot go on: the test ends here");
        return target.alloc(bytes);
      };
    },
  });
  assertThrows(() => initialiseParameters(failing, config), KedgeError, "the test ends here");
  assertEquals(device.memory().allocations, before);
});

Deno.test("the normal stream's numbers fall into equal cells of the normal distribution, tails included", () => {
  // Quantiles of the standard normal, by bisection of its integral (Simpson's rule).
  const density = (x: number) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
  const below = (x: number) => {
    const steps = 2000, h = x / steps;
    let sum = density(0) + density(x);
    for (let i = 1; i < steps; i++) sum += (i % 2 ? 4 : 2) * density(i * h);
    return 0.5 + sum * h / 3;
  };
  const edges = [-4.5, -4, -3.66, -3.5, -3, -2, -1.5, -1, -0.6, -0.3, -0.1, 0, 0.1, 0.3, 0.6, 1, 1.5, 2, 3, 3.5, 3.66, 4, 4.5];
  const chances = [...edges, Infinity].map((edge, i) => (edge === Infinity ? 1 : below(edge)) - (i === 0 ? 0 : below(edges[i - 1]!)));
  const seed = Math.floor(Math.random() * 2 ** 31), n = 2 ** 22, values = new Float32Array(n), counts = new Float64Array(chances.length);
  new NormalStream(seed, "test").fill(values, 1);
  for (const value of values) {
    const cell = edges.findIndex((edge) => value < edge);
    counts[cell < 0 ? edges.length : cell]!++;
  }
  const chi2 = chances.reduce((sum, chance, i) => sum + (counts[i]! - n * chance) ** 2 / (n * chance), 0);
  // 23 degrees of freedom: beyond 65 once in 10^5.5 runs.
  if (!(chi2 < 65)) throw new Error(`chi-square ${chi2} of ${chances.length} cells (seed ${seed})`);
});

Deno.test("the normal stream continues where it stopped, differs by name and seed, and scales", () => {
  const take = (seed: number, options: { name?: string; sizes: number[]; deviation?: number }) => {
    const stream = new NormalStream(seed, options.name ?? "a");
    return options.sizes.flatMap((size) => {
      const values = new Float32Array(size);
      stream.fill(values, options.deviation ?? 1);
      return [...values];
    });
  };
  const whole = take(5, { sizes: [5000] });
  assertEquals(take(5, { sizes: [1, 999, 4000] }).every((value, i) => value === whole[i]), true);
  assertEquals(take(5, { sizes: [5000], deviation: 0.25 }).every((value, i) => value === whole[i]! / 4), true);
  const matches = (other: number[]) => other.filter((value, i) => value === whole[i]).length;
  assertEquals([take(5, { name: "b", sizes: [5000] }), take(6, { sizes: [5000] }), take(5 + 2 ** 32, { sizes: [5000] })].map(matches), [
    0,
    0,
    0,
  ]);
  assertThrows(() => new NormalStream(-1, "a"), RangeError, "Cannot seed");
});
