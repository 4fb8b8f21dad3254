import { assert, assertEquals, assertThrows } from "@std/assert";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { Account } from "../../tensor/handle.ts";
import { gatherRows, linear, linearKl, linearLogProb, matmul } from "../../tensor/ops/mod.ts";
import { openOwner } from "../../tensor/owner.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { Random } from "../../tensor/random.ts";
import { Tape } from "../../tensor/tape.ts";
import { SafetensorsFile } from "../../tensor/safetensors.ts";
import { writeSafetensors } from "../../tensor/safetensors_writer.ts";
import { describe, Tensor } from "../../tensor/tensor.ts";
import { loadInto, tensorEntry } from "../../tensor/tensor_files.ts";
import type { Value } from "../../tensor/value.ts";

CpuDevice.open({ blas: "builtin" })[Symbol.dispose](); // here, since a library that a test loads counts as its leak

/** Registers a test on the CPU, which must free what it allocates. */
function packedTest(name: string, body: (device: CpuDevice, random: Random) => void): void {
  Deno.test(name, () => {
    const given = Deno.args.find((a) => a.startsWith("--seed=")),
      seed = given ? Number(given.slice(7)) : Math.floor(Math.random() * 2 ** 31);
    const device = CpuDevice.open({ blas: "builtin" }), before = device.memory().allocations;
    try {
      body(device, new Random(seed));
    } catch (error) {
      throw new Error(`${(error as Error).message} (seed ${seed})`, { cause: error });
    } finally {
      device[Symbol.dispose]();
    }
    assertEquals(device.memory().allocations, before);
  });
}

/** Random f32 numbers. */
function normal(device: CpuDevice, random: Random, shape: readonly number[]): Tensor {
  return Tensor.from(device, Float32Array.from(random.normal(shape.reduce((a, b) => a * b, 1))), { shape });
}

/** A random weight [out, in] of bf16 numbers, as f32 rows and packed. */
function weight(device: CpuDevice, random: Random, shape: readonly [number, number]): { plain: Parameter; packed: Parameter } {
  using exact = normal(device, random, shape);
  using rounded = exact.cast("bf16");
  const packed = Tensor.packed(device, shape);
  packed.pack(0, exact);
  return { plain: new Parameter("w", rounded.cast("f32"), { requiresGrad: false }), packed: new Parameter("w", packed) };
}

/** Fails unless `run` gives equal bits, of its result and of the gradient of x, for both forms of the weight. */
function assertSame(
  device: CpuDevice,
  random: Random,
  given: { x: Tensor; weight: { plain: Parameter; packed: Parameter }; run: (x: Value, w: Parameter) => readonly Value[] },
): void {
  const seeds: Tensor[] = [];
  const results = (["plain", "packed"] as const).map((form) => {
    using tape = new Tape(device);
    const x = tape.input(given.x), values = given.run(x, given.weight[form]).map((value) => value.keep());
    for (const { shape } of values.slice(seeds.length)) seeds.push(normal(device, random, shape));
    tape.backward(values.map((value, i) => ({ value, gradient: seeds[i]! })));
    return [...values.map(({ tensor }) => tensor.toFloats()), x.gradient!.toFloats()];
  });
  for (const seed of seeds) seed[Symbol.dispose]();
  assertEquals(results[1], results[0]);
}

packedTest(
  "products, log-probs and divergences by a packed weight have the bits of f32, and so has the gradient of x",
  (device, random) => {
    for (const rows of [1, 7, 300]) {
      const [dim, vocab] = [random.integer(30, 290), random.integer(60, 400)];
      const w = weight(device, random, [vocab, dim]), other = weight(device, random, [vocab, dim]);
      using bias = new Parameter("b", normal(device, random, [vocab]), { requiresGrad: false });
      using x = normal(device, random, [rows, dim]);
      using wide = normal(device, random, [rows, vocab]);
      using target = Tensor.from(device, Int32Array.from({ length: rows }, (_, i) => i % 5 === 4 ? -1 : random.integer(0, vocab)));
      using theirs = normal(device, random, [rows, dim]);
      const common = { weight: w };
      assertSame(device, random, { ...common, x, run: (x, w) => [linear(x, w, { bias })] });
      assertSame(device, random, { ...common, x, run: (x, w) => [matmul(x, x.tape.param(w), { transB: true, alpha: 0.7 })] });
      assertSame(device, random, { ...common, x: wide, run: (x, w) => [matmul(x, x.tape.param(w), { alpha: -1.3 })] });
      assertSame(device, random, {
        ...common,
        x,
        run: (x, w) => {
          const { logprob, entropy } = linearLogProb(x, w, { target, temperature: 0.8, chunk: 64 });
          return [logprob, entropy];
        },
      });
      assertSame(device, random, {
        ...common,
        x,
        run: (x, mine) => {
          const form = mine === w.packed ? other.packed : other.plain;
          return [linearKl(x, mine, { reference: { hidden: theirs, weight: form.tensor }, target, chunk: 50 })];
        },
      });
      for (const each of [w, other]) for (const form of [each.plain, each.packed]) form[Symbol.dispose]();
    }
  },
);

