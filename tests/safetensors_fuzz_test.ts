/**
 * Mutated safetensors files: a damaged header or length gives a KedgeError (or a header that, checked here by other means, describes other
 * tensors that fill the file exactly); damaged data loads as it is; nothing crashes or over-allocates. 2,000 files; 100,000 with `--slow`.
 */
import { assert, assertEquals } from "@std/assert";
import { KedgeError } from "../ffi/errors.ts";
import { SafetensorsFile } from "../tensor/safetensors.ts";
import { writeSafetensors } from "../tensor/safetensors_writer.ts";

const COUNT = Deno.args.includes("--slow") ? 100_000 : 2_000;
const SIZES: Record<string, bigint> = {
  F64: 8n,
  F32: 4n,
  F16: 2n,
  BF16: 2n,
  I64: 8n,
  I32: 4n,
  I16: 2n,
  I8: 1n,
  U64: 8n,
  U32: 4n,
  U16: 2n,
  U8: 1n,
  BOOL: 1n,
};

type Outcome = "refused" | "other tensors" | "same tensors" | "damaged data";

/** The expected outcome for a file, by the kind of damage. */
interface Mutant {
  bytes: Uint8Array<ArrayBuffer>;
  /** "must fail": no reading of it holds to the format; "header": may by chance be a valid header; "data": only tensors' bytes changed. */
  kind: "must fail" | "header" | "data";
  how: string;
}

class Mutator {
  #state: number;
  readonly #header: number; // bytes of its JSON

  constructor(readonly base: Uint8Array<ArrayBuffer>, seed: number) {
    this.#state = seed >>> 0;
    this.#header = Number(new DataView(base.buffer).getBigUint64(0, true));
  }

