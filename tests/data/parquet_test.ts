import { assertEquals, assertRejects } from "@std/assert";
import { ParquetDataset } from "../../data/parquet.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { LITTLE_PARQUET } from "./little_parquet.ts";
import { inFolder, shown } from "./rows.ts";

Deno.test("rows of several row groups are right in any order, with few groups kept", () =>
  inFolder(async (folder) => {
    const path = `${folder}/groups.parquet`, order = [4, 0, 3, 1, 2, 4, 0, 2];
    const bytes = Uint8Array.fromBase64(LITTLE_PARQUET);
    Deno.writeFileSync(path, bytes);
    for await (const dataset of [1, 2, 9].map((cachedGroups) => ParquetDataset.open(path, { cachedGroups }))) {
      assertEquals(dataset.size, 5);
      const samples = await Promise.all(order.map((i) => dataset.sample(i)));
      assertEquals(samples.map(shown), order.map((i) => `[${i + 1}]x${i}`));
      assertEquals(samples.map(({ id, truth }) => [id, truth]), order.map((i) => [`groups.parquet:${i}`, i]));
      await assertRejects(() => dataset.sample(5), RangeError, "5 rows");
    }
    const dataset = await ParquetDataset.open(path);
    Deno.truncateSync(path, 8);
    await assertRejects(() => dataset.sample(4), KedgeError, `row 4 of ${path}`);
    Deno.writeFileSync(path, bytes);
    assertEquals(shown(await dataset.sample(4)), "[5]x4");
    Deno.writeTextFileSync(`${folder}/no.parquet`, "no Parquet at all");
    await assertRejects(() => ParquetDataset.open(`${folder}/no.parquet`), KedgeError, "no.parquet");
    await assertRejects(() => ParquetDataset.open(path, { cachedGroups: 0 }), RangeError, "Cannot keep 0");
  }));

Deno.test("a footer with any byte changed gives rows or BadData", () =>
  inFolder(async (folder) => {
    const bytes = Uint8Array.fromBase64(LITTLE_PARQUET), path = `${folder}/damaged.parquet`;
    const outcome = async () => {
      const dataset = await ParquetDataset.open(path);
      await Array.fromAsync(new Set([0, dataset.size >> 1, dataset.size - 1]), (index) => dataset.sample(index));
      return "rows";
    };
    const said = new Map<string, number>();
    for (let at = bytes.length - 8 - new DataView(bytes.buffer).getUint32(bytes.length - 8, true); at < bytes.length; at++) {
      for (const value of [0, 0x7f, 0xff]) {
        const damaged = bytes.slice();
        damaged[at] = value;
        Deno.writeFileSync(path, damaged);
        // deno-lint-ignore no-await-in-loop -- one file after the other
        const what = await outcome().catch((error) => error instanceof KedgeError ? error.code : `byte ${at} as ${value}: ${error}`);
        said.set(what, (said.get(what) ?? 0) + 1);
      }
    }
    assertEquals([...said.keys()].sort(), ["BadData", "rows"]);
  }));
