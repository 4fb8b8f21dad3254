import { assert, assertEquals, assertThrows } from "@std/assert";
import { KedgeError } from "../ffi/errors.ts";
import { SAFETENSORS_DTYPES, type SafetensorsDType, SafetensorsFile, SafetensorsFolder } from "../tensor/safetensors.ts";
import { duplicateKey, tensorBytes } from "../tensor/safetensors_header.ts";
import { type SafetensorsEntry, writeSafetensors, writeSharded } from "../tensor/safetensors_writer.ts";

/** Runs a function with a folder that is removed afterwards. */
function inFolder(body: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function bytesOf(n: number, salt = 0): Uint8Array {
  return Uint8Array.from({ length: n }, (_, i) => (i * 37 + salt * 11) & 255);
}

/** Makes a file from a header (text, or a value for JSON) and `dataBytes` of data. */
function assemble(header: unknown, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  return file;
}

/** Returns the message with which the bytes are refused. The error must be "BadCheckpoint" and name the file. */
function refusal(bytes: Uint8Array): string {
  const path = Deno.makeTempFileSync();
  try {
    Deno.writeFileSync(path, bytes);
    const error = assertThrows(() => SafetensorsFile.open(path), KedgeError, `Cannot read ${path}: `);
    assertEquals(error.code, "BadCheckpoint");
    return error.message;
  } finally {
    Deno.removeSync(path);
  }
}
const f32 = (begin: number, shape: number[]) => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, begin + 4 * shape.reduce((a, b) => a * b, 1)],
});

Deno.test("written tensors are read back: every type, scalars, empty tensors, metadata, odd names", () => {
  inFolder((folder) => {
    const path = `${folder}/a.safetensors`;
    const shapes = [[], [3], [0, 5], [2, 1, 3]];
    const names = ["__proto__", "constructor", 'quote " and \\', "ünïcödé 🙂", "1", ""];
    const entries: SafetensorsEntry[] = Object.keys(SAFETENSORS_DTYPES).flatMap((dtype, i) =>
      shapes.map((shape, j) => {
        const n = tensorBytes(dtype as SafetensorsDType, shape)!;
        const data = bytesOf(n, i + j);
        return { name: names.pop() ?? `${dtype}.${j}`, dtype: dtype as SafetensorsDType, shape, data: j % 2 ? data : () => data };
      })
    );
    writeSafetensors(path, entries, { metadata: { format: "pt", "a\nb": "ü" } });
    using file = SafetensorsFile.open(path);
    assertEquals([...file.metadata], [["format", "pt"], ["a\nb", "ü"]]);
    assertEquals(file.tensors.size, entries.length);
    for (const { name, dtype, shape, data } of entries) {
      const info = file.tensors.get(name)!;
      const expected = (typeof data === "function" ? data() : data) as Uint8Array;
      assertEquals([info.dtype, info.shape, info.bytes], [dtype, shape, expected.length]);
      assertEquals(info.offset % SAFETENSORS_DTYPES[dtype], 0, "aligned within the data, which begins on a multiple of 8");
      assertEquals(file.read(name), expected);
      const into = new Uint8Array(expected.length);
      assert(file.read(name, into) === into);
      assertEquals(into, expected);
    }
    const length = Number(new DataView(Deno.readFileSync(path).buffer).getBigUint64(0, true));
    assertEquals(length % 8, 0);
    assertEquals([...Deno.readDirSync(folder)].length, 1, "no temporary file is left");
  });
});

Deno.test("a file without tensors is valid", () => {
  inFolder((folder) => {
    writeSafetensors(`${folder}/a`, []);
    using file = SafetensorsFile.open(`${folder}/a`);
    assertEquals(file.tensors.size, 0);
  });
});

