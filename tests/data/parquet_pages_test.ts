/** Tests Parquet pages with impossible headers, and pages of every encoding. */
import { assertEquals, assertRejects } from "@std/assert";
import { type ColumnMetaData, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { ParquetCursor } from "../../data/parquet_cursor.ts";
import { footerFault } from "../../data/parquet_footer.ts";
import { readGroup } from "../../data/parquet_pages.ts";
import { ROOT } from "../root.ts";

const PLAIN = 0, DICTIONARY = 8, DELTA = 5, SHARED = 7;

/** Encodes a whole number as Parquet does: seven bits per byte. */
function number(value: number): number[] {
  return value < 128 ? [value] : [value % 128 + 128, ...number(Math.floor(value / 128))];
}

const signed = (value: number) => number(value < 0 ? -2 * value - 1 : 2 * value);

/** Encodes a struct of numbers or structs by field ids, which are below 16 and increase by at most 15. */
function struct(fields: Readonly<Record<number, number | number[]>>): number[] {
  let last = 0;
  const written = Object.entries(fields).flatMap(([id, value]) => {
    const head = (Number(id) - last) * 16 + (typeof value === "number" ? 5 : 12);
    last = Number(id);
    return [head, ...typeof value === "number" ? signed(value) : value];
  });
  return [...written, 0];
}

/** Makes a page of the first version. */
const first = (values: number, encoding: number, body: number[]) => [
  ...struct({ 1: 0, 2: body.length, 3: body.length, 5: struct({ 1: values, 2: encoding, 3: 3, 4: 3 }) }),
  ...body,
];

/** Makes a page of the second version. */
const second = (about: Readonly<Record<number, number>>, body: number[]) => [
  ...struct({ 1: 3, 2: body.length, 3: body.length, 8: struct(about) }),
  ...body,
];

const sized = (bytes: number[]) => [bytes.length, 0, 0, 0, ...bytes];
const TWO = [...sized([...number(2 * 2), 1])]; // two values, neither null

/** Reads the rows of a column with these pages. */
async function read(pages: readonly number[][], { type = "INT32", rows = 2 }: { type?: ColumnMetaData["type"]; rows?: number } = {}) {
  const bytes = Uint8Array.from(pages.flat()), path = ["x"], size = BigInt(bytes.length);
  const meta = {
    type,
    "path_in_schema": path,
    codec: "UNCOMPRESSED",
    "num_values": BigInt(rows),
    "data_page_offset": 4n,
    "total_compressed_size": size,
  };
  const schema = [{ name: "root", num_children: 1 }, { name: "x", type, repetition_type: "OPTIONAL" }];
  const metadata = {
    version: 1,
    schema,
    row_groups: [{ num_rows: BigInt(rows), columns: [{ meta_data: meta }] }],
  } as unknown as FileMetaData;
  const slice = (start: number, end: number) => bytes.slice(start - 4, end - 4).buffer;
  return (await parquetReadObjects({ ...readGroup(metadata, { group: 0, slice }), utf8: false })).map(({ x }) => x);
}

Deno.test("a page is read if its header is possible", async () => {
  assertEquals(await read([first(2, PLAIN, [...TWO, 7, 0, 0, 0, 8, 0, 0, 0])]), [7, 8]);
  assertEquals(await read([second({ 1: 2, 2: 1, 3: 2, 4: PLAIN, 5: 2, 6: 0 }, [3, 2, 8, 0, 0, 0])]), [null, 8]);
  assertEquals(await read([first(2, DELTA, [...TWO, ...number(128), 4, 2, ...signed(9), ...signed(-1), 0, 0, 0, 0])]), [9, 8]);
});

const HUGE = 2 ** 30, block = (parts: number) => [...number(128), ...number(parts), 2];
const lengths = (...both: [number, number]) => [...block(4), ...signed(both[0]), ...signed(both[1] - both[0]), 0, 0, 0, 0];
const REFUSED: Readonly<Record<string, () => Promise<unknown>>> = {
  [`a run of it has ${HUGE} values, but 2 are expected`]: () => read([first(2, PLAIN, [...sized([...number(2 * HUGE), 1]), 7, 0, 0, 0])]),
  [`a run of it has ${4 * HUGE} values`]: () => read([first(2, PLAIN, [...sized([...number(HUGE + 1), 1]), 7, 0, 0, 0])]),
  [`a run of it has ${HUGE - 1} values`]: () => read([first(2, DICTIONARY, [...TWO, 1, ...number(2 * (HUGE - 1)), 0])]),
  "a number of its dictionary has 255 bits": () => read([first(2, DICTIONARY, [...TWO, 255, 4, 0])]),
  "has 128 deltas in 4294967295 parts": () => read([first(2, DELTA, [...TWO, ...block(2 ** 32 - 1), 0, 0, 0, 0, 0, 0])]),
  "has 128 deltas in 0 parts": () => read([first(2, DELTA, [...TWO, ...block(0), 0, 0, 0, 0, 0, 0])]),
  [`a text of it shares ${HUGE} of the 1 bytes before it`]: () =>
    read([first(2, SHARED, [...TWO, ...lengths(0, HUGE), ...lengths(1, 1), 65, 66])], { type: "BYTE_ARRAY" }),
  "it has 9 values, but at most 2 are possible": () => read([first(9, PLAIN, [...TWO, 7, 0, 0, 0])]),
  "it has 2 values, -9 of them null": () => read([second({ 1: 2, 2: -9, 3: 2, 4: PLAIN, 5: 2, 6: 0 }, [3, 3, 8, 0, 0, 0])]),
  "its levels have -3 bytes": () => read([second({ 1: 2, 2: 0, 3: 2, 4: PLAIN, 5: -3, 6: 0 }, [3, 3, 8, 0, 0, 0])]),
  "its header has no number in field 5": () => read([second({ 1: 2, 2: 0, 3: 2, 4: PLAIN, 6: 0 }, [3, 3, 8, 0, 0, 0])]),
  "or 1073741824 decompressed": () => read([[...struct({ 1: 0, 2: HUGE, 3: 1, 5: struct({ 1: 2, 2: 0, 3: 3, 4: 3 }) }), 0]]),
  "the pages of column x have 2 values for 3 rows": () => read([first(2, PLAIN, [...TWO, 7, 0, 0, 0, 8, 0, 0, 0])], { rows: 3 }),
};
for (const [words, run] of Object.entries(REFUSED)) {
  Deno.test(`a page is refused: ${words}`, async () => void await assertRejects(run, RangeError, words));
}

Deno.test("a header with unused fields is read", () => {
  const bytes = [0x15, 4, 0x11, 0x18, 2, 65, 66, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0x19, 0x25, 2, 4, 0x19, 0x21, 1, 2, 0x1c, 0x16, 3, 0, 0, 99];
  const cursor = new ParquetCursor(Uint8Array.from(bytes)), none = undefined;
  assertEquals([...cursor.struct()], [[1, 2], [2, true], [3, none], [4, none], [5, none], [6, none], [7, new Map([[1, -2]])]]);
  assertEquals(cursor.byte(), 99);
});

Deno.test("runs are counted as they are read", () => {
  const counted = (bytes: number[], options: { width: number; count: number; most: number }) => {
    const cursor = new ParquetCursor(Uint8Array.from(bytes));
    return [cursor.runs(options), cursor.at];
  };
  // three ones, then the five values 1, 0, 1, 0, 1
  assertEquals(counted([6, 1, 3, 0b10110101], { width: 1, count: 8, most: 1 }), [3 + 3, 4]);
  assertEquals(counted([3, 0b11100100, 0b11], { width: 2, count: 8, most: 3 }), [2, 3]);
});

Deno.test("every encoding and codec is read: deltas, dictionaries, runs, split streams, lists; Brotli, gzip, Snappy, Zstandard", async () => {
  const bytes = Deno.readFileSync(`${ROOT}/tests/data/encodings.parquet`),
    slice = (start: number, end = bytes.length) => bytes.slice(start, end).buffer;
  const metadata = await parquetMetadataAsync({ byteLength: bytes.length, slice });
  assertEquals(footerFault(metadata, { byteLength: bytes.length }), undefined);
  const groups = await Array.fromAsync(
    metadata.row_groups,
    (_, group) => parquetReadObjects({ ...readGroup(metadata, { group, slice }), utf8: false }),
  );
  assertEquals(
    groups.flat(),
    Array.from({ length: 20 }, (_, i) => ({
      problem: `What is ${i} and ${i % 3}?`,
      answer: i * i - 7,
      long: BigInt(i) ** 4n - 9n,
      word: "abc".repeat(i % 5),
      kind: ["algebra", "geometry", "sets", null][i % 4],
      real: i / 3,
      flag: i % 7 < 3,
      tags: Array.from({ length: i % 4 }, (_, k) => `${k}${"xy"[i % 2]}`),
      images: new Uint8Array([137, 80, i]),
      plain: i % 5 ? i : null,
    })),
  );
});