  #random(n: number): number {
    this.#state = (Math.imul(this.#state ^ (this.#state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return Math.floor(((this.#state ^ (this.#state >>> 13)) >>> 0) / 2 ** 32 * n);
  }

  /** Returns the file with another header and, unless `keepLength` is set, a matching length field. */
  #withHeader(json: Uint8Array, keepLength: boolean): Uint8Array<ArrayBuffer> {
    const data = this.base.subarray(8 + this.#header);
    const out = new Uint8Array(8 + json.length + data.length);
    out.set(this.base.subarray(0, 8));
    if (!keepLength) new DataView(out.buffer).setBigUint64(0, BigInt(json.length), true);
    out.set(json, 8);
    out.set(data, 8 + json.length);
    return out;
  }

  /** Replaces bytes [at, at + removed) of the header. */
  #splice(at: number, removed: number, added: Uint8Array): Uint8Array {
    const json = this.base.subarray(8, 8 + this.#header);
    return new Uint8Array([...json.subarray(0, at), ...added, ...json.subarray(at + removed)]);
  }

  next(): Mutant {
    const { base } = this, copy = base.slice(), dataStart = 8 + this.#header;
    switch (this.#random(10)) {
      case 0:
        return { bytes: base.slice(0, this.#random(base.length)), kind: "must fail", how: "cut short" };
      case 1: {
        const extended = new Uint8Array(base.length + 1 + this.#random(64));
        extended.set(base);
        return { bytes: extended, kind: "must fail", how: "extended" };
      }
      case 2: {
        const at = this.#random(8);
        copy[at]! ^= 1 + this.#random(255);
        return { bytes: copy, kind: "must fail", how: "length field" };
      }
      case 3: {
        for (let i = this.#random(8); i >= 0; i--) copy[dataStart + this.#random(base.length - dataStart)] = this.#random(256);
        return { bytes: copy, kind: "data", how: "data bytes" };
      }
      case 4: {
        for (let i = this.#random(4); i >= 0; i--) copy[8 + this.#random(this.#header)] = this.#random(256);
        return { bytes: copy, kind: "header", how: "header bytes" };
      }
      case 5: {
        const bit = this.#random(8 * this.#header);
        copy[8 + (bit >> 3)]! ^= 1 << (bit & 7);
        return { bytes: copy, kind: "header", how: "a header bit" };
      }
      case 6: {
        const at = this.#random(this.#header), n = 1 + this.#random(12);
        const added = Uint8Array.from({ length: this.#random(2) ? 0 : this.#random(12) }, () => 32 + this.#random(96));
        return { bytes: this.#withHeader(this.#splice(at, n, added), false), kind: "header", how: "header text spliced" };
      }
      case 7: {
        // Repeats a part of the header elsewhere: duplicate keys, nested objects.
        const from = this.#random(this.#header), n = 1 + this.#random(90), to = this.#random(this.#header);
        const part = base.slice(8 + from, Math.min(dataStart, 8 + from + n));
        return { bytes: this.#withHeader(this.#splice(to, 0, part), this.#random(4) === 0), kind: "header", how: "header text repeated" };
      }
      case 8: {
        const text = new TextDecoder().decode(base.subarray(8, dataStart));
        const numbers = [...text.matchAll(/\d+/g)], number = numbers[this.#random(numbers.length)]!;
        const values = [
          "-1",
          "0",
          "1",
          "4294967296",
          "9007199254740992",
          "1e300",
          "18446744073709551616",
          "0.5",
          "null",
          "1125899906842624",
        ];
        const value = this.#random(2) ? values[this.#random(values.length)]! : String(Number(number[0]) + this.#random(9) - 4);
        const json = new TextEncoder().encode(text.slice(0, number.index) + value + text.slice(number.index + number[0].length));
        return { bytes: this.#withHeader(json, false), kind: "header", how: "a number" };
      }
      default: {
        const text = new TextDecoder().decode(base.subarray(8, dataStart)), types = Object.keys(SIZES);
        const found = [...text.matchAll(/"dtype":"(\w+)"/g)], one = found[this.#random(found.length)]!;
        const type = this.#random(5) ? types[this.#random(types.length)]! : "F8_E4M3";
        const json = new TextEncoder().encode(text.slice(0, one.index) + `"dtype":"${type}"` + text.slice(one.index + one[0].length));
        return { bytes: this.#withHeader(json, false), kind: "header", how: "a dtype" };
      }
    }
  }
}

/** Fails unless an accepted header follows the format, by a plain check in big integers. */
function assertFills(bytes: Uint8Array<ArrayBuffer>, where: string): void {
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + length));
  const header = JSON.parse(text) as Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  const metadata = header["__metadata__"] as unknown as Record<string, unknown> | undefined;
  assert(Object.values(metadata ?? {}).every((value) => typeof value === "string"), where);
  const tensors = Object.entries(header).filter(([name]) => name !== "__metadata__").map(([, info]) => info);
  let end = 0n;
  for (
    const { dtype, shape, data_offsets: [begin, stop] } of tensors.sort((a, b) =>
      a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1]
    )
  ) {
    assert(shape.every((n) => Number.isInteger(n) && n >= 0), where);
    assertEquals(BigInt(begin), end, where);
    end = BigInt(stop);
    assertEquals(end - BigInt(begin), shape.reduce((product, n) => product * BigInt(n), SIZES[dtype]!), where);
  }
  assertEquals(end, BigInt(bytes.length - 8 - length), where);
}

interface Contents {
  described: string;
  data: Map<string, Uint8Array>;
}

function load(path: string): Contents {
  using file = SafetensorsFile.open(path);
  const described = JSON.stringify([...file.tensors]);
  return { described, data: new Map(Array.from(file.tensors.keys(), (name) => [name, file.read(name)])) };
}

Deno.test(`of ${COUNT} mutated files, the damaged headers are refused, the damaged data loads`, () => {
  const given = Deno.args.find((a) => a.startsWith("--seed="));
  const seed = given ? Number(given.slice(7)) : Math.floor(Math.random() * 2 ** 31);
  const path = Deno.makeTempFileSync();
  try {
    const bytes = (n: number, salt: number) => Uint8Array.from({ length: n }, (_, i) => (i * salt + salt) & 255);
    writeSafetensors(path, [
      { name: "embed.weight", dtype: "F32", shape: [7, 9], data: bytes(252, 3) },
      { name: "layers.0.q", dtype: "BF16", shape: [4, 4], data: bytes(32, 5) },
      { name: "layers.1.q", dtype: "BF16", shape: [4, 4], data: bytes(32, 7) },
      { name: "steps", dtype: "I64", shape: [], data: bytes(8, 11) },
      { name: "none", dtype: "F16", shape: [3, 0], data: bytes(0, 1) },
      { name: "mask", dtype: "BOOL", shape: [5], data: bytes(5, 13) },
    ], { metadata: { format: "pt" } });
    const base = Deno.readFileSync(path), original = load(path), dataStart = 8 + Number(new DataView(base.buffer).getBigUint64(0, true));
    const mutator = new Mutator(base, seed);
    const tally: Record<Outcome, number> = { "refused": 0, "other tensors": 0, "same tensors": 0, "damaged data": 0 };
    const memory = Deno.memoryUsage();
    for (let i = 0; i < COUNT; i++) {
      const { bytes, kind, how } = mutator.next(), where = `${how}, file ${i} (seed ${seed})`;
      Deno.writeFileSync(path, bytes);
      let contents: Contents | undefined;
      try {
        contents = load(path);
      } catch (error) {
        assert(error instanceof KedgeError && error.code === "BadCheckpoint", `${where}: ${error}`);
        assert(error.message.startsWith(`Cannot read ${path}: `), `${where}: ${error.message}`);
        assert(kind !== "data", `${where}: ${error.message}`);
        tally.refused++;
        continue;
      }
      assert(kind !== "must fail", `${where} was taken`);
      assertFills(bytes, where);
      if (kind === "data") {
        assertEquals(contents.described, original.described, where);
        const read = [...contents.data.values()].reduce((sum, part) => sum + part.length, 0);
        assertEquals(read, bytes.length - dataStart, where);
        const sorted = (parts: Uint8Array[]) => parts.flatMap((part) => [...part]).sort((a, b) => a - b);
        assertEquals(sorted([...contents.data.values()]), sorted([bytes.subarray(dataStart)]), where);
        tally["damaged data"]++;
      } else tally[contents.described === original.described ? "same tensors" : "other tensors"]++;
    }
    const after = Deno.memoryUsage();
    assert(after.rss - memory.rss < 200e6, `${after.rss - memory.rss} bytes more are resident (seed ${seed})`);
    assert(tally.refused > COUNT * 0.6 && tally["damaged data"] > COUNT * 0.05, JSON.stringify(tally));
    if (Deno.args.includes("--slow")) Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(tally)}\n`));
  } finally {
    Deno.removeSync(path);
  }
});