Deno.test("ranges are read, and refused outside the tensor", () => {
  inFolder((folder) => {
    const path = `${folder}/a`, data = bytesOf(100);
    writeSafetensors(path, [{ name: "a", dtype: "U8", shape: [100], data }, { name: "b", dtype: "U8", shape: [4], data: bytesOf(4, 9) }]);
    const file = SafetensorsFile.open(path);
    const into = new Uint8Array(10);
    file.readRange("a", { offset: 33, into });
    assertEquals(into, data.subarray(33, 43));
    file.readRange("a", { offset: 100, into: new Uint8Array(0) });
    for (const offset of [-1, 91, 0.5, NaN, 2 ** 60]) assertThrows(() => file.readRange("a", { offset, into }), RangeError, "Cannot read");
    assertThrows(() => file.read("a", into), RangeError, "it has 100 bytes, the target 10");
    assertThrows(() => file.read("c"), KedgeError, 'it has no tensor "c"');
    file[Symbol.dispose]();
    file[Symbol.dispose]();
    assertThrows(() => file.read("a"), TypeError, "it was closed");
  });
});

Deno.test("a header that violates the format is refused with a message that names the fault", () => {
  const cases: [unknown, number, string][] = [
    ["", 0, "does not begin with {"],
    [" {}", 0, "does not begin with {"],
    ["[]", 0, "does not begin with {"],
    ["{", 0, "is no JSON"],
    ["{}}", 0, "is no JSON"],
    ['{"a":1}', 0, 'tensor "a" is no object'],
    ['{"a":null}', 0, 'tensor "a" is no object'],
    [{ a: { ...f32(0, [1]), dtype: "F33" } }, 4, 'has dtype "\\"F33\\"", not one of'],
    [{ a: { ...f32(0, [1]), dtype: "toString" } }, 4, "not one of F64"],
    [{ a: { ...f32(0, [1]), dtype: 3 } }, 4, "has dtype"],
    [{ a: { dtype: "F32", shape: [1] } }, 4, "has data_offsets"],
    [{ a: { dtype: "F32", data_offsets: [0, 4] } }, 4, "has no shape"],
    [{ a: { ...f32(0, [1]), more: 1 } }, 4, 'unknown field "more"'],
    [{ a: { ...f32(0, [1]), shape: [-1] } }, 4, "has shape"],
    [{ a: { ...f32(0, [1]), shape: [0.5] } }, 4, "has shape"],
    [{ a: { ...f32(0, [1]), shape: ["1"] } }, 4, "has shape"],
    [{ a: { ...f32(0, [1]), shape: [2 ** 53] } }, 4, "has shape"],
    [{ a: { ...f32(0, [1]), shape: [2 ** 31, 2 ** 31] } }, 4, "which is none, or too large"],
    [{ a: { dtype: "F32", shape: [2 ** 40, 2 ** 40, 0], data_offsets: [0, 0] } }, 0, "too large"],
    [{ a: { dtype: "F32", shape: [0, 2 ** 40, 2 ** 40], data_offsets: [0, 0] } }, 0, "too large"],
    [{ a: { ...f32(0, [1]), data_offsets: [0, 8] } }, 8, "takes 8 bytes, but F32 of [1] is 4"],
    [{ a: { ...f32(0, [1]), data_offsets: [4, 0] } }, 4, "takes -4 bytes"],
    [{ a: { ...f32(0, [1]), data_offsets: [-4, 0] } }, 4, "not two byte counts"],
    [{ a: { ...f32(0, [1]), data_offsets: [0, 4, 4] } }, 4, "not two byte counts"],
    [{ a: { ...f32(0, [1]), data_offsets: "04" } }, 4, "not two byte counts"],
    [{ a: f32(0, [2]), b: f32(4, [2]) }, 12, 'tensor "b" overlaps "a"'],
    [{ a: f32(0, [2]), b: f32(0, [2]) }, 16, "overlaps"],
    [{ a: f32(0, [3]), b: { dtype: "U8", shape: [0], data_offsets: [4, 4] } }, 12, "overlaps"],
    [{ a: f32(0, [1]), b: f32(8, [1]) }, 12, 'tensor "b" leaves a hole'],
    [{ a: f32(4, [1]) }, 8, 'tensor "a" leaves a hole'],
    [{ a: f32(0, [2]) }, 7, "cut short"],
    [{ a: f32(0, [2]) }, 9, "its tensors are 8 bytes, but 9 follow"],
    [{}, 1, "its tensors are 0 bytes, but 1 follow"],
    [{ a: f32(0, [2 ** 40]) }, 4, "cut short"],
    [{ __metadata__: [] }, 0, "__metadata__ is no object"],
    [{ __metadata__: { a: 1 } }, 0, '__metadata__ has a value that is no string, at "a"'],
    [`{"a":${JSON.stringify(f32(0, [1]))},"a":${JSON.stringify(f32(0, [1]))}}`, 4, 'the key "a" twice'],
    [`{"a":${JSON.stringify(f32(0, [1]))},"\\u0061":${JSON.stringify(f32(0, [1]))}}`, 4, 'the key "a" twice'],
    ['{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}', 4, 'the key "shape" twice'],
    ['{"__metadata__":{},"__metadata__":{}}', 0, 'the key "__metadata__" twice'],
  ];
  for (const [header, dataBytes, words] of cases) {
    const message = refusal(assemble(header, dataBytes));
    assert(message.includes(words), `${message}\nshould say: ${words}`);
  }
  const invalid = assemble('{"a":1}', 0);
  invalid[10] = 0xff;
  assert(refusal(invalid).includes("is no JSON"), "a name that is no UTF-8");
});