packedTest("rows looked up in a packed table are those of the table, in f32", (device, random) => {
  const { plain, packed } = weight(device, random, [70, 300]);
  using index = Tensor.from(device, Int32Array.from({ length: 9 }, (_, i) => i === 4 ? -1 : random.integer(0, 70)));
  using tape = new Tape(device);
  const [expected, found] = [plain, packed].map((form) => gatherRows(tape.param(form), index).tensor);
  assertEquals([found!.dtype, found!.toFloats()], ["f32", expected!.toFloats()]);
  plain[Symbol.dispose]();
  packed[Symbol.dispose]();
});

packedTest("a packed tensor is copied, cast, unpacked, lent and read from files, and not used in place", (device, random) => {
  const { plain, packed: { tensor: packed } } = weight(device, random, [101, 270]);
  const expected = plain.tensor.toFloats();
  assertEquals([packed.toFloats(), describe(packed), packed.contiguous], [expected, "bf16[101, 270]", false]);
  using bits = plain.tensor.cast("bf16");
  assertEquals(packed.toBytes(), bits.toBytes());
  using some = packed.unpack(33, 70, { dtype: "f32" });
  assertEquals(some.toFloats(), expected.slice(33 * 270, 70 * 270));
  using copy = packed.copy();
  packed.pack(5, some);
  assertEquals([copy.isPacked, copy.toFloats(), packed.toFloats().slice(5 * 270, 42 * 270)], [true, expected, some.toFloats()]);
  for (
    const use of [
      () => packed.address,
      () => packed.slice(0, 1),
      () => packed.reshape([270, 101]),
      () => packed.fill(0),
      () => packed.write(expected),
      () => plain.tensor.packedAddress,
      () => packed.pack(100, some),
      () => packed.unpack(0, 102, { dtype: "f32" }),
    ]
  ) assertThrows(use, RangeError);

  const path = Deno.makeTempFileSync();
  writeSafetensors(path, [tensorEntry("wide", plain.tensor), tensorEntry("part", some)]);
  using file = SafetensorsFile.open(path);
  for (const bytes of [8, 3000, 200_000]) {
    using target = Tensor.packed(device, [101 + 37, 270]);
    const buffer = new Uint8Array(bytes);
    loadInto(file, "wide", { target, row: 0, buffer });
    loadInto(file, "part", { target, row: 101, buffer });
    assertEquals(target.toFloats(), Float32Array.from([...expected, ...some.toFloats()]));
    assertThrows(() => loadInto(file, "part", { target, row: 102 }), RangeError, "Cannot load");
    assertThrows(() => loadInto(file, "part", { target }), RangeError, "Cannot load");
  }
  Deno.removeSync(path);
  plain[Symbol.dispose]();
  packed.free();
});

packedTest("a packed tensor stays packed when it is lent or moved", (device, random) => {
  using owner = new Account(device, openOwner(device));
  const tensor = Tensor.packed(device, [40, 50]);
  using rows = normal(device, random, [40, 50]);
  tensor.pack(0, rows);
  const expected = tensor.toFloats();
  using other = new Account(device, openOwner(device));
  const borrowed = other.borrow(owner.lend(tensor, other.owner));
  assertEquals([borrowed.isPacked, borrowed.toFloats()], [true, expected]);
  owner.takeBack(other.giveBack(borrowed));
  using received = other.receive(structuredClone(owner.move(tensor, other.owner)));
  assertEquals([received.isPacked, received.toFloats()], [true, expected]);
});

packedTest("a gradient of a packed weight is refused in words, and so is what does not fit it", (device, random) => {
  const { plain, packed } = weight(device, random, [8, 6]);
  assert(!packed.requiresGrad);
  assertThrows(() => packed.requiresGrad = true, RangeError, "Cannot train parameter w: it is packed in bf16");
  assertThrows(() => new Parameter("w", packed.tensor, { requiresGrad: true }), RangeError, "Cannot train parameter w");
  using tape = new Tape(device);
  assertThrows(() => tape.input(packed.tensor), RangeError, "Cannot take a gradient of bf16[8, 6]");
  using half = Tensor.empty(device, [2, 6], { dtype: "bf16" });
  using narrow = Tensor.empty(device, [2, 5]);
  for (const x of [half, narrow]) assertThrows(() => linear(tape.constant(x), packed), RangeError, "Cannot multiply");
  using turned = Tensor.empty(device, [6, 2]);
  assertThrows(() => matmul(tape.constant(turned), tape.param(packed), { transA: true, transB: true }), RangeError, "Cannot multiply");
  assertThrows(() => matmul(tape.param(packed), tape.constant(turned)), RangeError);
  plain[Symbol.dispose]();
  packed[Symbol.dispose]();
});