Deno.test("equal keys of different objects, and keys within strings, are not duplicates", () => {
  assertEquals(duplicateKey('{"a":{"b":1,"c":{"b":2}},"b":["a","a",{"a":1},{"a":1}]}'), undefined);
  assertEquals(duplicateKey(String.raw`{"a":"\"b\":1,\"b\":2","c":"x\\","d":"}{"}`), undefined);
  assertEquals(duplicateKey('{"a":[{"x":1},{"x":1,"y":{},"x" \n:3}]}'), "x");
});

Deno.test("a file that is cut short or claims too much is refused before anything is allocated", () => {
  for (let n = 0; n < 8; n++) assert(refusal(new Uint8Array(n)).includes(`it has ${n} bytes`));
  const claim = (length: bigint, size: number) => {
    const file = new Uint8Array(size);
    new DataView(file.buffer).setBigUint64(0, length, true);
    return file;
  };
  assert(refusal(claim(100_000_001n, 64)).includes("its header claims 100000001 bytes, at most 100000000 are read"));
  assert(refusal(claim(2n ** 64n - 1n, 64)).includes("its header claims 18446744073709551615 bytes"));
  const before = Deno.memoryUsage();
  for (let i = 0; i < 20; i++) {
    assert(refusal(claim(99_999_999n, 64)).includes("but 56 follow"));
    refusal(assemble({ a: { dtype: "F64", shape: [2 ** 42], data_offsets: [0, 2 ** 45] } }, 64));
  }
  const after = Deno.memoryUsage();
  assert(after.rss - before.rss < 50e6 && after.external - before.external < 50e6, "20 headers that claim 100 MB or 32 TB each");
});

Deno.test("a terabyte is read in ranges with little memory", () => {
  inFolder((folder) => {
    const path = `${folder}/a`, size = 2 ** 40;
    const header = assemble({ a: { dtype: "U8", shape: [size], data_offsets: [0, size] } }, 0);
    Deno.writeFileSync(path, header);
    Deno.truncateSync(path, header.length + size); // sparse
    const before = Deno.memoryUsage();
    using file = SafetensorsFile.open(path);
    const into = new Uint8Array(4096).fill(7);
    file.readRange("a", { offset: size - 4096, into });
    assert(into.every((b) => b === 0));
    assert(Deno.memoryUsage().rss - before.rss < 50e6);
    const error = assertThrows(() => file.read("a"), KedgeError, "read it in ranges");
    assertEquals([error.code, error.details.asked], ["OutOfMemory", size]);
  });
});

Deno.test("a file that shrinks while it is open is an error", () => {
  inFolder((folder) => {
    const path = `${folder}/a`;
    writeSafetensors(path, [{ name: "a", dtype: "U8", shape: [1000], data: bytesOf(1000) }]);
    using file = SafetensorsFile.open(path);
    Deno.truncateSync(path, 500);
    assertThrows(() => file.read("a"), KedgeError, "it was cut while open");
  });
});

Deno.test("a path that is not a file is an error that names it", () => {
  inFolder((folder) => {
    assertEquals(
      assertThrows(() => SafetensorsFile.open(`${folder}/none`), KedgeError, `Cannot read ${folder}/none: `).code,
      "BadCheckpoint",
    );
    assertEquals(assertThrows(() => SafetensorsFile.open(folder), KedgeError, `Cannot read ${folder}: `).code, "BadCheckpoint");
    assertThrows(() => SafetensorsFolder.open(`${folder}/none`), KedgeError, "Cannot read");
    assertThrows(() => SafetensorsFolder.open(folder), KedgeError, "it holds neither model.safetensors nor");
  });
});

Deno.test("data is requested one tensor at a time, in parts", () => {
  inFolder((folder) => {
    const asked: string[] = [];
    const entries = function* (): Generator<SafetensorsEntry> {
      for (const name of ["a", "b", "c"]) {
        const data = function* () {
          asked.push(name);
          for (let i = 0; i < 4; i++) yield bytesOf(250, i);
          asked.push(`${name} done`);
        };
        yield { name, dtype: name === "b" ? "F32" : "U8", shape: [name === "b" ? 250 : 1000], data };
      }
    };
    writeSafetensors(`${folder}/a`, entries());
    assertEquals(asked, ["b", "b done", "a", "a done", "c", "c done"], "wider types first");
    using file = SafetensorsFile.open(`${folder}/a`);
    assertEquals(file.read("c").subarray(250, 500), bytesOf(250, 1));
  });
});

Deno.test("a write that fails leaves the old file, and nothing beside it", () => {
  inFolder((folder) => {
    const path = `${folder}/a`;
    const entry = { name: "a", dtype: "U8", shape: [3], data: new Uint8Array([1, 2, 3]) } as const;
    writeSafetensors(path, [entry]);
    const failing = () => {
      throw new Error("lost");
    };
    assertThrows(() => writeSafetensors(path, [{ ...entry, data: failing }]), Error, "lost");
    assertThrows(() => writeSafetensors(path, [{ ...entry, shape: [4] }]), RangeError, "its data is 3 bytes, U8 of [4] is 4");
    assertThrows(() => writeSafetensors(path, [{ ...entry, shape: [-1] }]), RangeError, "its shape is [-1]");
    assertThrows(() => writeSafetensors(path, [entry, entry]), RangeError, 'Cannot write "a": it comes twice');
    assertThrows(() => writeSafetensors(path, [{ ...entry, name: "__metadata__" }]), RangeError, "__metadata__");
    assertThrows(() => writeSafetensors(path, [{ ...entry, dtype: "F8" as "U8" }]), RangeError, "its dtype is F8");
    assertEquals([...Deno.readDirSync(folder)].map((e) => e.name), ["a"]);
    using file = SafetensorsFile.open(path);
    assertEquals(file.read("a"), entry.data);
  });
});

Deno.test("a sharded folder holds what was written, in shards no larger than asked, with an index", () => {
  inFolder((folder) => {
    const entries: SafetensorsEntry[] = Array.from({ length: 10 }, (_, i) => ({
      name: `layer.${i}`,
      dtype: "F32",
      shape: [i === 7 ? 1000 : 50 + i],
      data: () => [bytesOf(4 * (i === 7 ? 1000 : 50 + i), i)],
    }));
    const names = writeSharded(`${folder}/sub/model`, entries, { maxShardBytes: 1000 });
    const index = JSON.parse(Deno.readTextFileSync(`${folder}/sub/model/model.safetensors.index.json`));
    assertEquals(index.metadata.total_size, 4 * (9 * 50 + 45 - 7 + 1000));
    assertEquals(Object.keys(index.weight_map).length, 10);
    assertEquals(names.at(-1), "model.safetensors.index.json");
    assertEquals(names[0], `model-00001-of-0000${names.length - 1}.safetensors`);
    {
      using model = SafetensorsFolder.open(`${folder}/sub/model`);
      assertEquals(model.metadata.get("format"), "pt");
      assertEquals([...model.tensors.keys()].sort(), entries.map((e) => e.name).sort());
      for (let i = 0; i < 10; i++) assertEquals(model.read(`layer.${i}`), bytesOf(4 * (i === 7 ? 1000 : 50 + i), i));
      const into = new Uint8Array(5);
      model.readRange("layer.3", { offset: 2, into });
      assertEquals(into, bytesOf(212, 3).subarray(2, 7));
      assertThrows(() => model.read("layer.10"), KedgeError, "it has no tensor");
    }
    for (const name of names.slice(0, -1)) {
      using shard = SafetensorsFile.open(`${folder}/sub/model/${name}`);
      const bytes = [...shard.tensors.values()].reduce((sum, t) => sum + t.bytes, 0);
      assert(bytes <= 1000 || shard.tensors.size === 1);
    }
    assertThrows(() => writeSharded(`${folder}/sub/model`, entries), RangeError, "it holds model");
    assertEquals(writeSharded(`${folder}/single`, entries), ["model.safetensors"]);
    using single = SafetensorsFolder.open(`${folder}/single`);
    assertEquals(single.tensors.size, 10);
  });
});

Deno.test("an index that disagrees with its shards, or leaves the folder, is refused", () => {
  inFolder((folder) => {
    const entry = (name: string): SafetensorsEntry => ({ name, dtype: "U8", shape: [1], data: bytesOf(1) });
    writeSafetensors(`${folder}/s1`, [entry("a"), entry("b")]);
    writeSafetensors(`${folder}/s2`, [entry("c")]);
    const refused = (index: unknown, ...words: string[]) => {
      Deno.writeTextFileSync(`${folder}/model.safetensors.index.json`, typeof index === "string" ? index : JSON.stringify(index));
      const error = assertThrows(() => SafetensorsFolder.open(folder), KedgeError);
      assertEquals(error.code, "BadCheckpoint");
      for (const word of words) assert(error.message.includes(word), `${error.message}\nshould say: ${word}`);
    };
    refused(
      { weight_map: { a: "s1", d: "s1", e: "s2", c: "s2" } },
      'its shards lack "d", "e"',
      's1 holds "b", which the index does not place',
    );
    refused({ weight_map: { a: "s1", b: "s1", c: "s1" } }, 'its shards lack "c"');
    refused({ weight_map: { a: "s1", b: "s1", c: "s3" } }, "s3");
    for (const file of ["../s1", "/etc/passwd", "..", ".", "", "x/s1", "x\\s1", "s\u00001", 3, null]) {
      refused({ weight_map: { a: file } }, 'tensor "a"', "no file name within the folder");
    }
    refused({ weight_map: [] }, "it has no weight_map");
    refused("null", "it has no weight_map");
    refused("{", "JSON");
    refused('{"weight_map":{"a":"s1","a":"s2"}}', 'the key "a" twice');
    Deno.writeTextFileSync(`${folder}/model.safetensors.index.json`, JSON.stringify({ weight_map: { a: "s1", b: "s1", c: "s2" } }));
    using model = SafetensorsFolder.open(folder);
    assertEquals([...model.tensors.keys()], ["a", "b", "c"]);
  });
});
